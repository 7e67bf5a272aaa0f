"""The programs that serve runners here, as long as each is connected, and what is said to them."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from relay.core import json_values
from relay.core.errors import Code, Misuse
from relay.core.ids import is_spawn_id
from relay.core.offers import KINDS, MOST_OFFERS, Offer, read_offer
from relay.core.values import frozen
from relay.spawn.shim import processes
from relay.store.call_rows import CallRow

MOST_PROGRAMS = 256
MOST_HELD = 1_000
MOST_AT_ONCE, AT_ONCE = 64, 16
MAX_TITLE = 128
LIBRARY, SHARE = "library", "share"
_KIND_OF = {LIBRARY: KINDS[1], SHARE: KINDS[0]}
Message = dict[str, Any]


@frozen
class Hello:
    """What a program says of itself.

    Attributes:
        program: a random id, the same for the life of its process.
        kind: `library`, or `share` for the host of MCP servers.
        title: what it calls itself.
        pid: its process.
        parallel: how many calls it takes at once.
        at_once: how many of them of one runner, by its name; what is not in it has no bound of its own.
        offers: what it serves.
        refused: what of it cannot be offered, with why.
        holding: the calls it has: that run, or ended with a result that was not acknowledged.
    """

    program: str
    kind: str
    title: str
    pid: int
    parallel: int
    at_once: dict[str, int]
    offers: tuple[Offer, ...]
    refused: tuple[tuple[str, Misuse], ...]
    holding: frozenset[str]


def read_hello(document: Message, lineage: Collection[int]) -> Hello:
    """What a program's first line says.

    Args:
        document: the line.
        lineage: the process that is connected, and its ancestors.

    Raises:
        Misuse: it has another form.
    """
    program, kind, title, pid = (document.get(key) for key in ("program", "kind", "title", "pid"))
    parallel, holding = document.get("parallel", AT_ONCE), document.get("holding") or []
    if not isinstance(program, str) or not 26 <= len(program) <= 64 or not program.isascii() or not program.isalnum():
        raise _bad("a program names itself by 26 to 64 random letters and digits")
    if kind not in _KIND_OF or not isinstance(title, str) or not title.isprintable():
        raise _bad("its kind is library or share, and its title a line of text")
    if type(pid) is not int or pid not in lineage:
        raise _bad("its pid is not that of the process that is connected")
    if type(parallel) is not int or not 0 < parallel <= MOST_AT_ONCE:
        raise _bad(f"it takes between 1 and {MOST_AT_ONCE} calls at once")
    at_once = document.get("at_once") or {}
    if not isinstance(at_once, dict) or len(at_once) > MOST_OFFERS or not all(map(_is_bound, at_once.values())):
        raise _bad(f"of each of its runners it takes between 1 and {MOST_AT_ONCE} calls at once")
    if not isinstance(holding, list) or len(holding) > MOST_HELD or not all(map(is_spawn_id, holding)):
        raise _bad("what it holds is no list of calls")
    offers, refused = read_offers(document.get("offers"), kind)
    return Hello(program, kind, title[:MAX_TITLE], pid, parallel, at_once, offers, refused, frozenset(holding))


def _is_bound(value: object) -> bool:
    return type(value) is int and 0 < value <= MOST_AT_ONCE


def read_offers(documents: Any, kind: str) -> tuple[tuple[Offer, ...], tuple[tuple[str, Misuse], ...]]:
    """The offers in what a program sent, and those that cannot be taken, with why.

    Raises:
        Misuse: it is no list of offers, or too long.
    """
    if not isinstance(documents, list) or len(documents) > MOST_OFFERS:
        raise _bad(f"its offers are a list of at most {MOST_OFFERS}")
    found: dict[str, Offer] = {}
    refused: list[tuple[str, Misuse]] = []
    for each in documents:
        name = each.get("name") if isinstance(each, dict) else None
        try:
            offer = read_offer(each, _KIND_OF[kind])
            if offer.name in found:
                raise Misuse(f"it offers {offer.name} twice", code=Code.NAME_IN_USE, hint="name one otherwise")
            found[offer.name] = offer
        except Misuse as error:
            refused.append((str(name)[:64], error))
    return tuple(found.values()), tuple(refused)


def _bad(why: str) -> Misuse:
    return Misuse("the program was refused", why=why, hint="relay version; relay status: are they of one version?")


def is_alive(pid: int, ticks: int, boot: str) -> bool:
    """Whether the process that is named by these is there."""
    return boot == processes.boot_id() and processes.same(pid, ticks)


@dataclass(slots=True, eq=False)
class Program:
    """One that is connected.

    Attributes:
        hello: what it said; its offers as they are now.
        ticks, boot: with its pid, what names its process for good.
        is_open: whether what is said to it may still reach it.
        takes: whether it takes calls; one that is about to end takes no more.
        heard: how many lines of it have been acted on.
        is_heard: whether one of them is acted on now.
    """

    hello: Hello
    ticks: int
    boot: str
    is_open: bool = True
    takes: bool = True
    heard: int = 0
    is_heard: bool = False
    _outgoing: deque[Message] = field(default_factory=deque)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def id(self) -> str:
        """Its id."""
        return self.hello.program

    def say(self, message: Message) -> None:
        """Say something, on the loop; nothing where it has left."""
        if self.is_open:
            self._outgoing.append(message)
            self._news.set()

    def refuse(self, name: str, error: Misuse) -> None:
        """Say that something it offers is not served."""
        self.say({"refused": {"name": name} | error.to_json()})

    def give(self, row: CallRow, origin: dict[str, str]) -> None:
        """Hand a call over that was claimed for it; `origin` is its label."""
        call = {"id": row.id, "name": row.tool, "arguments": json.loads(row.arguments), "timeout_s": row.timeout_s}
        self.say({"call": call | {"origin": origin, "requested_by": row.requested_by}})

    def kept(self, call: str) -> None:
        """Say that a result is on disk: it need not be said again."""
        self.say({"kept": call})

    def leave(self) -> None:
        """Say nothing more; what was said is still sent."""
        self.is_open = False
        self._news.set()

    async def next(self) -> Message | None:
        """The next thing to say; None after the last."""
        while not self._outgoing:
            if not self.is_open:
                return None
            self._news.clear()
            await self._news.wait()
        return self._outgoing.popleft()


class Programs:
    """Those that are connected, by id. Changed on the loop; the store's thread may look at any moment."""

    def __init__(self) -> None:
        self._connected: dict[str, Program] = {}

    def __iter__(self) -> Any:
        return iter(list(self._connected.values()))

    def get(self, program: str | None) -> Program | None:
        """The program of this id, where it is connected."""
        found = self._connected.get(program or "")
        return found if found is not None and found.is_open else None

    def make_room(self, program: str) -> None:
        """One of this id is about to connect: an earlier connection of it ends.

        Raises:
            Misuse: there are too many.
        """
        earlier = self._connected.pop(program, None)
        if earlier is not None:
            earlier.leave()
        if len(self._connected) >= MOST_PROGRAMS:
            why = f"{MOST_PROGRAMS} are connected"
            raise Misuse("too many programs serve runners here", code=Code.CONFLICT, why=why, hint="relay tools")

    def add(self, program: Program) -> None:
        """It is connected."""
        if program.is_open:
            self._connected[program.id] = program

    def remove(self, program: Program) -> bool:
        """It has left; whether it was the one of its id."""
        program.leave()
        if self._connected.get(program.id) is not program:
            return False
        del self._connected[program.id]
        return True

    def end(self, kind: str, why: str) -> None:
        """Have the programs of a kind go away for good."""
        for program in self:
            if program.hello.kind == kind:
                program.say({"end": why})

    def close(self) -> None:
        """End every connection; the programs go on, and connect again."""
        for program in self:
            program.leave()


def read_message(line: bytes, most: int) -> Message:
    """One line of what a program says.

    Raises:
        Misuse: it is no JSON object that can be taken.
    """
    try:
        document = json_values.read(line, most)
    except ValueError as fault:
        raise _bad(str(fault)) from None
    if not isinstance(document, dict):
        raise _bad("a line of it is no JSON object")
    return document
