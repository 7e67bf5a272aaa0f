"""Writing the files that a spawn gave back into a folder that a person chose (`relay result ID --files DIR`).

Their names come from another machine. They were checked when they came, and here every folder on the way is opened
without following links, so that nothing is written outside of the chosen folder whatever stands in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from functools import partial

from relay.broker.blobs import faults
from relay.broker.blobs.arriving import arriving
from relay.broker.blobs.progress import Line, Meter, watched
from relay.broker.blobs.room import Blobs
from relay.broker.blobs.taking import FOLDER, Spot
from relay.broker.collected import CollectedFiles, files_of
from relay.core.collected import CollectedFile
from relay.core.errors import Code, Misuse, RelayError, Unreachable
from relay.core.ids import BrokerId
from relay.store import blobs
from relay.store.blobs import Need, NeedState
from relay.store.journal import Journal
from relay.store.spawn_rows import SpawnRow


class Placing:
    """Writes collected files out.

    Args:
        journal: rows.
        room: the blobs.
        collected: what came back.
        own: this broker's id.
    """

    def __init__(self, journal: Journal, room: Blobs, collected: CollectedFiles, own: BrokerId) -> None:
        self._own = own
        self._journal = journal
        self._room = room
        self._collected = collected

    async def write(self, row: SpawnRow, folder: str, over: bool) -> AsyncIterator[Line]:
        """Write what is here, and what comes while one waits, into a folder; a line each of how far it is.

        Args:
            row: the spawn.
            folder: an absolute path; made where it is missing.
            over: whether files that stand there are replaced.

        Raises:
            Misuse: there is nothing to write, or a file stands in the way.
            Unreachable: some of it is not here; what is here was written.
        """
        files = files_of(row, self._own)
        if not over:
            _require_none_there(folder, files)
        await self._journal.commit(lambda entry: self._collected.want_again(entry, row))
        async for line in self._come(row, files):
            yield line
        async for line in self._written(row, files, folder, over):
            yield line
        yield {"files": [each.path for each in files], "to": folder}

    async def _come(self, row: SpawnRow, files: list[CollectedFile]) -> AsyncIterator[Line]:
        """Wait for what is on its way, all of it counted together: several files come at once."""
        downloads, total = self._room.downloads, sum(each.size for each in files)
        wanted = list({each.address for each in files})
        fetching = Meter("fetching", total - sum(map(downloads.left, wanted)))
        async for why in arriving(downloads, wanted, partial(self._is_to_come, row, files)):
            fetching.note(total - sum(map(downloads.left, wanted)), total)
            yield fetching.line(why)

    async def _written(
        self, row: SpawnRow, files: list[CollectedFile], folder: str, over: bool
    ) -> AsyncIterator[Line]:
        writing, missing, before = Meter("writing"), dict[str, str](), 0
        total = sum(each.size for each in files)
        for file in files:
            blob = await self._journal.store.one(blobs.BY_HASH, hash=file.address)
            if blob is None or not blob.whole:
                missing[file.path] = await self._collected.why_not(row, file)
                continue
            target, find = os.path.join(folder, file.path), _Finding(folder, file, over)
            told = partial(_note, writing, before, total)
            task = asyncio.get_running_loop().create_task(self._room.library.write_out(blob, target, told, find))
            async for line in watched(task, writing.line):
                yield line
            task.result()
            before += file.size
        if missing:
            raise _not_here(row, missing, len(files), self._collected.whose(row))

    async def _is_to_come(self, row: SpawnRow, files: list[CollectedFile]) -> bool:
        for file in files:
            blob = await self._journal.store.one(blobs.BY_HASH, hash=file.address)
            key = {"hash": file.address, "need": str(Need.DOWNLOAD), "peer": row.target}
            need = await self._journal.store.one(blobs.ONE, **key)
            if (blob is None or not blob.whole) and need is not None and need.state is NeedState.OPEN:
                return True
        return False


def _note(meter: Meter, before: int, total: int, moved: int, _: int) -> None:
    meter.note(before + moved, total)


def _require_none_there(folder: str, files: list[CollectedFile]) -> None:
    """Refuse before anything is written, rather than in the middle."""
    there = [each.path for each in files if os.path.lexists(os.path.join(folder, each.path))]
    if there:
        what = f"{os.path.join(folder, there[0])}{f' and {len(there) - 1} more' if len(there) > 1 else ''}"
        why = "a file that is there is written over only when that is asked for; nothing was written"
        hint = f"{faults.CHOOSE_FOLDER}, or add --force"
        raise Misuse(f"{what} exist{'s' * (len(there) == 1)} already", code=Code.BAD_FILE, why=why, hint=hint)


def _not_here(row: SpawnRow, missing: dict[str, str], count: int, other: str) -> Unreachable:
    path, why = next(iter(missing.items()))
    more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
    hint = f"relay result {row.id}   shows them, each with why; what waits comes by itself"
    return Unreachable(
        f"{len(missing)} of {count} files are not here{'' if other else ' yet'}",
        why=f"{path}{more}: {why}{'; the others were written' if len(missing) < count else ''}",
        hint=f"on {other}: relay result {row.id} --files DIR" if other else hint,
    )


class _Finding:
    """Finds the place of one file below the chosen folder, making the folders in between. Blocks."""

    def __init__(self, folder: str, file: CollectedFile, over: bool) -> None:
        self._folder, self._file, self._over = folder, file, over

    def __call__(self) -> Spot:
        *between, name = self._file.path.split("/")
        at = self._root()
        try:
            for each in between:
                at = _entered(at, each)
        except OSError as fault:
            os.close(at)
            raise self._in_the_way(fault) from None
        return Spot(at, name, self._file.mode, self._over, faults.CHOOSE_FOLDER)

    def _root(self) -> int:
        try:
            os.makedirs(self._folder, exist_ok=True)
            return os.open(self._folder, FOLDER)
        except FileExistsError:
            why = "it is no folder, and --files names the folder to write to"
            raise Misuse(
                f"{self._folder} cannot be written to", code=Code.BAD_FILE, why=why, hint=faults.CHOOSE_FOLDER
            ) from None
        except OSError as fault:
            raise faults.no_target(fault, self._folder, faults.CHOOSE_FOLDER) from None

    def _in_the_way(self, fault: OSError) -> RelayError:
        path = os.path.join(self._folder, self._file.path)
        why = f"{fault.strerror}: on the way to it stands a link, or what is no folder; nothing is written through that"
        return Misuse(f"{path} cannot be written", code=Code.BAD_FILE, why=why, hint=faults.CHOOSE_FOLDER)


def _entered(folder: int, name: str) -> int:
    """A folder in an open one, made where it is missing; the open one is closed."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, dir_fd=folder)
    found = os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=folder)
    os.close(folder)
    return found
