"""Which program this is to a broker, for the life of its process, and what it has in hand for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from relay.api.home import Home
from relay.library.held import Held
from relay.library.outcomes import Came
from relay.library.runners import Call

Message = dict[str, Any]
MAX_TITLE, NAME = 128, 48


@dataclass(slots=True, eq=False)
class Identity:
    """One program. What ended serving, and serves again, is the same one: it knows what it has run.

    Attributes:
        id: random.
        held: the calls in hand, and those whose end is to be said.
        tasks: what carries them, by call.
        calls: what their runners were told of them.
        words: what is to be said to the broker; None while it is not connected.
        settled: set when the broker has the last result that it had not.
    """

    id: str = field(default_factory=lambda: os.urandom(16).hex())
    held: Held = field(default_factory=Held)
    tasks: dict[str, asyncio.Task[Came]] = field(default_factory=dict)
    calls: dict[str, Call] = field(default_factory=dict)
    words: asyncio.Queue[Message] | None = None
    settled: asyncio.Event = field(default_factory=asyncio.Event)

    def kept(self, call: str) -> None:
        """The broker has a call's result on disk."""
        self.held.kept(call)
        if not self.held.unsaid:
            self.settled.set()

    def say(self, word: Message) -> None:
        """Say something, where the broker is there to hear it."""
        if self.words is not None:
            self.words.put_nowait(word)


_FREE: dict[tuple[int, Home], list[Identity]] = {}


@contextlib.contextmanager
def borrowed(home: Home) -> Iterator[Identity]:
    """An identity for the length of a block; nobody else has it meanwhile."""
    free = _FREE.setdefault((os.getpid(), home), [])  # with the pid, for a fork is another program
    identity = free.pop() if free else Identity()
    try:
        yield identity
    finally:
        identity.words = None
        free.append(identity)


def own_title() -> str:
    """What this program is called by default: its file, and the folder that it runs in.

    Many a program is a `main.py`: what is called alike is taken for the next start of the same one, whose runners are
    those that it has then.
    """
    path = sys.argv[0] if sys.argv and sys.argv[0] not in ("", "-c", "-m") else "python"
    name = path if not os.path.isabs(path) and ".." not in path.split(os.sep) else _below(path)
    if os.path.basename(name) == "__main__.py":
        name = os.path.basename(os.path.dirname(os.path.abspath(path)))
    return _printable(name)[-NAME:] + _printable(f" in {_folder()}")[-(MAX_TITLE - NAME) :]


def _below(path: str) -> str:
    """A path from the folder that this program runs in, where it lies below; else the file's name."""
    with contextlib.suppress(OSError, ValueError):
        found = os.path.relpath(path)
        if not found.startswith(os.pardir):
            return found
    return os.path.basename(path)


def _folder() -> str:
    try:
        folder = os.getcwd()
    except OSError:
        return "a folder that is gone"
    own = os.path.expanduser("~")
    return "~" + folder[len(own) :] if folder == own or folder.startswith(own.rstrip("/") + "/") else folder


def _printable(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())
