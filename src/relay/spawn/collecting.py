"""What an attempt made and its origin wants back (`spawn --collect`), once its process tree has ended.

    the end ─► gather below its directory ─► keep each file, pinned ─► the word on the end lists them ─► they are pulled

A file that cannot be kept is a sentence in the result's notes and nothing else: how the attempt ended stands before.
After a crash in between the exit record is found again and the files are looked for again; those that were kept are
the same blobs.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Iterator
from typing import Any, Protocol

from relay.core.collected import KEY, MAX_BYTES, MAX_FILES, MAX_LIST, CollectedFile, collected_files
from relay.core.errors import RelayError
from relay.core.spawning import MAX_SNAPSHOT
from relay.core.wire import pack
from relay.spawn.gathering import Found, Left, gathered
from relay.spawn.outcome import Outcome
from relay.store.journal import Entry
from relay.store.spawn_rows import SpawnRow

ROOM = 8 * 1024  # of a snapshot, for all that is neither result nor error


class Shelf(Protocol):
    """Where files are kept: the broker's blobs."""

    async def keep(self, row: SpawnRow, found: Found) -> CollectedFile:
        """Take a file in, pinned for its spawn; its handle is closed however this ends.

        Raises:
            RelayError: it cannot be kept, and why.
        """

    def hand_over(self, entry: Entry, row: SpawnRow, files: list[CollectedFile]) -> None:
        """Let the spawn's origin pull these, and let go of what is pinned for the spawn beside them."""


class Collecting:
    """Collects the files of attempts that have ended."""

    def __init__(self) -> None:
        self._shelf: Shelf | None = None
        self._busy: set[asyncio.Task[Any]] = set()
        self._closed = False

    def connect(self, shelf: Shelf) -> None:
        """Say where files are kept."""
        self._shelf = shelf

    async def collected(self, row: SpawnRow, outcome: Outcome) -> Outcome:
        """The outcome with the files that its origin wanted back, and with what is to be said of those that are not.

        Args:
            row: with the directory it ran in.
            outcome: how its attempt ended, its tree gone.
        """
        if not row.wishes.collect or outcome.result is None or self._shelf is None:
            return outcome
        if self._closed:
            await asyncio.Event().wait()  # until this is cancelled: the next start finds the exit record, and collects
        task = asyncio.current_task()
        assert task is not None
        self._busy.add(task)
        try:
            files, left = await self._gather(self._shelf, row)
        finally:
            self._busy.discard(task)
        return _with_files(outcome, row.wishes.collect, files, left)

    async def _gather(self, shelf: Shelf, row: SpawnRow) -> tuple[list[CollectedFile], Left]:
        files, left, bounds = list[CollectedFile](), Left(), _Bounds()
        walk = gathered(row.ran_in or "", row.wishes.collect, left)
        while (found := await asyncio.to_thread(_next, walk)) is not None:
            if (why := bounds.refusal(found)) is not None:
                os.close(found.handle)
                left.note(why, found.path)
                continue
            try:
                kept = await shelf.keep(row, found)
            except RelayError as error:
                left.note(error.message if not error.why else f"{error.message}: {error.why}", found.path)
                continue
            bounds.took(kept)
            files.append(kept)
        return files, left

    def settle(self, entry: Entry, row: SpawnRow, outcome: Outcome) -> None:
        """In the transaction of an attempt's end: what is kept for it from now on is what its outcome lists.

        Args:
            entry: the transaction.
            row: the spawn.
            outcome: of the attempt; one that another attempt follows has its files let go.
        """
        if row.wishes.collect and self._shelf is not None:
            self._shelf.hand_over(entry, row, collected_files(outcome.result))

    async def close(self) -> None:
        """Collect no more; what is under way is left for the next start."""
        self._closed = True
        for task in self._busy:
            task.cancel()
        await asyncio.gather(*self._busy, return_exceptions=True)


class _Bounds:
    """How much one spawn may give back."""

    def __init__(self) -> None:
        self._count = self._bytes = self._listed = 0

    def refusal(self, found: Found) -> str | None:
        """Why a further file is one too many, or None."""
        weight = CollectedFile(found.path, found.size, found.mode, "").weight
        if self._count >= MAX_FILES:
            return f"there are more than {MAX_FILES} files; pack them into one, such as with tar"
        if self._listed + weight > MAX_LIST:
            return "their names are too long together; pack them into one, such as with tar"
        if self._bytes + found.size > MAX_BYTES:
            return f"together they would have more than {MAX_BYTES >> 20} MiB"
        return None

    def took(self, kept: CollectedFile) -> None:
        """A file was kept."""
        self._count, self._bytes = self._count + 1, self._bytes + kept.size
        self._listed += kept.weight


def _next(walk: Iterator[Found]) -> Found | None:
    return next(walk, None)


def _with_files(
    outcome: Outcome, patterns: tuple[str, ...], files: list[CollectedFile], left: Left
) -> Outcome:
    assert outcome.result is not None
    notes = [*outcome.result["notes"], *left.sentences()]
    if not files and not left.counts:
        notes.append("nothing matched what was to be collected")
    elif left.is_whole and (missed := [each for at, each in enumerate(patterns) if at not in left.matched]):
        notes.append(f"nothing matched {', '.join(missed)}")
    listed = [each.to_content() for each in files]
    result = outcome.result | {KEY: listed, "notes": [note[:1000] for note in notes[:20]]}
    if len(pack(result)) + ROOM > MAX_SNAPSHOT:  # never, by the bounds above; a list less is better than no word
        result |= {KEY: [], "notes": ["the list of collected files was too long to be told"]}
    return dataclasses.replace(outcome, result=result)


def without_files(outcome: Outcome) -> Outcome:
    """The outcome of an attempt whose files nobody will ask for, since another one follows."""
    return dataclasses.replace(outcome, result=(outcome.result or {}) | {KEY: []})
