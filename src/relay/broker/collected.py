"""Files that spawns give back (`spawn --collect`): kept and offered where they were made, pulled and kept where they
were asked for, and written out where a person wants them.

The origin pins what it gets for as long as the spawn's row is kept; its target keeps it until it was pulled. Offers and
downloads carry the spawn's name in their operation, and go with it.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from relay.api.sizes import spoken
from relay.broker.auditor import Auditor, refusal
from relay.broker.blobs import faults
from relay.broker.blobs.download import IN_LINE
from relay.broker.blobs.room import Blobs
from relay.broker.members import Members
from relay.core.blobs import is_blob_name
from relay.core.collected import KEY, WENT, CollectedFile, collected_files
from relay.core.errors import Code, Misuse, PeerFault, RelayError
from relay.core.ids import BrokerId
from relay.core.spawning import Snapshot
from relay.core.states import TERMINAL
from relay.spawn.gathering import Found
from relay.store import blobs
from relay.store.blobs import Blob, Need, NeedState, Reference, label_of, operation_of
from relay.store.engine import Store
from relay.store.journal import Entry
from relay.store.spawn_rows import SpawnRow, stands

OFFERED_MS = 365 * 86_400_000
"""How long an origin that sleeps finds its files where they were made. The spawn's row there is kept as long."""
_log = logging.getLogger(__name__)


class CollectedShelf:
    """Keeps what spawns of this machine made, for their origins.

    Args:
        own: this broker.
        room: the blobs.
    """

    def __init__(self, own: BrokerId, room: Blobs) -> None:
        self._own = own
        self._room = room

    async def keep(self, row: SpawnRow, found: Found) -> CollectedFile:
        """Take a file in, pinned for its spawn; its handle is closed however this ends.

        Raises:
            RelayError: it cannot be kept, and why.
        """

        def pinned(entry: Entry, blob: Blob) -> CollectedFile:
            blobs.pin(entry.tx, blob.hash, label_of(row.id), _name(found.path), blob.size, entry.now)
            return CollectedFile(found.path, blob.size, found.mode, blob.hash.hex())

        return await self._room.library.take_in(found.path, lambda done, size: None, pinned, found.handle)

    def hand_over(self, entry: Entry, row: SpawnRow, files: list[CollectedFile]) -> None:
        """Let the spawn's origin pull these, and let go of what is pinned for the spawn beside them."""
        addresses = {each.address: each for each in files}
        is_local = row.origin == self._own
        if not is_local:
            blobs.withdraw(entry.tx, operation_of(row.id))
            for address, each in addresses.items():
                blob = Blob(address, each.size, True, 0, entry.now)
                self._room.offers.allow(entry, blob, row.origin, _name(each.path), OFFERED_MS, operation_of(row.id))
        # what is offered is kept until its origin has it, and then no longer: the files themselves are here as well
        blobs.unpin(entry.tx, label_of(row.id), addresses if is_local else ())
        entry.then(self._room.look_for_the_unneeded)


class CollectedFiles:
    """What came back to this broker from spawns that it asked for.

    Args:
        members: names.
        store: rows.
        auditor: the audit log.
        room: the blobs.
    """

    def __init__(self, members: Members, store: Store, auditor: Auditor, room: Blobs) -> None:
        self._members = members
        self._store = store
        self._auditor = auditor
        self._room = room

    def told(self, entry: Entry, row: SpawnRow, snapshot: Snapshot) -> None:
        """The target's word on an end may list files: they are pulled, whatever becomes of either broker meanwhile.

        Args:
            entry: the transaction that takes the word in.
            row: what was asked for; files that it did not ask for are not taken.
            snapshot: the word.
        """
        if not row.wishes.collect or snapshot.state not in TERMINAL:
            return
        try:
            files = collected_files(snapshot.result)
        except PeerFault as fault:
            self._auditor.write(entry, refusal(row.target, "collect", fault, f"{row.id} {row.name}: {fault.why}"))
            return
        wanted = {each.address: each for each in files}
        for gone in blobs.unpin(entry.tx, label_of(row.id), wanted):
            blobs.release(entry.tx, gone, Need.DOWNLOAD, row.target)
        for each in wanted.values():
            self._want(entry, row, each)

    def _want(self, entry: Entry, row: SpawnRow, file: CollectedFile) -> None:
        download = Reference(
            file.address,
            Need.DOWNLOAD,
            row.target,
            _name(file.path),
            file.size,
            NeedState.OPEN,
            entry.now + OFFERED_MS,
            entry.now,
            operation_of(row.id),
        )
        try:
            with entry.undone_on_error():
                self._room.offers.want(entry, download)
                blobs.pin(entry.tx, file.address, label_of(row.id), _name(file.path), file.size, entry.now)
        except RelayError as error:
            # kept as what came of it, so that it is told of, and asked for again when a person wants the file
            ended = NeedState.REFUSED
            until = entry.now + OFFERED_MS
            told = Reference(
                file.address, Need.DOWNLOAD, row.target, _name(file.path), file.size, ended, until, entry.now,
                operation_of(row.id), error.to_json(),
            )
            blobs.refer(entry.tx, told)
            self._auditor.write(entry, refusal(row.target, "collect", error, f"{row.id} {file.path}"[:400]))

    def want_again(self, entry: Entry, row: SpawnRow) -> None:
        """Ask once more for what did not come: there may be room by now."""
        if self.whose(row):
            return
        for file in _files(row):
            known = blobs.BY_HASH.one(entry.tx, hash=file.address)
            need = blobs.ONE.one(entry.tx, hash=file.address, need=str(Need.DOWNLOAD), peer=row.target)
            if (known is None or not known.whole) and (need is None or need.state is not NeedState.OPEN):
                self._want(entry, row, file)

    # for people

    def whose(self, row: SpawnRow) -> str:
        """The name of the other broker that asked for a spawn, and has its files; empty where it was this one."""
        return "" if row.origin == self._members.own else self._members.name(row.origin)

    async def shown(self, row: SpawnRow) -> dict[str, Any] | None:
        """The result with its files as they stand here: each with `here`, and `why` where it is not."""
        if row.result is None or KEY not in row.result:
            return row.result
        if not row.wishes.collect:
            return {key: value for key, value in row.result.items() if key != KEY}
        try:
            files = collected_files(row.result)
        except PeerFault as fault:
            note = f"its list of collected files was refused: {fault.why}"
            notes = row.result.get("notes")
            return row.result | {KEY: [], "notes": [*(notes if isinstance(notes, list) else ()), note]}
        return row.result | {KEY: [await self._file(row, each) for each in files]}

    async def _file(self, row: SpawnRow, file: CollectedFile) -> dict[str, Any]:
        blob = await self._store.one(blobs.BY_HASH, hash=file.address)
        here = blob is not None and blob.whole
        shown = file.to_content() | {"mode": f"{file.mode:04o}", "here": here}
        return shown | {"why": None if here else await self.why_not(row, file)}

    async def why_not(self, row: SpawnRow, file: CollectedFile) -> str:
        """Why a file is not here, in words."""
        if other := self.whose(row):
            return f"{WENT}{other}, which asked for it"
        key = {"hash": file.address, "need": str(Need.DOWNLOAD), "peer": row.target}
        need = await self._store.one(blobs.ONE, **key)
        if need is not None and need.error is not None:
            return f"{need.error['message']}{': ' if need.error.get('why') else ''}{need.error.get('why', '')}"
        download = self._room.downloads.of(file.address)
        if download is not None:
            if download.in_line:
                return IN_LINE
            if download.state == "pulling":
                return f"on its way: {spoken(download.done)} of {spoken(file.size)}"
            return f"it waits: {download.reason}" if download.reason else "it is about to be fetched"
        return "it is about to be fetched" if need is not None else "it is no longer kept"


def _files(row: SpawnRow) -> list[CollectedFile]:
    try:
        return collected_files(row.result) if row.wishes.collect else []
    except PeerFault:
        return []


def files_of(row: SpawnRow, own: BrokerId) -> list[CollectedFile]:
    """The files of an ended spawn, as this broker knows it.

    Raises:
        Misuse: it has none.
    """
    if row.state not in TERMINAL:
        what, why = f"{row.name} has not ended", stands(row, own)
        raise Misuse(what, code=Code.NOT_ENDED, why=why, hint=f"relay wait {row.id}")
    found = _files(row)
    if not found:
        why = "nothing was collected" if row.wishes.collect else "it was spawned without --collect"
        raise Misuse(f"{row.name} gave no files back", why=why, hint=f"relay result {row.id}")
    return found


def _name(path: str) -> str:
    """The label of a file's blob."""
    name = os.path.basename(path)
    return name if is_blob_name(name) else faults.short(path.encode())
