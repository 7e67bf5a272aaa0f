"""What a fork server is asked to launch."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relay.core.errors import Code, Misuse
from relay.core.values import frozen
from relay.spawn.shim import spec as wire

DEFAULT_LOG_LIMIT = 256 << 20


class BadLaunch(Misuse):
    """A launch that can never work: a NUL byte, an empty command, a relative folder."""

    default_code = Code.BAD_TASK


@frozen
class LaunchSpec:
    """What to run in a prepared attempt folder.

    Attributes:
        folder: the attempt folder, absolute; its name is the mark in the task's environment.
        argv: the command, `argv[0]` looked up in the PATH of `env`.
        env: the whole environment; PWD and RELAY_ATTEMPT are added.
        cwd: where it runs, absolute.
        stdin: what it reads before end of file; None is /dev/null.
        timeout_s: awake time it may take, seconds; None for ever.
        stop_signal: the agent's own way to stop, sent to its process group.
        stop_grace_s: how long that may take before TERM, seconds; at most 2.5 are given.
        log_limit: bytes that the log may have; a longer one loses of its middle (`shim/segments.py`).
        door: its input stays open and is fed through `door`; `stdin` comes first.
        terminal: rows and columns of the terminal that it gets, or None; it has a door then.
        memory: bytes that its tree may use, None for no limit.
        cpus: processors that its tree may use, None for no limit.
        keep_awake: the machine is kept from sleeping while it runs.
        held: the name that `folder` has until the attempt is decided on (`shim/folder.await_lock`), or empty.
        durable: the shim's promise is on the disk before the task starts.

    Raises:
        BadLaunch: where no system could launch this.
    """

    folder: Path
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    stdin: bytes | None = None
    timeout_s: float | None = None
    stop_signal: int = signal.SIGINT
    stop_grace_s: float = 2.0
    log_limit: int = DEFAULT_LOG_LIMIT
    door: bool = False
    terminal: tuple[int, int] | None = None
    memory: int | None = None
    cpus: float | None = None
    keep_awake: bool = False
    held: str = ""
    durable: bool = True

    def __post_init__(self) -> None:
        fault = wire.Spec(**self._fields(0)).fault()
        if fault:
            raise BadLaunch(f"this cannot be launched: {fault}", hint="relay spawn --help")

    def packed(self, serial: int) -> bytes:
        """The wire form, answered under `serial`."""
        return wire.pack(self._fields(serial), self.stdin or b"")

    def _fields(self, serial: int) -> dict[str, Any]:
        return {
            "serial": serial,
            "folder": str(self.folder),
            "argv": list(self.argv),
            "env": dict(self.env),
            "cwd": str(self.cwd),
            "timeout_s": self.timeout_s,
            "stop_signal": int(self.stop_signal),
            "stop_grace_s": self.stop_grace_s,
            "log_limit": self.log_limit,
            "has_stdin": self.stdin is not None,
            **self._wishes(),
            "door": self.door or self.terminal is not None,
            "terminal": None if self.terminal is None else list(self.terminal),
            "durable": self.durable,
        }

    def _wishes(self) -> dict[str, Any]:
        """Fields that most launches do not have; a fork server that does not know them must not run the task."""
        wishes: dict[str, Any] = {}
        limits = {"memory": self.memory, "cpus": self.cpus}
        if any(limits.values()):
            runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
            wishes["limits"] = {name: value for name, value in limits.items() if value} | {"runtime": runtime}
        if self.keep_awake:
            wishes["keep_awake"] = True
        if self.held:
            wishes["held"] = self.held
        return wishes | {"needs": list(wishes)} if wishes else wishes
