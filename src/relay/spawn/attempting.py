"""One attempt from its folder to its end: prepare, launch, observe. It tells the supervisor, and decides nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Awaitable, Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from relay.core.errors import NO_ROOM, Code, LocalFault, Refused, RelayError
from relay.core.values import frozen
from relay.core.wishes import NONE, Wishes
from relay.spawn import token, tree
from relay.spawn.agents.agent import Command
from relay.spawn.attempt import Attempt, Exited, Vanished
from relay.spawn.beginning import Ahead
from relay.spawn.by_force import ByForce, end_by_force
from relay.spawn.launcher import Launcher, LaunchFenced, LaunchRefused
from relay.spawn.launching import LaunchSpec
from relay.spawn.opened_record import OpenedRecord
from relay.spawn.outliving import Outliving
from relay.spawn.overdue import Overdue
from relay.spawn.recovery import Verdict, presume_begun
from relay.spawn.shim import processes
from relay.spawn.spares import Spares
from relay.spawn.watch import Watcher

if TYPE_CHECKING:
    from relay.spawn.attempt import Heard

FIRST_SIZE = (24, 80)
"""Rows and columns of a terminal that nobody has looked at yet."""
AGAIN_S = 1.0
KEPT = 256
"""Attempts whose paths are kept: they are asked for at each step, and making them is a good part of a short one."""
INSIST_S = 4.0  # the shim's own last step comes at most 3.5 s after a stop is asked for
_log = logging.getLogger(__name__)
_Done = TypeVar("_Done")


@frozen
class Plan:
    """What to launch, and where.

    Attributes:
        folder: the attempt folder's name.
        command: the agent's.
        environment: the whole of it.
        directory: where it runs.
        fresh: make that directory first.
        make: makes the place that the directory is in, unless told that it is to be stopped; None where it is there.
        boot: that of this machine, where the store says that it begins in it: its promise need not be on the disk.
        timeout_s: awake seconds, or None.
        log_limit: bytes that its log may have.
        wishes: how it is to be run.
    """

    folder: str
    command: Command
    environment: dict[str, str]
    directory: Path
    fresh: bool
    timeout_s: float | None
    log_limit: int
    wishes: Wishes = NONE
    make: Callable[[Callable[[], bool]], Awaitable[None]] | None = None
    boot: str | None = None


@frozen
class Fenced:
    """Nothing of the attempt was or will be started."""


@frozen
class Unlaunchable:
    """It could not be launched, for a reason that will not pass by itself."""

    fault: RelayError


End = Exited | Vanished | Fenced | Unlaunchable


class Attempting:
    """Carries attempts out on this machine.

    Args:
        root: the folder of attempt folders.
        launcher: the fork server.
        watcher: of the folders.
    """

    def __init__(self, root: Path, launcher: Launcher, watcher: Watcher) -> None:
        self._root = root
        self._launcher = launcher
        self._watcher = watcher
        self._spares = Spares(root)
        self._by_force = ByForce()
        self.outliving = Outliving()
        self._attempt = lru_cache(KEPT)(lambda name: Attempt(root / name))
        self.shims: dict[str, int] = {}
        """The attempt of each shim that is watched, by the shim's pid."""

    async def open(self) -> None:
        """Sort out the folders that an earlier run left; before any attempt is resumed."""
        await asyncio.to_thread(self._spares.reclaim)
        self._spares.top_up()

    def close(self) -> None:
        """Make no folders ahead any more."""
        self._spares.close()
        self.outliving.close()

    def folder(self, name: str) -> Attempt:
        """The attempt folder of that name, there or not."""
        return self._attempt(name)

    async def ahead(self, plan: Plan) -> Ahead | None:
        """Ask for the shim of an attempt that may not come to be; None where it has to wait for that.

        Nothing is started, and nothing of it is on the disk, before `run` is given what this returns.
        """
        if plan.fresh or plan.make is not None or _missing(plan) is not None:
            return None
        held = self._spares.hold()
        if held is None:
            return None
        try:
            token.write(held.folder)
            record = OpenedRecord(held.folder)
        except OSError:
            held.release()  # it is told when it is tried again
            return None
        try:
            asked = await self._launcher.ask(self._spec(plan, self.folder(plan.folder), held.folder))
        except BaseException as fault:  # whatever it is, as a want of memory: its shim would wait for the lock for ever
            held.release()
            record.close()
            if isinstance(fault, (OSError, RelayError)):
                return None
            raise
        return Ahead(held, plan.folder, self._launcher, asked, record)

    async def run(
        self, plan: Plan, stopping: Callable[[], str | None], heard: Heard, ahead: Ahead | None = None
    ) -> End:
        """Prepare, launch and follow an attempt to its end.

        Args:
            plan: what to run.
            stopping: who asked for a stop before the folder was there to hold it, or None.
            heard: told of the start and of output.
            ahead: what was done for it before it was decided on.
        """
        if ahead is not None and stopping() is not None:
            ahead.drop()  # what it is told by its record it has to be told first
        if ahead is not None and ahead.begin():
            return await self._follow(self._shim_of(ahead, plan), plan, heard, ahead.record)
        if (missing := _missing(plan)) is not None:
            return Unlaunchable(missing)
        try:
            if plan.make is not None:
                await plan.make(lambda: stopping() is not None)
            attempt = await self._prepared(plan)
        except RelayError as fault:
            return Unlaunchable(fault)
        except OSError as fault:
            return Unlaunchable(_no_folder(fault))
        if (by := stopping()) is not None:
            await asyncio.to_thread(attempt.request_stop, by)
        try:
            token.write(str(attempt.folder))
            opened = OpenedRecord(str(attempt.folder))
        except OSError as fault:
            return Unlaunchable(_no_folder(fault))
        return await self._follow(self._launcher.launch(self._spec(plan, attempt)), plan, heard, opened)

    async def stop(self, name: str, by: str) -> None:
        """Have an attempt stopped, where it is prepared; else `run` looks whether it is to be, before it launches."""
        try:
            await asyncio.to_thread(self.folder(name).request_stop, by)
        except OSError:
            if name in self.shims:  # its task has put the record away, by which its shim is told
                self._by_force.ends(name, by)
                await asyncio.to_thread(tree.sweep, name, None)

    async def insist(self, name: str) -> None:
        """End an attempt that was to stop and does not, as where its task keeps its shim stopped."""
        await asyncio.sleep(INSIST_S)
        if name in self.shims:
            await asyncio.to_thread(end_by_force, self.folder(name), self.shims[name])

    async def _shim_of(self, ahead: Ahead, plan: Plan) -> int:
        try:
            return await ahead.shim()
        except LaunchRefused:
            # nothing was started; a fork server of an earlier version knows nothing of what is asked for ahead
            return await self._launcher.launch(self._spec(plan, self.folder(plan.folder)))

    async def _follow(self, launched: Awaitable[int], plan: Plan, heard: Heard, opened: OpenedRecord) -> End:
        with contextlib.closing(opened):
            try:
                shim = await launched
            except LaunchFenced:
                return Fenced()
            except RelayError as fault:
                is_stopped = self.folder(plan.folder).read().stopping  # meanwhile: nothing was started
                return Fenced() if is_stopped else Unlaunchable(fault)
            with self._known(shim, plan.folder, plan.timeout_s):
                return await self._observed(plan.folder, heard, shim, opened)

    async def _observed(
        self, name: str, heard: Heard, shim: int | None = None, opened: OpenedRecord | None = None
    ) -> End:
        def observing() -> Awaitable[Exited | Vanished]:
            return self.folder(name).observe(self._watcher, heard, shim=shim, opened=opened)

        end = await self._for_sure(name, observing)
        self.outliving.look_at(self.folder(name).folder, self.shims.get(name, 0), launched=shim is not None)
        return _plain(self._by_force.told(name, end))

    async def _for_sure(self, name: str, work: Callable[[], Awaitable[_Done]]) -> _Done:
        is_told = False
        while True:
            try:
                return await work()
            except OSError as fault:  # no descriptor, or no room on the disk: it goes on, and is looked at again
                if not is_told:
                    _log.error("attempt %s cannot be followed now: %s", name, fault)
                is_told = True
            await asyncio.sleep(AGAIN_S)

    async def resume(
        self, name: str, heard: Heard, boot: str | None = None, timeout_s: float | None = None
    ) -> End:
        """Follow an attempt that an earlier run of the broker began, whatever became of it.

        Args:
            name: its folder's.
            heard: told of the start and of output.
            boot: the one in which it was to begin at once; None where its promise is on the disk if there was one.
            timeout_s: awake seconds, or None.
        """
        if boot not in (None, processes.boot_id()):
            await self._for_sure(name, lambda: asyncio.to_thread(presume_begun, self.folder(name).folder))
        shim = await self._for_sure(name, lambda: _shim_of(self.folder(name)))
        with self._known(shim, name, timeout_s):
            return await self._observed(name, heard)

    @contextlib.contextmanager
    def _known(self, shim: int, name: str, timeout_s: float | None) -> Iterator[None]:
        # a shim that is given another attempt has ended the one before, though that may be still to be heard of
        for before in [each for each, pid in self.shims.items() if pid == shim and pid]:
            del self.shims[before]
        self.shims[name] = shim
        overdue = Overdue(self.folder(name), timeout_s, shim)
        try:
            yield
        finally:
            overdue.over()
            self.shims.pop(name, None)

    def is_token(self, name: str, secret: str) -> bool:
        """Whether this is the secret of the attempt of that name."""
        return token.fits(self._root / name, secret)

    def forget_token(self, name: str) -> None:
        """The attempt is over: its token opens nothing any more."""
        token.remove(self.folder(name).folder)

    async def _prepared(self, plan: Plan) -> Attempt:
        if not plan.fresh and self._spares.take(plan.folder):
            return self.folder(plan.folder)
        return await asyncio.to_thread(self._prepare, plan)

    def _prepare(self, plan: Plan) -> Attempt:
        if plan.fresh:
            plan.directory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)  # `parents` would take the umask's
            plan.directory.mkdir(exist_ok=True, mode=0o700)
        return Attempt.prepare(self._root, plan.folder)

    def _spec(self, plan: Plan, attempt: Attempt, held: str = "") -> LaunchSpec:
        command = plan.command
        return LaunchSpec(
            folder=attempt.folder,
            argv=command.argv,
            env=plan.environment | command.environment | token.environment(attempt.folder),
            cwd=plan.directory,
            stdin=None if command.stdin is None else command.stdin.encode("utf-8", "replace"),
            timeout_s=plan.timeout_s,
            stop_signal=command.stop_signal,
            log_limit=plan.log_limit,
            memory=plan.wishes.memory,
            cpus=plan.wishes.cpus,
            keep_awake=plan.wishes.keep_awake,
            door=plan.wishes.stdin,
            terminal=FIRST_SIZE if plan.wishes.tty else None,
            held=held,
            durable=plan.boot is None,
        )


async def _shim_of(attempt: Attempt) -> int:
    """The pid of an attempt's shim; 0, which is nobody's, where none has promised to run it."""
    try:
        intent = attempt.read().intent
    except FileNotFoundError:
        return 0
    return 0 if intent is None else intent.shim


def _plain(end: Exited | Vanished) -> End:
    if isinstance(end, Vanished) and end.verdict is Verdict.FENCE_AND_REQUEUE:
        return Fenced()
    return end


def _missing(plan: Plan) -> Refused | None:
    """Why a conductor would find no program to run; the shim says it of a command's first word."""
    program = plan.command.program
    path = (plan.environment | plan.command.environment).get("PATH")
    if not program or shutil.which(program, path=path) is not None:
        return None
    return Refused(
        f"{program} was not found in {path}",
        code=Code.MISSING_BINARY,
        hint="install it there, or add its folder to PATH where that broker is started",
    )


def _no_folder(fault: OSError) -> LocalFault:
    return LocalFault(
        "its folder could not be made",
        code=Code.DISK_FULL if fault.errno in NO_ROOM else Code.LAUNCH_FAILED,
        why=str(fault),
        hint="relay doctor, on the machine that was to run it",
    )
