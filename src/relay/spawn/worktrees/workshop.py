"""One spawn's place from its making to its end, off the loop.

    admitted ─► its tree comes as a blob ─► starting: the place is made ─► it runs ─► commits, and a bundle of them

A place that is whole is used again by every further attempt. What is cut off in between is begun anew at the next
start.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

from relay.core.errors import RelayError
from relay.core.sources import read_source
from relay.core.spawning import FRESH_DIRECTORY
from relay.core.workplaces import KEY, UNBROUGHT, Change, Workplace, branch_of, change_of
from relay.git.command import LONG_S, MARK, Git, Leash, Stopped
from relay.spawn.outcome import Outcome
from relay.spawn.shim import processes
from relay.spawn.shim.tree import signal_all
from relay.spawn.taking_away import take_away
from relay.spawn.worktrees.bringing_back import TIP, Brought, bring_back
from relay.spawn.worktrees.checkout import Checkout
from relay.spawn.worktrees.mirror import Mirrors
from relay.spawn.worktrees.place import Place
from relay.store.journal import Entry
from relay.store.spawn_rows import SpawnRow

T = TypeVar("T")
AT_ONCE = 2
LOOK_EVERY_S = 0.1
MOST_NOTES = 20


class Freight(Protocol):
    """What carries trees and changes: the broker's blobs."""

    def missing(self, entry: Entry, row: SpawnRow) -> str:
        """Why a spawn's tree is not here yet, or empty; it is asked for where it was not.

        Raises:
            RelayError: it will not come, and why.
        """

    async def fetch(self, row: SpawnRow, to: Path) -> None:
        """Write the bundle of a spawn's tree to a file.

        Raises:
            RelayError: it is not here, and why.
        """

    async def keep(self, row: SpawnRow, bundle: Path) -> tuple[str, int]:
        """Take in what changed, kept for its spawn; its address in hexadecimal, and its size.

        Raises:
            RelayError: it cannot be kept, and why.
        """

    def hand_over(self, entry: Entry, row: SpawnRow, change: Change | None) -> None:
        """In the transaction of an end: let the origin pull the change, and let go of all else kept for the spawn."""


class Workshop:
    """Makes places, and brings back what changed in them.

    Args:
        root: the folder of worktrees, in the home.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.realpath(root))
        self._checkout = Checkout(Mirrors(self.root))
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="relay-git")
        self._freight: Freight | None = None
        self._stops: set[Leash] = set()
        self._closed = False

    def connect(self, freight: Freight) -> None:
        """Say what carries trees."""
        self._freight = freight

    def place(self, spawn: str) -> Place:
        """The place of a spawn, there or not."""
        return Place(self.root, spawn)

    # before it starts

    def missing(self, entry: Entry, row: SpawnRow) -> str:
        """Why a spawn cannot start yet for want of its tree, or empty; as `Freight.missing`."""
        wish = row.wishes.place
        if wish is None or wish.tree is None or self._freight is None or self.place(row.id).is_whole:
            return ""
        return self._freight.missing(entry, row)

    async def make(self, row: SpawnRow, is_stopping: Callable[[], bool]) -> None:
        """Make the place of a spawn, unless it is there. Returns early, with nothing made, where it is to be stopped.

        Raises:
            RelayError: why it cannot be made.
        """
        wish, place = row.wishes.place, self.place(row.id)
        if wish is None or place.is_whole:
            return
        stop = Leash(str(self.root))
        with self._scratch() as scratch:
            bundle = Path(scratch) / "tree.bundle" if wish.tree is not None else None
            if bundle is not None:
                assert self._freight is not None
                await self._freight.fetch(row, bundle)
            making = self._run(stop, self._checkout.make, place, wish, branch_of(row.name), bundle, stop)
            task = asyncio.get_running_loop().create_task(making)
            try:
                while not task.done():
                    await asyncio.wait([task], timeout=LOOK_EVERY_S)
                    if is_stopping():
                        stop.set()
            finally:
                stop.set()
                await asyncio.wait([task])
            try:
                task.result()
            except Stopped:
                if self._closed:
                    raise asyncio.CancelledError from None

    def _scratch(self) -> tempfile.TemporaryDirectory[str]:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix=".scratch-", dir=self.root, ignore_cleanup_errors=True)

    async def _run(self, stop: Leash, work: Callable[..., T], *args: Any) -> T:
        if self._closed:
            raise asyncio.CancelledError  # the next start takes it up
        self._stops.add(stop)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, *args)
        finally:
            self._stops.discard(stop)

    # when it has ended

    async def brought_back(self, row: SpawnRow, outcome: Outcome) -> Outcome:
        """The outcome with what changed in its place. Nothing that fails here changes how it ended: it is noted.

        Args:
            row: the spawn.
            outcome: how its attempt ended, its tree gone.
        """
        wish, place = row.wishes.place, self.place(row.id)
        if wish is None or outcome.result is None or not (place.was_made or place.has_tree):
            return outcome
        stop = Leash(str(self.root))
        try:
            with self._scratch() as scratch:
                brought = await self._run(stop, self._brought, row, Path(scratch), stop)
                told = await self._told(row, wish, brought, stop)
            place.was_brought_back()
        except Stopped:
            raise asyncio.CancelledError from None
        except asyncio.CancelledError:
            stop.set()
            raise
        except (RelayError, OSError, ValueError) as fault:
            place.stays()
            told = {"notes": [f"{UNBROUGHT}, and stays in {place.tree}: {_of(fault)}"]}
        notes = [*outcome.result["notes"], *told.pop("notes")]
        result = outcome.result | told | {"notes": [each[:1000] for each in notes[:MOST_NOTES]]}
        return dataclasses.replace(outcome, result=result)

    def _brought(self, row: SpawnRow, scratch: Path, stop: Leash) -> Brought:
        place = self.place(row.id)
        if not place.was_made:
            raise ValueError("what stands beside it of where it began was removed meanwhile")
        message = f"What {row.agent} left uncommitted\n\n{row.name}, attempt {row.attempt}\nRelay-Spawn: {row.id}\n"
        return bring_back(place, place.began(), message, scratch, stop)

    async def _told(
        self, row: SpawnRow, wish: Workplace, brought: Brought, stop: Leash
    ) -> dict[str, Any]:
        told: dict[str, Any] = {"notes": brought.notes}
        if brought.tip == brought.base:
            return told
        branch = branch_of(row.name)
        told |= {"branch": branch, "diffstat": brought.diffstat}
        if brought.bundle is not None:
            assert self._freight is not None
            try:
                blob, size = await self._freight.keep(row, brought.bundle)
                told[KEY] = Change(blob, size, brought.base, brought.tip, brought.commits).to_content()
            except RelayError as fault:
                where = self.place(row.id).tree
                brought.notes.append(f"what it changed could not be kept, and stays in {where}: {_of(fault)}")
        if wish.pushed_to is not None:
            told["pushed"] = pushed = await self._run(stop, self._pushed, row, wish.pushed_to, branch, stop)
            if not pushed["done"]:
                brought.notes.append(f"it was not pushed to {pushed['remote']}: {pushed['why']}")
        return told

    def _pushed(self, row: SpawnRow, url: str, branch: str, stop: Leash) -> dict[str, Any]:
        beside = self.place(row.id).beside
        source = read_source(url)
        git = Git(beside, git_dir=beside, protocols=(source.protocol,), own_settings=True, stop=stop)
        told = {"remote": source.url, "branch": branch, "done": True, "why": ""}
        try:
            git.run("push", "-q", "--", source.url, f"{TIP}:refs/heads/{branch}", seconds=LONG_S)
        except RelayError as fault:
            return told | {"done": False, "why": _of(fault)[:600]}
        return told

    def ended(self, entry: Entry, row: SpawnRow) -> None:
        """In the transaction of an end, whether it ran or not: what is kept for it is what its end tells of."""
        if row.wishes.place is not None and self._freight is not None:
            self._freight.hand_over(entry, row, change_of(row.result))

    # cleaning and closing

    async def remove(self, spawn: str) -> None:
        """Remove a spawn's place, where there is one. It must have ended.

        Raises:
            OSError: something of it cannot be removed; all else was.
        """
        await asyncio.get_running_loop().run_in_executor(self._pool, self.place(spawn).remove)

    def is_gone(self, row: SpawnRow) -> bool:
        """Whether a spawn has run in a folder of its own that is here no more."""
        if row.attempt == 0 or row.cwd != FRESH_DIRECTORY:
            return False
        place = self.place(row.id)
        return not (place.tree.is_dir() if row.wishes.place is None else place.is_whole)

    async def close(self) -> None:
        """Stop git; what was under way is begun anew at the next start."""
        self._closed = True
        for stop in self._stops:
            stop.set()
        await asyncio.to_thread(self._pool.shutdown)

    async def open(self) -> None:
        """End what a broker that was killed left running, and remove what it left half done."""
        await asyncio.to_thread(self._clear)

    def _clear(self) -> None:
        if not self.root.is_dir():
            return
        table = processes.table()
        left = processes.carriers(table, f"{MARK}={self.root}".encode())
        signal_all([table[pid] for pid in left | processes.descendants(table, left)], signal.SIGKILL)
        for path in self.root.glob(".scratch-*"):
            take_away(path, ignore_errors=True)


def _of(fault: Exception) -> str:
    if isinstance(fault, RelayError):
        return f"{fault.message}: {fault.why}" if fault.why else fault.message
    return str(fault)
