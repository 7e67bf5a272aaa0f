"""The shim's loop: move output to the log, text to stdin, time to the ladder; end when the tree has ended.

On Linux the shim is a subreaper, so `wait` answering "no children" is proof that no process of the tree is
left: an ordinary end costs no search of the process table.
"""

from __future__ import annotations

import os
import resource  # os.wait4 imports it otherwise, in each shim anew (0.4 ms)
import select
import signal
import time

from . import record, tree
from .cgroups import Kills
from .confining import CONFINED, UNLIMITED
from .door import Door
from .kernel import ADOPTS
from .ladder import GIVE_UP, KILL, SOFT, Ladder
from .spec import MARKER, Spec
from .task import Task, failure_of

TYPE_CHECKING = False  # the checker takes the name for typing's, which costs 3 ms to import
if TYPE_CHECKING:
    from .awake import Awake
    from .direct_task import DirectTask
    from .logfile import LogFile
    from .wakeup import Wakeup

_CHUNK = 65536
_PIPE_PIECES = 32
"""More than the largest pipe holds (1 MiB): what is read beyond was written after the tree's end."""
_LONGEST_POLL_MS = 3_600_000
_IN = select.POLLIN


class Supervisor:
    """One task from its release to the death of its tree.

    Args:
        noted: what the task's slot says.
        kills: of the group that the task is in, counted from before its start.
        awake: what keeps the machine awake meanwhile, where that was asked for.
    """

    # Not for the memory of one object: a dictionary of so many grows four times, into fresh pages.
    __slots__ = (
        *("_ask_at_exec", "_asked", "_awake", "_door", "_end", "_error", "_given_up", "_kills"),
        *("_ladder", "_log", "_mark", "_noted", "_oom", "_open", "_poll", "_reap", "_record", "_session", "_spec"),
        *("_started_at", "_status", "_stopping", "_survivors", "_task", "_timed_out", "_timeout_at", "_unsent"),
        "_wakeup",
    )

    def __init__(
        self,
        spec: Spec,
        task: Task | DirectTask,
        noted: dict[str, object],
        log: LogFile,
        record_fd: int,
        wakeup: Wakeup,
        kills: Kills,
        awake: Awake | None = None,
    ) -> None:
        self._spec = spec
        self._task = task
        self._noted = noted
        self._log = log
        self._record, self._wakeup = record_fd, wakeup
        self._mark = f"{MARKER}={spec.name}".encode()
        # With a subreaper the session finds nothing more, and an ended session's number may be used again.
        self._session = None if ADOPTS else task.pid
        self._ladder = Ladder()
        self._reap = tree.Reaper(self._child_ended)
        self._poll = select.poll()
        self._open: set[int] = set()
        self._door: Door | None = None
        self._unsent = memoryview(spec.stdin or b"")
        self._started_at = _wall_ms()
        self._timeout_at = None if spec.timeout_s is None else task.began + spec.timeout_s
        self._status: int | None = None
        self._given_up = self._stopping = self._asked = self._ask_at_exec = False
        self._survivors, self._timed_out, self._oom = 0, False, False
        self._kills, self._awake = kills, awake
        self._error: dict[str, object] | None = None
        self._end: dict[str, object] = {}

    def run(self) -> dict[str, object]:
        """Supervise to the end; the fields of the exit slot."""
        self._listen()
        while not self._finished():
            self._keep_time()
            for fd, _ in (self._door or self._poll).poll(self._pause_ms()):
                self._hear(fd)
        self._drain()
        if self._door is not None:
            self._door.close()
        self._sweep_orphans()
        for fd in tuple(self._open):
            self._close(fd)
        self._log.flush()
        del self._reap  # which has us: the two would stay for as long as the shim does, where nobody collects
        return self._exit_fields()

    def _listen(self) -> None:
        task = self._task
        self._poll.register(self._wakeup.fd, _IN)
        for fd in task.watched:
            self._add(fd, _IN)
        if task.stdin is not None and self._spec.door:
            self._door = self._open_door(task.stdin)
        elif task.stdin is not None:
            self._add(task.stdin, select.POLLOUT)

    def _open_door(self, stdin: int) -> Door:
        text, self._unsent, self._spec.stdin = bytes(self._unsent), memoryview(b""), None
        return Door(self._spec.folder, self._poll, stdin, text, self._spec.terminal is not None)

    def _add(self, fd: int, events: int) -> None:
        os.set_blocking(fd, False)
        self._poll.register(fd, events)
        self._open.add(fd)

    def _close(self, fd: int) -> None:
        self._poll.unregister(fd)
        self._open.discard(fd)
        os.close(fd)

    def _hear(self, fd: int) -> None:
        if fd == self._wakeup.fd:
            self._signalled()
        elif self._door is not None and self._door.hear(fd):
            return
        elif fd not in self._open:
            # Closed earlier in the same round.
            return
        elif fd == self._task.failure:
            self._exec_known()
        elif fd == self._task.stdin:
            self._feed()
        else:
            self._output(self._task.outputs.index(fd))

    def _finished(self) -> bool:
        return self._given_up or (self._status is not None and self._reap.childless)

    def _pause_ms(self) -> float | None:
        times = [at for at in (self._timeout_at, self._ladder.next_deadline()) if at is not None]
        if self._given_up or not times:
            return 0 if self._given_up else None
        # Rounded up: a poll that returns a moment early would spin. Cut: it takes no more than 24 days.
        return min(max(0, int((min(times) - time.monotonic()) * 1000) + 1), _LONGEST_POLL_MS)

    # --- signals and ends

    def _signalled(self) -> None:
        numbers = self._wakeup.take()
        if signal.SIGTERM in numbers:
            self._look_for_stop()
        if signal.SIGCHLD in numbers:
            self._reap()

    def _look_for_stop(self) -> None:
        # A TERM without a durable stop is a service manager's: the task outlives its broker.
        if record.read_slot(self._record, record.STOP) is not None:
            self._begin_stop()

    def _begin_stop(self) -> None:
        self._asked = True
        self._ladder.stop(time.monotonic(), self._spec.stop_grace_s)

    def _child_ended(self, pid: int, status: int, usage: resource.struct_rusage) -> None:
        if self._awake and not self._asked:
            self._awake.ended(pid)
        if pid != self._task.pid:
            return
        self._status = status
        self._stopping = record.read_slot(self._record, record.STOP) is not None
        # killed, and late: in our place (`spawn/overdue.py`), while it kept us from ending it
        self._timed_out |= status == signal.SIGKILL and 0 < (self._timeout_at or 0) <= time.monotonic()
        self._timeout_at = None
        self._oom = not self._asked and self._kills.explain(status)
        if self._awake:
            self._awake.release()  # its holder is a child of ours, and we end when none is left
        self._ladder.ended(time.monotonic())
        self._end = {
            "ended_at": _wall_ms(),
            "maxrss_kib": usage.ru_maxrss,
            "cpu_ms": round((usage.ru_utime + usage.ru_stime) * 1000),
        }

    # --- time

    def _keep_time(self) -> None:
        now = time.monotonic()
        if self._timeout_at is not None and now >= self._timeout_at:
            self._timeout_at = None
            self._timed_out = True
            self._begin_stop()
        step = self._ladder.due(now)
        if step is not None:
            self._take(step)

    def _take(self, step: str) -> None:
        if step == SOFT:
            self._ask()
        elif step == GIVE_UP:
            self._give_up()
        elif step == KILL:
            tree.kill(self._mark, self._session, self._reap)
        elif self._reap.teems:
            # To find all of them takes seconds by then, and they are others.
            self._signal_group(signal.SIGTERM)
        else:
            self._signal_tree(signal.SIGTERM)

    def _ask(self) -> None:
        # Before exec the child catches what the fork server catches: the signal would be lost.
        self._ask_at_exec = self._task.failure in self._open
        # The whole group, as a terminal's Ctrl-C would: a shell in front of the agent passes nothing on.
        if not self._ask_at_exec:
            self._signal_group(self._spec.stop_signal)

    def _signal_group(self, number: int) -> None:
        if self._status is None:
            try:
                os.killpg(self._task.pid, number)
                os.killpg(self._task.pid, signal.SIGCONT)  # as in `tree.ask_all`
            except (ProcessLookupError, PermissionError):
                return

    def _signal_tree(self, number: int) -> None:
        tree.ask_all(tree.members(self._mark, self._session), number)

    def _give_up(self) -> None:
        # Only a process in an uninterruptible call, or of another user, survives a second of KILLs.
        self._reap()
        self._survivors = len(tree.members(self._mark, self._session))
        self._given_up = True

    def _sweep_orphans(self) -> None:
        # What another process started for the task (a window in a tmux server) is no descendant; without a
        # subreaper (macOS) neither is any orphan.
        if (self._asked or not ADOPTS) and not self._given_up:
            self._signal_tree(signal.SIGKILL)

    # --- pipes

    def _exec_known(self) -> None:
        try:
            report = os.read(self._task.failure, 64)
        except BlockingIOError:
            return
        if self._spec.limits:
            left = self._confined(report)
            if left is None:
                return
            report = left
        self._close(self._task.failure)
        if report:
            self._error = failure_of(report, self._spec)
            return
        self._note_start()
        if self._ask_at_exec:
            self._ask()

    def _confined(self, report: bytes) -> bytes | None:
        """What is left of a report to be judged as any other; None while more is to come."""
        if report[:1] != CONFINED:
            return report or UNLIMITED
        self._spec.limits = None
        self._kills = Kills(self._task.pid, own=True)
        self._kills.mark()
        return report[1:] or None

    def _note_start(self) -> None:
        # Not durable: it speaks of a process, which a power cut takes along.
        noted = {**self._noted, "at": _wall_ms(), **self._not_awake()}
        record.write_slot(self._record, record.STARTED, noted, durable=False)

    def _not_awake(self) -> dict[str, object]:
        return {"not_awake": self._awake.fault} if self._awake and self._awake.fault else {}

    def _output(self, stream: int) -> bool:
        """Move one piece; whether there may be more at once."""
        fd = self._task.outputs[stream]
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return False
        except OSError:  # how Linux words the end of a terminal that nobody has open any more (EIO)
            data = b""
        if data:
            self._write_log(stream, data)
        else:
            self._close(fd)
        return bool(data)

    def _write_log(self, stream: int, data: bytes) -> None:
        start = self._log.end
        self._log.write(stream, data)
        if self._door is not None:
            self._door.show(start, self._log.end, data)

    def _feed(self) -> None:
        fd = self._task.stdin
        assert fd is not None
        try:
            self._unsent = self._unsent[os.write(fd, self._unsent[:_CHUNK]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._unsent = self._unsent[:0]
        if not self._unsent:
            self._close(fd)
            # A megabyte that the shim would keep for as long as the task runs.
            self._spec.stdin, self._unsent = None, memoryview(b"")

    def _drain(self) -> None:
        # Every writer of the tree is dead; a stranger that was given the pipe must not hold us up.
        if self._task.failure in self._open:
            self._exec_known()
        for stream in range(len(self._task.outputs)):
            for _ in range(_PIPE_PIECES):
                if self._task.outputs[stream] not in self._open or not self._output(stream):
                    break

    def _exit_fields(self) -> dict[str, object]:
        status = self._status
        ran = status is not None and self._error is None
        code = os.waitstatus_to_exitcode(status) if ran and status is not None else None
        return {
            "exit_code": code if code is not None and code >= 0 else None,
            "signal": -code if code is not None and code < 0 else None,
            "timed_out": self._timed_out,
            "stopped": self._stopping,
            "started_at": None if self._error else self._started_at,
            "ended_at": _wall_ms(),
            **self._end,
            "error": self._error,
            "survivors": self._survivors,
            **self._log.fields(),
            **self._not_awake(),
            **({"oom": True} if self._oom else {}),
        }


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
