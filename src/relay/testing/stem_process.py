"""The stem itself: imports once, forks what it is asked to, until the tests are over (`relay.testing.stem`).

    python -m relay.testing.stem_process SOCKET

One request a packet, with descriptors beside it; one answer. The stem ends with the other end of its socket, and what
it has forked ends with it: who is interrupted leaves none behind.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import importlib
import json
import logging
import os
import pkgutil
import runpy
import signal
import socket
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# what a broker or a command that runs has imported; not its `__main__`, which runs in each of them
IMPORTED = (
    "relay.broker.assembly",
    "uvicorn.lifespan.off",
    "uvicorn.loops.asyncio",
    "uvicorn.protocols.http.httptools_impl",
    "relay.cli.main",
    "relay.cli.failing",
    "rich.console",
    "rich.table",
)
MAX_REQUEST = 256 * 1024
MAX_DESCRIPTORS = 8
NAMESPACES = Path("/run/netns")
CLONE_NEWNET = 0x40000000  # linux/sched.h


def _serve(end: socket.socket) -> list[str]:
    """Answer until the other end is closed; in what was forked: its words."""
    running: dict[int, int | None] = {}
    while True:
        raw, descriptors, _, _ = socket.recv_fds(end, MAX_REQUEST, MAX_DESCRIPTORS)
        if not raw:
            _end(pid for pid, status in running.items() if status is None)
            sys.exit(0)
        request = json.loads(raw)
        answer: dict[str, Any]
        if "ready" in request:
            answer = {}
        elif "poll" in request:
            answer = {"status": _polled(running, request["poll"])}
        else:
            pid = os.fork()
            if pid == 0:
                end.close()
                return _become(request, descriptors)
            running[pid] = None
            answer = {"pid": pid}
        for descriptor in descriptors:
            os.close(descriptor)
        end.send(json.dumps(answer).encode())


def _polled(running: dict[int, int | None], pid: int) -> int | None:
    if running[pid] is None:
        ended, status = os.waitpid(pid, os.WNOHANG)
        running[pid] = os.waitstatus_to_exitcode(status) if ended else None
    return running[pid]


def _end(pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
            os.kill(pid, signal.SIGTERM)


def _become(request: dict[str, Any], descriptors: list[int]) -> list[str]:
    """The rest of a start that `subprocess.Popen` would make."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    if request["namespace"]:
        _enter(NAMESPACES / request["namespace"])
    numbers: list[int] = request["numbers"]
    # out of the way first: what came may have a number that is wanted
    for number, descriptor in zip(numbers, [_moved(each, max(numbers) + 1) for each in descriptors], strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    # Python's own look at what they are was a look at the stem's
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)
    sys.stdout = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)
    sys.stderr = open(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)
    words: list[str] = request["words"]
    return words


def _moved(descriptor: int, above: int) -> int:
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, above)
    os.close(descriptor)
    return moved


def _enter(namespace: Path) -> None:
    """What `ip netns exec` does for a network; os.setns is there from Python 3.12 on only."""
    with namespace.open() as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(namespace))


def main() -> None:
    """Import, then fork until the tests are over."""
    verbs = importlib.import_module("relay.cli.verbs")
    for name in (*IMPORTED, *(f"relay.cli.verbs.{each.name}" for each in pkgutil.iter_modules(verbs.__path__))):
        importlib.import_module(name)
    importlib.import_module("relay.cli.fallback").parse_slowly(["ps"])  # typer imports more as it parses
    _warm()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever starts it is interrupted too, and its end is seen
    gc.collect()
    gc.freeze()
    words = _serve(socket.socket(fileno=int(sys.argv[1])))
    sys.argv = words
    try:
        if words[0].endswith(".py"):
            runpy.run_path(words[0], run_name="__main__")
        else:
            runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if words[0].partition(".")[0] == "relay" and isinstance(end.code, int):
            _leave(end.code)
        raise


class _Nobody:
    """A broker that is never asked anything."""

    def __getattr__(self, name: str) -> Any:
        return self


def _warm() -> None:
    """Do once what every start would do again, a third of its processor time: it stays in the caches of Python."""
    importlib.import_module("relay.spawn.agents.registry").brought()  # the folders of all packages are listed
    importlib.import_module("relay.broker.control.application").application(_Nobody())  # 60 paths are compiled


def _leave(status: int) -> None:
    """End a process without taking all modules apart: that is 70 ms of processor time where they are shared."""
    threading._shutdown()  # type: ignore[attr-defined]  # as Python's own end does: pools are told that it is over
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
