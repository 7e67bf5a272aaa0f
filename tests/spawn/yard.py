"""A place to run attempts in, which leaves no process behind."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relay.spawn import shim, transcript, tree
from relay.spawn.attempt import Attempt, Exited, ExitRecord, Output, Started, Vanished
from relay.spawn.launcher import Launcher
from relay.spawn.launching import LaunchSpec
from relay.spawn.shim import folder as layout
from relay.spawn.shim import processes
from relay.spawn.watch import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable

ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}


async def until(condition: Callable[[], Any], within_s: float = 30.0) -> None:
    """Wait for a condition; AssertionError when its time is over."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s} s"
        await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process with this pid runs."""
    found = processes.look_up(pid)
    return found is not None and found.alive


def stands_still(pid: int) -> bool:
    """Whether a process was stopped: what would have it go on comes too early before."""
    found = processes.look_up(pid)
    return found is not None and found.state == "T"


def children(pid: int) -> list[int]:
    """The children of a process of one thread."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def edited(folder: Path, *changes: tuple[str, str, str]) -> Path:
    """A copy of the shims' program, which is no module of this process that could be patched; its entry.

    Args:
        folder: where it is put.
        changes: a file, what stands there once, and what is to stand there instead.
    """
    copy = folder / "edited" / "shim"
    shutil.copytree(Path(shim.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for name, before, after in changes:
        text = (copy / name).read_text()
        assert text.count(before) == 1, (name, before)
        (copy / name).write_text(text.replace(before, after))
    return copy / "serve.py"


def holds(pid: int, folder: Path) -> bool:
    """Whether a process has files of that folder open."""
    try:
        found = [os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()]
    except FileNotFoundError:  # it, or one of the files, is closed meanwhile
        return alive(pid)
    return any(file.startswith(str(folder)) for file in found)


@dataclass
class Run:
    """One observed attempt."""

    attempt: Attempt
    shim: int
    events: list[Started | Output]
    watching: asyncio.Task[Exited | Vanished]

    async def end(self) -> Exited | Vanished:
        return await self.watching

    async def exit(self) -> ExitRecord:
        end = await self.watching
        assert isinstance(end, Exited), end
        return end.record

    async def started(self) -> Started:
        await until(lambda: any(isinstance(event, Started) for event in self.events))
        return next(event for event in self.events if isinstance(event, Started))

    async def says(self, text: str) -> None:
        await until(lambda: text in self.output())

    def output(self, stream: int | None = None) -> str:
        chunks = transcript.chunks(self.attempt.log)
        return b"".join(each.data for each in chunks if stream in (None, each.stream)).decode()

    def tree(self) -> list[int]:
        return [process.pid for process in tree.find(self.attempt.folder.name, None)]


class Yard:
    """A folder of attempts, a watcher and a launcher."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.watcher = Watcher()
        self.launcher = Launcher(self.watcher, root.parent / "errors")
        self.names: list[str] = []

    def prepare(self) -> Attempt:
        name = f"{uuid.uuid4().hex}-1"
        self.names.append(name)
        return Attempt.prepare(self.root, name)

    def spec(self, attempt: Attempt, *argv: str, **options: Any) -> LaunchSpec:
        return LaunchSpec(attempt.folder, argv, **{"env": ENVIRONMENT, "cwd": Path("/"), **options})

    async def launch(self, *argv: str, ahead: bool = False, **options: Any) -> Run:
        attempt = self.prepare()
        if ahead:
            return await self._launch_ahead(attempt, argv, options)
        shim = await self.launcher.launch(self.spec(attempt, *argv, **options))
        return self.observe(attempt, shim)

    async def _launch_ahead(self, attempt: Attempt, argv: tuple[str, ...], options: dict[str, Any]) -> Run:
        held = attempt.folder.rename(self.root / f"spare-{attempt.folder.name}")
        lock = layout.take_lock(str(held))
        assert lock is not None
        asked = await self.launcher.ask(self.spec(attempt, *argv, held=str(held), **options))
        held.rename(attempt.folder)
        os.close(lock)
        return self.observe(attempt, await self.launcher.shim_of(asked))

    def observe(self, attempt: Attempt, shim: int | None = None) -> Run:
        events: list[Started | Output] = []
        watching = asyncio.create_task(attempt.observe(self.watcher, events.append, shim=shim))
        return Run(attempt, shim or 0, events, watching)

    async def sh(self, script: str, **options: Any) -> Run:
        return await self.launch("sh", "-c", script, **options)

    async def run(self, script: str, **options: Any) -> ExitRecord:
        return await (await self.sh(script, **options)).exit()

    async def close(self) -> None:
        server = self.launcher.server_pid
        await self.launcher.close()
        self.watcher.close()
        left = {name: tree.find(name, None) for name in self.names}
        for name in left:
            tree.sweep(name, None)
        assert not any(left.values()), left
        if server is not None:
            await until(lambda: not alive(server))
            self.reap(server)
        errors = self.root.parent / "errors"
        assert not errors.exists() or not errors.read_text(), errors.read_text()

    def reap(self, pid: int) -> None:
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            return
