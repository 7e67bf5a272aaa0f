"""Working trees that travel with spawns (`--here`), and what was changed in them, as blobs.

    origin: tree → blob, pinned, offered ─ spawn ─► target: wants it, waits for it ─► … ─► change → blob, offered
    origin: the word on the end tells of it ─► wants it, pins it                          ◄─ word

Offers and downloads carry the spawn's name in their operation, and go with it.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from relay.broker.auditor import Auditor, refusal
from relay.broker.blobs.room import Blobs
from relay.broker.collected import OFFERED_MS
from relay.broker.members import Members
from relay.broker.orders import Order
from relay.broker.requests import Requests
from relay.broker.tasks import Caller
from relay.core.errors import Code, Misuse, PeerFault, Refused, RelayError, from_json
from relay.core.ids import BrokerId
from relay.core.spawning import FRESH_DIRECTORY, Snapshot
from relay.core.states import TERMINAL
from relay.core.workplaces import NOT_YET, UNBROUGHT, Change, SentTree, change_of
from relay.store import blobs
from relay.store.blobs import Blob, Cargo, Need, NeedState, Reference, label_of, operation_of
from relay.store.engine import Store
from relay.store.journal import Entry
from relay.store.spawn_rows import SpawnRow, stands

if TYPE_CHECKING:
    from relay.spawn.supervisor import Supervisor

SPARE_MS = 86_400_000
TREE_NAME, CHANGE_NAME = "tree.bundle", "change.bundle"


def tree_of(row: SpawnRow) -> SentTree | None:
    """The tree that came with a spawn, or None."""
    return None if row.wishes.place is None else row.wishes.place.tree


class Trees:
    """The freight of spawns that bring their place along.

    Args:
        members: names.
        store: rows.
        auditor: the audit log.
        room: the blobs.
        supervisor: starts what has waited for its tree.
    """

    def __init__(
        self, members: Members, store: Store, auditor: Auditor, room: Blobs, supervisor: Supervisor
    ) -> None:
        self._members = members
        self._store = store
        self._auditor = auditor
        self._room = room
        self._supervisor = supervisor
        room.offers.on_over = self._over

    # at the origin

    async def spawn(self, requests: Requests, order: Order, caller: Caller | None) -> SpawnRow:
        """Accept an order; with a tree it becomes durable together with the blob of it.

        Raises:
            RelayError: as `Requests.spawn`, and where the tree cannot be kept.
        """
        place = order.request.wishes.place
        if order.bundle is None and place is not None and place.tree is not None:
            why = "the request tells of a working tree, and has no file with it"
            raise Misuse("there is no working tree to send", code=Code.BAD_TREE, why=why, hint="--here, in the tree")
        if order.bundle is None:
            return await requests.spawn(order, caller)
        bundle = order.bundle

        def accepted(entry: Entry, blob: Blob) -> SpawnRow:
            return requests.accept(entry, _with_blob(order, blob), caller)

        return await self._room.library.take_in(bundle, lambda done, size: None, accepted)

    def accepted(self, entry: Entry, row: SpawnRow) -> None:
        """An order of this machine was accepted, or is made anew: its tree is kept for who runs it."""
        tree = tree_of(row)
        blob = None if tree is None else blobs.BY_HASH.one(entry.tx, hash=tree.address)
        if blob is None or not blob.whole or row.state in TERMINAL:
            return
        own, is_folder = self._members.own, row.wishes.place is not None and row.wishes.place.is_folder
        if row.target == own or is_folder:  # what a folder was is known by this alone when its changes come back
            blobs.pin(entry.tx, blob.hash, label_of(row.id, Cargo.TREE), TREE_NAME, blob.size, entry.now)
        if row.target != own:
            ttl = max(row.expires - entry.now, 0) + SPARE_MS
            self._room.offers.allow(entry, blob, row.target, TREE_NAME, ttl, operation_of(row.id, Cargo.TREE))

    def told(self, entry: Entry, row: SpawnRow, snapshot: Snapshot) -> None:
        """The target's word on an end may tell of a change: it is pulled, whatever becomes of either broker."""
        if row.wishes.place is None or snapshot.state not in TERMINAL:
            return
        tree = tree_of(row)
        blobs.withdraw(entry.tx, operation_of(row.id, Cargo.TREE))
        entry.then(self._room.look_for_the_unneeded)
        try:
            change = change_of(snapshot.result)
        except PeerFault as fault:
            self._auditor.write(entry, refusal(row.target, "change", fault, f"{row.id} {row.name}: {fault.why}"))
            return
        kept = {each.address for each in (change, tree) if each is not None}
        blobs.unpin(entry.tx, label_of(row.id, Cargo.TREE), kept)
        if change is not None:
            self.want(entry, row, change)

    def want(self, entry: Entry, row: SpawnRow, change: Change) -> None:
        """Ask for a change, unless it is here or on its way."""
        known = blobs.BY_HASH.one(entry.tx, hash=change.address)
        if known is not None and known.whole:
            blobs.pin(entry.tx, change.address, label_of(row.id, Cargo.TREE), CHANGE_NAME, change.size, entry.now)
            return
        need = blobs.ONE.one(entry.tx, hash=change.address, need=str(Need.DOWNLOAD), peer=row.target)
        if (need is not None and need.state is NeedState.OPEN) or row.target == self._members.own:
            return
        try:
            with entry.undone_on_error():
                self._want(entry, row, change.address, change.size, CHANGE_NAME, row.target, OFFERED_MS)
                blobs.pin(entry.tx, change.address, label_of(row.id, Cargo.TREE), CHANGE_NAME, change.size, entry.now)
        except RelayError as error:
            self._auditor.write(entry, refusal(row.target, "change", error, f"{row.id} {row.name}"))

    def _want(
        self, entry: Entry, row: SpawnRow, address: bytes, size: int, name: str, peer: str, ttl: int
    ) -> None:
        made = Reference(
            address, Need.DOWNLOAD, peer, name, size, NeedState.OPEN, entry.now + ttl, entry.now,  # type: ignore[arg-type]
            operation_of(row.id, Cargo.TREE),
        )  # fmt: skip
        self._room.offers.want(entry, made)

    # at the target

    def missing(self, entry: Entry, row: SpawnRow) -> str:
        """Why a spawn's tree is not here yet, or empty; it is asked for where it was not.

        Raises:
            RelayError: it will not come, and why.
        """
        tree = tree_of(row)
        if tree is None or tree.blob == NOT_YET:
            return ""
        known = blobs.BY_HASH.one(entry.tx, hash=tree.address)
        if known is not None and known.whole:
            blobs.pin(entry.tx, tree.address, label_of(row.id, Cargo.TREE), TREE_NAME, known.size, entry.now)
            return ""
        if row.origin == self._members.own:
            raise _gone("it was removed here")
        need = blobs.ONE.one(entry.tx, hash=tree.address, need=str(Need.DOWNLOAD), peer=row.origin)
        if need is None or need.operation != operation_of(row.id, Cargo.TREE):
            ttl = max(row.expires - entry.now, 0) + SPARE_MS
            self._want(entry, row, tree.address, tree.size, TREE_NAME, row.origin, ttl)
        elif need.state is not NeedState.OPEN:
            raise _gone("its time was over") if need.error is None else from_json(need.error)
        return f"its working tree is on its way from {self._members.name(row.origin)}"

    def _over(self, entry: Entry, wanted: Reference) -> None:
        if wanted.operation.startswith(f"{Cargo.TREE}/") and wanted.name == TREE_NAME:
            self._supervisor.start_soon(entry)

    async def fetch(self, row: SpawnRow, to: Path) -> None:
        """Write the bundle of a spawn's tree to a file.

        Raises:
            RelayError: it is not here, and why.
        """
        tree = tree_of(row)
        assert tree is not None
        blob = await self._room.orders.whole(tree.address)
        await self._room.library.write_out(blob, str(to), lambda done, size: None)

    async def keep(self, row: SpawnRow, bundle: Path) -> tuple[str, int]:
        """Take in what changed, kept for its spawn; its address in hexadecimal, and its size.

        Raises:
            RelayError: it cannot be kept, and why.
        """

        def pinned(entry: Entry, blob: Blob) -> tuple[str, int]:
            blobs.pin(entry.tx, blob.hash, label_of(row.id, Cargo.TREE), CHANGE_NAME, blob.size, entry.now)
            return blob.hash.hex(), blob.size

        return await self._room.library.take_in(str(bundle), lambda done, size: None, pinned)

    def hand_over(self, entry: Entry, row: SpawnRow, change: Change | None) -> None:
        """In the transaction of an end: let the origin pull the change, and let go of all else kept for the spawn."""
        # what is offered is kept until its origin has it; the place itself is here as well
        is_local, tree = row.origin == self._members.own, tree_of(row)
        kept = {change.address} if change is not None and is_local else set[bytes]()
        if is_local and row.wishes.place is not None and row.wishes.place.is_folder and tree is not None:
            kept.add(tree.address)
        operation = operation_of(row.id, Cargo.TREE)
        if change is not None and not is_local and not _has_had(entry, row, change):
            blobs.withdraw(entry.tx, operation)
            blob = Blob(change.address, change.size, True, 0, entry.now)
            self._room.offers.allow(entry, blob, row.origin, CHANGE_NAME, OFFERED_MS, operation)
        blobs.unpin(entry.tx, label_of(row.id, Cargo.TREE), kept)
        if tree is not None and not is_local:
            need = blobs.ONE.one(entry.tx, hash=tree.address, need=str(Need.DOWNLOAD), peer=row.origin)
            if need is not None and need.operation == operation:
                blobs.release(entry.tx, tree.address, Need.DOWNLOAD, row.origin)
        entry.then(self._room.look_for_the_unneeded)

    async def is_delivered(self, row: SpawnRow, change: Change) -> bool:
        """Whether a spawn's origin has what was changed here."""
        if row.origin == self._members.own:
            return True
        key = {"hash": change.address, "need": str(Need.OFFER), "peer": row.origin}
        offer = await self._store.one(blobs.ONE, **key)
        return offer is None or offer.state is NeedState.DELIVERED


def _has_had(entry: Entry, row: SpawnRow, change: Change) -> bool:
    """Whether a spawn's origin had this very change after an earlier attempt."""
    key = {"hash": change.address, "need": str(Need.OFFER), "peer": row.origin}
    offer, blob = blobs.ONE.one(entry.tx, **key), blobs.BY_HASH.one(entry.tx, hash=change.address)
    return blob is None or not blob.whole if offer is None else offer.state is NeedState.DELIVERED


def _with_blob(order: Order, blob: Blob) -> Order:
    wishes = order.request.wishes
    assert wishes.place is not None and wishes.place.tree is not None
    tree = dataclasses.replace(wishes.place.tree, blob=blob.hash.hex(), size=blob.size)
    place = dataclasses.replace(wishes.place, tree=tree)
    return dataclasses.replace(
        order, request=dataclasses.replace(order.request, wishes=dataclasses.replace(wishes, place=place))
    )


def _gone(why: str) -> Refused:
    return Refused(
        "its working tree does not come",
        code=Code.NOT_OFFERED,
        why=why,
        hint="spawn it anew, in the tree: relay spawn NAME AGENT TASK --broker BROKER --here",
    )


def no_change(row: SpawnRow, own: BrokerId) -> Misuse:
    """Why there is nothing to show or to pull of a spawn, as this broker knows it."""
    hint = f"relay show {row.id}"
    if row.wishes.place is not None and row.state not in TERMINAL:
        what, why = f"{row.name} has not ended", f"{stands(row, own)}; what it changes comes back at its end"
        return Misuse(what, code=Code.NOT_ENDED, why=why, hint=f"relay wait {row.id}")
    if row.wishes.place is None:
        is_new = row.cwd == FRESH_DIRECTORY
        where = "an empty folder of its own" if is_new else "a directory that was there"
        why = f"it worked in {where}; what it did there is there (spawn --collect brings files)"
    elif (row.result or {}).get("branch"):
        why = "its changes did not fit into what may come back; its notes say where they are"
    elif row.result is None:
        why = "it never ran" if row.attempt == 0 else "nobody knows what it changed"
    else:
        notes = [str(each) for each in row.result.get("notes") or ()]
        why = next((each for each in notes if each.startswith(UNBROUGHT)), "it changed nothing in its place")
    return Misuse(f"{row.name} brought no changes back", code=Code.NO_CHANGE, why=why, hint=hint)
