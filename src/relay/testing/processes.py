"""Which processes belong to a scratch folder, and ending them one by one, by pid.

A process belongs to a folder when the folder's path stands in its command line, its environment, its working
directory or among its open files. `psutil.Process` carries the start time beside the pid, so that a pid that
was given to another process is never signalled.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil

TASK_MARKER = "RELAY_ATTEMPT"
FORK_SERVER = os.path.join("shim", "serve.py")
_GONE = (psutil.Error, OSError)
_Answer = TypeVar("_Answer")


def wait_until(found: Callable[[], _Answer], within: float, what: str, every: float = 0.02) -> _Answer:
    """The first true answer of `found`.

    To ask a broker is 4 ms of processor time, on a machine where all wait for the processor: what lasts is asked less.

    Args:
        found: the condition, asked again and again.
        within: seconds to go on asking.
        what: what was waited for, for the failure.
        every: seconds between two questions at first; later a tenth of what has passed, up to five times as many.

    Raises:
        TimeoutError: it stayed false.
    """
    began = time.monotonic()
    while True:
        passed = time.monotonic() - began  # before the look: who was kept waiting looks once more
        answer = found()
        if answer:
            return answer
        if passed > within:
            raise TimeoutError(f"not within {within:g} s: {what}")
        time.sleep(min(max(every, passed / 10), 5 * every))


def _texts(process: psutil.Process) -> Iterator[str]:
    """What may name a folder, cheapest first; what may not be read is left out."""
    with contextlib.suppress(*_GONE):
        yield "\0".join(process.cmdline())
    with contextlib.suppress(*_GONE):
        yield "\0".join(process.environ().values())
    with contextlib.suppress(*_GONE):
        yield process.cwd()
    with contextlib.suppress(*_GONE):
        yield "\0".join(item.path for item in process.open_files())


def _is_live(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except _GONE:
        return False


def belongs_to(process: psutil.Process, folder: Path) -> bool:
    """Whether a live process refers to a folder or to something in it."""
    return any(str(folder) in text for text in _texts(process)) and _is_live(process)


def processes_left(scratch: Path) -> list[psutil.Process]:
    """Every live process that belongs to a scratch folder, this one and its ancestors apart."""
    ours = {os.getpid(), *(each.pid for each in psutil.Process().parents())}
    return [each for each in psutil.process_iter() if each.pid not in ours and belongs_to(each, scratch)]


def tasks_left(scratch: Path) -> list[psutil.Process]:
    """Every live process of a task (its environment carries the attempt's mark) that belongs to a scratch folder."""
    return [each for each in processes_left(scratch) if _is_task(each)]


def _is_task(process: psutil.Process) -> bool:
    try:
        return TASK_MARKER in process.environ()
    except _GONE:
        return False


def fork_servers(broker: psutil.Process) -> list[psutil.Process]:
    """The fork servers a broker has started."""
    try:
        return [child for child in broker.children() if is_fork_server(child)]
    except _GONE:
        return []


def is_fork_server(process: psutil.Process) -> bool:
    """Whether a process runs the fork server's program (a shim is a fork of it and looks alike)."""
    try:
        return any(word.endswith(FORK_SERVER) for word in process.cmdline())
    except _GONE:
        return False


def shims(home: Path) -> list[psutil.Process]:
    """The live shims of a home: they look like the fork server and hold files of an attempt open."""
    attempts = str(home / "attempts")
    found = [each for each in psutil.process_iter() if is_fork_server(each) and _has_open(each, attempts)]
    # a shim's child looks like it until its exec: it is the task already, or will be
    return [each for each in found if not _is_child_of_a_shim(each)]


def _is_child_of_a_shim(process: psutil.Process) -> bool:
    try:
        parent = process.parent()
        return parent is not None and parent.name() == "relay-shim"
    except _GONE:
        return True


def _has_open(process: psutil.Process, prefix: str) -> bool:
    try:
        return any(item.path.startswith(prefix) for item in process.open_files()) and _is_live(process)
    except _GONE:
        return False


def kill(process: psutil.Process) -> bool:
    """SIGKILL to one process; whether there was one."""
    try:
        process.send_signal(signal.SIGKILL)
    except _GONE:
        return False
    return True


def describe(processes: Iterable[psutil.Process]) -> str:
    """One line a process, for a failure."""
    return "\n".join(f"  {_description(each)}" for each in processes)


def _description(process: psutil.Process) -> str:
    try:
        words = " ".join(process.cmdline())[:160]
        return f"{process.pid} (parent {process.ppid()}, {process.status()}): {words}"
    except _GONE:
        return f"{process.pid}: gone"
