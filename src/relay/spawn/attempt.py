"""One attempt as the broker sees it: a folder that is prepared, observed and told to stop.

The same code serves an attempt that was just launched and one that was found after a broker's `kill -9`: all it
knows it reads from the folder.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from relay.core.values import frozen
from relay.spawn import slots, transcript
from relay.spawn.recovery import Verdict, settle_by
from relay.spawn.shim import folder as layout
from relay.spawn.shim import processes, record

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.spawn.opened_record import OpenedRecord
    from relay.spawn.watch import Changes, Watcher

    Heard = Callable[["Started | Output"], None]

QUIET_S = 0.3
"""For how long an attempt that was just launched need not tell of its steps, but of output and its end."""
_Value = TypeVar("_Value", "Intent", "Started", "ExitRecord")


@frozen
class Intent:
    """The shim's promise, written before the task can exist."""

    shim: int
    ticks: int
    boot: str
    protocol: int
    at: int


@frozen
class Started:
    """The task is past exec.

    Attributes:
        pid, ticks: of its process.
        at: ms since the epoch.
        not_awake: why the machine may fall asleep though it was to be kept awake; empty where all is well.
    """

    pid: int
    ticks: int
    at: int
    not_awake: str = ""


@frozen
class Output:
    """The log has grown to `up_to_offset` bytes; its last frame may still be on its way."""

    up_to_offset: int


@frozen
class LaunchError:
    """Why a task could not be started, or the shim not do its work.

    Attributes:
        kind: `not_found`, `not_executable`, `noexec`, `bad_interpreter`, `bad_cwd`, `too_long`, `exec_failed`,
            `stopped` (before it was started), `no_limits` or `shim_fault`.
        errno: the system's number where it gave one.
        text: what and why, at most about 150 characters.
    """

    kind: str
    errno: int | None
    text: str


@frozen
class ExitRecord:
    """How an attempt ended; written when no process of its tree was left (but `survivors`).

    Attributes:
        exit_code: of the main process; None where a signal ended it or it never ran.
        signal: that ended the main process.
        timed_out: the shim stopped it because its time was over.
        stopped: a durable stop preceded the main process's end.
        started_at, ended_at: of the main process, ms since the epoch; `started_at` is None if it never ran.
        error: why it never ran, or what befell the shim.
        survivors: processes that a second of KILLs did not end (of other users, or stuck in the kernel).
        maxrss_kib, cpu_ms: of the main process and what it waited for; the first is at least the shim's own.
        log_bytes: how long the log has become, kept or not: the offset of its end.
        log_dropped: bytes of output that went because newer ones came, and are no longer kept.
        oom: the kernel ended it, or a part of it, because memory had run out.
        not_awake: why the machine could fall asleep though it was to be kept awake.
        log_lost: bytes of output that could not be written, for the reason in `log_error` (`ENOSPC`, ...).
        log_written: bytes of output that were, kept or not; None from a shim of an earlier version.
    """

    exit_code: int | None
    signal: int | None
    timed_out: bool
    stopped: bool
    started_at: int | None
    ended_at: int
    error: LaunchError | None
    survivors: int = 0
    maxrss_kib: int = 0
    cpu_ms: int = 0
    log_bytes: int = 0
    log_dropped: int = 0
    log_lost: int = 0
    log_written: int | None = None
    log_error: str | None = None
    oom: bool = False
    not_awake: str = ""


@frozen
class Exited:
    """The end, with its record, and who asked for it where the record says `stopped`."""

    record: ExitRecord
    stopped_by: str = ""


@frozen
class Vanished:
    """The shim is gone and left no exit record; the tree has been swept, the attempt can start no more.

    Attributes:
        verdict: FENCE_AND_REQUEUE where the task never started, SWEEP_AND_LOST otherwise.
        survivors: processes that the sweep could not kill.
    """

    verdict: Verdict
    survivors: int


@frozen
class Record:
    """All slots of the record at one moment; None or False where absent."""

    intent: Intent | None
    started: Started | None
    exit: ExitRecord | None
    fenced: bool
    stopping: bool
    stopped_by: str = ""


class Attempt:
    """One attempt folder, there or not. It keeps no descriptor open, and nothing of what it read.

    Attributes:
        folder: its path.
        log: the log's path, for `transcript`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / layout.LOG

    @classmethod
    def prepare(cls, root: Path, name: str) -> Attempt:
        """Make `root/name` with all its files, durable when this returns. Blocks for three fsyncs (about 1 ms).

        Must return before the launch is asked for: recovery from a missing folder rests on it.
        """
        layout.furnish(str(root / name))
        return cls(root / name)

    def read(self) -> Record:
        """The record as it stands. Reads 4 KiB of page cache. A missing folder reads as an empty record."""
        try:
            fd = layout.open_record(str(self.folder))
        except FileNotFoundError:
            return Record(None, None, None, fenced=False, stopping=False)
        try:
            return _typed(slots.read(fd))
        finally:
            os.close(fd)

    def request_stop(self, by: str = "") -> bool:
        """Have the attempt stopped: the wish is durable before the shim is signalled. Blocks for one sync.

        An attempt without a shim yet will not start. Safe to repeat, also by the next broker.

        Args:
            by: who asked, for the record; at most 200 characters are kept.

        Returns:
            False where the attempt had ended already.

        Raises:
            FileNotFoundError: where the folder is missing; recovery fences such an attempt.
        """
        fd = os.open(self.folder / layout.RECORD, os.O_RDWR)
        try:
            if record.read_slot(fd, record.STOP) is None:
                wish = {"at": time.time_ns() // 1_000_000, "by": record.short(by)}
                record.write_slot(fd, record.STOP, wish, durable=True)
            now = _typed(slots.read(fd))
        finally:
            os.close(fd)
        _tell(now)
        return now.exit is None

    async def observe(
        self, watcher: Watcher, on_event: Heard, *, shim: int | None = None, opened: OpenedRecord | None = None
    ) -> Exited | Vanished:
        """Follow the attempt to its end, from wherever it is: just launched, running since before, or over.

        Args:
            watcher: the process's watcher.
            on_event: called in the event loop with `Started` once, and with `Output` whenever the log has grown
                (many writes may make one call). Both also tell what happened before this call.
            shim: the shim's pid as `Launcher.launch` returned it. Without it, and without an intent in the
                record, the attempt is recovered: fenced if nobody is about to start it.
            opened: its record, where that is open already.
        """
        with watcher.folder(self.folder, None if shim is None else layout.LOG) as changes:
            following = _Following(self, watcher, changes, on_event, opened)
            try:
                return await following.to_the_end(shim)
            finally:
                following.close()


class _Following:
    """What an observer has been told so far."""

    def __init__(
        self, attempt: Attempt, watcher: Watcher, changes: Changes, on_event: Heard, opened: OpenedRecord | None
    ) -> None:
        self._attempt = attempt
        self._watcher, self._changes = watcher, changes
        self._on_event = on_event
        self._seen = bytes(record.RECORD_BYTES)
        self._started, self._offset = False, 0
        self._opened, self._fd = opened, None if opened is None else opened.take()

    async def to_the_end(self, shim: int | None) -> Exited | Vanished:
        end = await self._while_it_lives(shim)
        while end is None:
            outcome = await settle_by(self._opened, self._fd, self._attempt.folder, self._changes, self._started)
            if outcome.verdict is not Verdict.REATTACH:
                return self._end() or Vanished(outcome.verdict, outcome.survivors)
            # `shim` was refused because another owns the attempt, or nobody told us whose it is.
            end = await self._while_it_lives(None)
        return end

    async def _while_it_lives(self, shim: int | None) -> Exited | None:
        """Until the exit record is there, or without one the shim is gone; `shim` serves without an intent."""
        if shim is not None:
            return await self._until_ended(shim, None)
        now = self._attempt.read()
        if now.stopping:
            # The broker that wrote the wish may have died before it told the shim.
            _tell(now)
        return await self._until_ended(now.intent.shim, now.intent) if now.intent else self._end()

    async def _until_ended(self, pid: int, intent: Intent | None) -> Exited | None:
        with self._watcher.process(pid, self._changes) as ended:
            # The pid was opened before it is compared: it cannot become another's in between.
            gone = intent is not None and not _same_shim(intent)
            while (end := self._end()) is None and not (gone or ended()):
                # one that ends at once says so once; whatever else comes, or does not, is watched from then on
                quiet = self._changes.is_narrow
                await self._changes.wait(QUIET_S if quiet else None)
                if quiet and (end := self._end()) is None:
                    self._changes.widen()
        return end or self._end()

    def _end(self) -> Exited | None:
        """Tell what is new; the end where it has come."""
        # The record first: what the log holds when the exit is written is then told before it.
        page = self._page()
        if page == self._seen:  # it had no end then
            self._tell_output(None)
            return None
        started = None if self._started else slots.sound_in(page, record.STARTED)
        end = slots.sound_in(page, record.EXIT)
        if started:
            self._started = True
            self._on_event(_pick(Started, started))
        self._tell_output(None if end is None else end.get("log_bytes"))
        self._seen = page if end is None else b""
        by = "" if end is None else (slots.sound_in(page, record.STOP) or {}).get("by", "")
        return None if end is None else Exited(_typed_exit(end), str(by))

    def _page(self) -> bytes:
        # One descriptor for the whole attempt: this is looked at on every sign of life.
        if self._fd is None:
            try:
                self._fd = layout.open_record(str(self._attempt.folder))
            except FileNotFoundError:
                return b""
        return os.pread(self._fd, record.RECORD_BYTES, 0)

    def close(self) -> None:
        """Let go of the record."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _tell_output(self, known: int | None) -> None:
        try:
            size = transcript.end(self._attempt.log) if known is None else known
        except FileNotFoundError:
            return
        if size > self._offset:
            self._offset = size
            self._on_event(Output(size))


def _same_shim(intent: Intent) -> bool:
    return intent.boot == processes.boot_id() and processes.same(intent.shim, intent.ticks)


def _tell(now: Record) -> None:
    if now.intent and now.exit is None and now.intent.boot == processes.boot_id():
        processes.wake_with(now.intent.shim, now.intent.ticks, signal.SIGTERM)


def _typed(found: list[dict[str, Any] | None]) -> Record:
    intent, started, end, stop = (found[at] for at in (record.INTENT, record.STARTED, record.EXIT, record.STOP))
    return Record(
        intent=_pick(Intent, intent) if intent else None,
        started=_pick(Started, started) if started else None,
        exit=_typed_exit(end) if end else None,
        fenced=found[record.FENCE] is not None,
        stopping=stop is not None,
        stopped_by=str((stop or {}).get("by", "")),
    )


def _typed_exit(fields: dict[str, Any]) -> ExitRecord:
    error = fields["error"]
    return _pick(ExitRecord, {**fields, "error": LaunchError(**error) if error else None})


def _pick(kind: type[_Value], fields: dict[str, Any]) -> _Value:
    # A shim outlives its broker's upgrade, and its downgrade: what it says beyond our words is left out.
    return kind(**{name: value for name, value in fields.items() if name in kind.__match_args__})
