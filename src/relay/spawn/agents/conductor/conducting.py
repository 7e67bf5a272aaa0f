"""Runs one agent and carries lines both ways, until it has ended."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Protocol

from .lines import Cut, Lines, Word

PIECE = 256 * 1024


class Conversation(Protocol):
    """One agent's protocol. Words in, words out; nothing is read or written here."""

    def opening(self) -> list[Word]:
        """What the agent is told first."""

    def heard(self, word: Word) -> list[Word]:
        """What it is told upon this word of its own."""

    def told(self, word: Word) -> list[Word]:
        """What it is told upon a person's word."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be said to it."""

    @property
    def leaves_within(self) -> float | None:
        """Seconds after its input ended within which it has to leave; None where it may take its time."""


class _Conducting:
    def __init__(self, child: subprocess.Popen[bytes], talk: Conversation, early: list[Word], persons: Lines) -> None:
        assert child.stdin and child.stdout
        self._child = child
        self._in, self._out = child.stdin, child.stdout
        self._talk = talk
        self._early = early
        self._persons, self._agents = persons, Lines()
        self._waiting = bytearray()
        self._selector = selectors.DefaultSelector()
        self._writes = False
        self._ended = False

    def run(self) -> int:
        os.set_blocking(self._in.fileno(), False)
        os.set_blocking(self._out.fileno(), False)
        self._selector.register(self._out, selectors.EVENT_READ, self._read)
        self._selector.register(0, selectors.EVENT_READ, self._listen)
        self._say(self._talk.opening())
        for word in self._early:
            self._say(self._talk.told(word))
        with _child_ends() as end:
            self._selector.register(end, selectors.EVENT_READ, lambda: self._look(end))
            self._look_again()
            while not self._ended:
                self._turn()
        return self._child.wait()

    def _turn(self) -> None:
        self._keep_in_step()
        ready = self._selector.select(self._talk.leaves_within if self._in.closed else None)
        if not ready:
            self._child.terminate()  # it had said all, its input has ended, and it stays
        for key, _ in ready:
            key.data()

    def _look(self, end: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            end.recv(PIECE)
        self._look_again()

    def _look_again(self) -> None:
        """See whether the agent has ended; what it started may hold its output open, and is not waited for."""
        if self._child.poll() is not None:
            while self._read():
                pass
            self._ended = True

    def _keep_in_step(self) -> None:
        """Wait for room where something waits to be said; end the input where nothing ever will be."""
        if self._in.closed:
            return
        if not self._waiting and self._talk.is_over:
            self._close_in()
        elif bool(self._waiting) != self._writes:
            self._writes = not self._writes
            if self._writes:
                self._selector.register(self._in, selectors.EVENT_WRITE, self._write)
            else:
                self._selector.unregister(self._in)

    def _close_in(self) -> None:
        if self._writes:
            self._selector.unregister(self._in)
        self._waiting.clear()
        with contextlib.suppress(OSError):
            self._in.close()

    def _say(self, words: list[Word]) -> None:
        for word in words:
            self._waiting += json.dumps(word).encode() + b"\n"

    def _write(self) -> None:
        try:
            del self._waiting[: os.write(self._in.fileno(), self._waiting[:PIECE])]
        except BlockingIOError:
            return
        except OSError:
            self._close_in()  # it reads no more; what it wrote is still read to the end

    def _read(self) -> bool:
        """Take what it wrote; whether there was something."""
        if self._out.closed:
            return False
        try:
            data = os.read(self._out.fileno(), PIECE)
        except BlockingIOError:
            return False
        if not data:
            self._selector.unregister(self._out)
            self._out.close()
            return False
        _write_whole(1, data)
        for word in self._agents.feed(data):
            self._say(self._talk.heard(word))
        return True

    def _listen(self) -> None:
        data = os.read(0, PIECE)
        if not data:
            self._selector.unregister(0)
        for word in self._persons.feed(data):
            if not isinstance(word, Cut):  # nobody's words are put in only half
                self._say(self._talk.told(word))


@contextlib.contextmanager
def _child_ends() -> Iterator[socket.socket]:
    """A socket that can be read once a child has ended."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        try:
            yield ours
        finally:
            signal.set_wakeup_fd(-1)


def _write_whole(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def tell(word: Word) -> None:
    """Put a word of the conductor's own into the log."""
    _write_whole(1, json.dumps({"type": "relay", **word}).encode() + b"\n")


def _plan(persons: Lines) -> tuple[Word, list[Word]] | None:
    """The plan, and what a person said in the same breath."""
    while True:
        data = os.read(0, PIECE)
        words = persons.feed(data)
        if words:
            return words[0], words[1:]
        if not data:
            return None


def main(name: str) -> int:
    """Conduct the agent of this protocol; its exit status, or its signal done to this process too."""
    # The shim signals the whole group: the agent is asked by the same signal, and this process waits for it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    persons = Lines()
    found = _plan(persons)
    if found is None:
        return 1
    plan, early = found
    talk: Conversation = import_module(f"conductor.{name}").Conversation(plan, os.getcwd())
    try:
        child = subprocess.Popen(
            plan["argv"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=_default_signals
        )
    except OSError as fault:
        tell({"event": "not_started", "why": str(fault)})
        return 127 if isinstance(fault, FileNotFoundError) else 126
    status = _Conducting(child, talk, early, persons).run()
    return status if status >= 0 else _die_by(-status)


def _default_signals() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _die_by(number: int) -> int:
    sys.stdout.flush()
    with contextlib.suppress(OSError, ValueError):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number
