"""What a launch asks for, as it crosses from the broker to the fork server.

On the wire: `JSON length, stdin length` (two u32, big-endian), the JSON, the raw bytes for stdin. The bytes
stand outside the JSON, because a task's text may be a megabyte and need not be UTF-8.

Broker and fork server may be of two versions: an upgrade replaces the files of a broker that runs, and the next fork
server is made of them. Fields that are not known are passed over, but for those that the launch says it `needs`.
"""

from __future__ import annotations

import json
import signal
import struct

WIRE = struct.Struct("!II")
GRACE_CAP_S = 2.5
"""Longest time for the agent's own way to stop: TERM (1 s) and KILL (1 s) follow within 5 s (promise 9)."""
MARKER = "RELAY_ATTEMPT"
_SIGNALS = frozenset(map(int, signal.valid_signals()))


class Spec:
    """One launch. `serial` ties the answer to it; the other fields are `LaunchSpec`'s.

    Attributes:
        limits: `memory` (bytes) and `cpus`, and `runtime`, the folder of the user's systemd; None for no limits.
        keep_awake: the machine is kept from sleeping.
        held: the folder that becomes the attempt's when the launch is decided on (`folder.await_lock`), or empty.
        durable: its promise is on the disk before the task starts.
        needs: names of fields without which the task must not run.
    """

    def __init__(
        self,
        serial: int,
        folder: str,
        argv: list[str],
        env: dict[str, str],
        cwd: str,
        timeout_s: float | None,
        stop_signal: int,
        stop_grace_s: float,
        log_limit: int,
        has_stdin: bool,
        door: bool = False,
        terminal: list[int] | None = None,
        stdin: bytes = b"",
        limits: dict[str, object] | None = None,
        keep_awake: bool = False,
        needs: tuple[str, ...] = (),
        held: str = "",
        durable: bool = True,
    ) -> None:
        self.serial = serial
        self.folder = folder
        self.argv = argv
        self.env = env
        self.cwd = cwd
        self.timeout_s = timeout_s
        self.stop_signal = stop_signal
        self.stop_grace_s = min(max(stop_grace_s, 0.0), GRACE_CAP_S)
        self.log_limit = log_limit
        self.stdin = stdin if has_stdin or door else None
        self.limits = limits
        self.keep_awake = keep_awake
        self.needs = needs
        self.held = held
        self.durable = durable
        self.door = door
        self.terminal = terminal

    @property
    def name(self) -> str:
        """The folder's name, which is also the mark in the task's environment."""
        return self.folder.rsplit("/", 1)[-1]

    @property
    def is_plain(self) -> bool:
        """Whether nothing but a command, its input and its time is asked for."""
        return not (self.limits or self.keep_awake or self.door or self.terminal)

    def fault(self) -> str | None:
        """Why this cannot be launched, None where it can."""
        texts = [self.folder, self.cwd, *self.argv, *self.env, *self.env.values()]
        if "\0" in "".join(texts):
            return "a NUL byte in the command, its folder or its environment"
        if not self.argv or not self.argv[0]:
            return "an empty command"
        if not (self.folder.startswith("/") and self.cwd.startswith("/")):
            return "a folder that is not absolute"
        return self._fault_of_settings()

    def _fault_of_settings(self) -> str | None:
        if any(not name or "=" in name for name in self.env):
            return "an environment variable without a proper name"
        if self.stop_signal not in _SIGNALS:
            return f"no such signal: {self.stop_signal}"
        if not _KNOWN.issuperset(self.needs):
            return f"the fork server is of another version, which knows nothing of {', '.join(self.needs)}"
        if self.timeout_s is not None and not self.timeout_s > 0:
            return f"a timeout that is not positive: {self.timeout_s}"
        return None


_CODE = Spec.__init__.__code__
_KNOWN = frozenset(_CODE.co_varnames[1 : _CODE.co_argcount]) - {"stdin"}


def pack(fields: dict[str, object], stdin: bytes) -> bytes:
    """The wire form of a launch."""
    head = json.dumps(fields).encode()
    return WIRE.pack(len(head), len(stdin)) + head + stdin


def length(buffer: bytearray) -> int | None:
    """How many bytes of `buffer` are its first launch; None where more must come first."""
    if len(buffer) < WIRE.size:
        return None
    head, body = WIRE.unpack_from(buffer)
    end: int = WIRE.size + head + body
    return end if len(buffer) >= end else None


def unpack(buffer: bytearray) -> Spec | None:
    """Take the first whole launch off `buffer`; None where more bytes must come first."""
    end = length(buffer)
    if end is None:
        return None
    head, _ = WIRE.unpack_from(buffer)
    fields = json.loads(buffer[WIRE.size : WIRE.size + head])
    if not _KNOWN.issuperset(fields):
        fields = {name: value for name, value in fields.items() if name in _KNOWN}
    spec = Spec(**fields, stdin=bytes(buffer[WIRE.size + head : end]))
    del buffer[:end]
    return spec
