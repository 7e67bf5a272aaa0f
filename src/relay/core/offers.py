"""Runners that brokers offer: one offer, the list that a peer tells, and what is visible where.

    a program offers ──► own offers ──► shared, and granted? ──► catalogue, numbered ──► what a peer may call here
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from relay.core import json_values
from relay.core.errors import Code, Misuse, PeerFault
from relay.core.field_checks import MAX_MOMENT
from relay.core.ids import BrokerId
from relay.core.values import frozen

MAX_DEFINITION = 64 * 1024
MOST_OFFERS = 512  # of one program, of one broker, of one catalogue
MAX_CATALOGUE = 2 * 1024 * 1024
"""Bytes of all definitions that a broker tells; what does not fit is not told."""
MAX_PACKED = 200 * 1024
KINDS = ("mcp", "runner")
AT = "@"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")


@frozen
class Offer:
    """One runner.

    Attributes:
        name: what it is called by.
        definition: the MCP definition of a tool, as its server gave it; compact JSON.
        kind: `mcp` for a tool of an MCP server, `runner` for a function.
        share: the share that it belongs to, or None.
    """

    name: str
    definition: str
    kind: str = "runner"
    share: str | None = None


@frozen
class Catalogue:
    """What one broker offers another.

    Attributes:
        number: grows with each; an older one never takes the place of a newer.
        offers: by name.
    """

    number: int
    offers: tuple[Offer, ...]

    def to_content(self) -> dict[str, Any]:
        """The body of a `tool.catalogue` envelope."""
        return {"number": self.number, "offers": packed_offers(self.offers)}


@frozen
class Seen:
    """One tool of another broker, as a client of this one is to see it.

    Attributes:
        broker: whose.
        offer: what it offers.
        name: what it is called by here: `NAME@BROKER` where several others offer one of its name.
    """

    broker: BrokerId
    offer: Offer
    name: str


def is_runner_name(text: object) -> bool:
    """Whether this may name a runner: 1 to 64 of letters, digits, `.`, `_` and `-`."""
    return isinstance(text, str) and _NAME.match(text) is not None


def read_offer(document: Any, kind: str) -> Offer:
    """The offer in what a program sent.

    Args:
        document: `{"name", "definition", "share"}`.
        kind: of `KINDS`.

    Raises:
        Misuse: it has another form.
    """
    if not isinstance(document, dict) or not is_runner_name(document.get("name")):
        why = "a runner's name has 1 to 64 letters, digits, '.', '_' and '-'"
        raise Misuse("an offer was refused", code=Code.BAD_NAME, why=why, hint="name it otherwise")
    name, share = document["name"], document.get("share")
    if share is not None and not is_runner_name(share):
        raise _bad(name, "its share is called by no name")
    return Offer(name, _definition(name, document.get("definition")), kind, share)


def _definition(name: str, definition: Any) -> str:
    if not isinstance(definition, dict) or definition.get("name") != name:
        raise _bad(name, "its definition is no object of the same name")
    if (fault := json_values.fault_of(definition)) is not None:
        raise _bad(name, f"its definition cannot be told: {fault}")
    data = json_values.packed(definition)
    if len(data) > MAX_DEFINITION:
        raise _bad(name, f"its definition has more than {MAX_DEFINITION // 1024} KiB")
    return data.decode()


def _bad(name: str, why: str) -> Misuse:
    return Misuse(f"the offer of {name[:64]} was refused", code=Code.BAD_OFFER, why=why, hint="relay tools")


def fitting(offers: Iterable[Offer]) -> tuple[Offer, ...]:
    """The offers, by name, as many as a catalogue holds: the largest are left out first."""
    chosen = sorted(offers, key=lambda each: (len(each.definition), each.name))[:MOST_OFFERS]
    while chosen and not _fits(chosen):
        del chosen[-max(1, len(chosen) // 16) :]
    return tuple(sorted(chosen, key=lambda each: each.name))


def _fits(offers: Sequence[Offer]) -> bool:
    weight = _weight(offers)
    return weight <= MAX_PACKED or (weight <= MAX_CATALOGUE and len(packed_offers(offers)) <= MAX_PACKED)


def _weight(offers: Sequence[Offer]) -> int:
    return sum(len(each.definition.encode()) + len(each.name) + 100 for each in offers)


def packed_offers(offers: Iterable[Offer]) -> bytes:
    """Offers as they cross a link: compressed JSON."""
    listed = [[each.name, each.kind, each.share, each.definition] for each in offers]
    return zlib.compress(json_values.packed(listed), 6)


def catalogue_from_content(content: dict[str, Any]) -> Catalogue:
    """The catalogue in an envelope's body.

    Raises:
        PeerFault: it has another form, or is too large.
    """
    number, data = content["number"], content["offers"]
    if type(number) is not int or not 0 < number <= MAX_MOMENT or type(data) is not bytes or len(data) > MAX_PACKED:
        raise _refused("its number or its list is none")
    offers = tuple(map(_told, _unpacked(data)))
    if len({each.name for each in offers}) != len(offers):
        raise _refused("it names one tool twice")
    return Catalogue(number, offers)


def _unpacked(data: bytes) -> list[Any]:
    bound = 2 * MAX_CATALOGUE
    try:
        opener = zlib.decompressobj()
        text = opener.decompress(data, bound)
        if not opener.eof or opener.unused_data:
            raise ValueError("it is too large, or goes on after its end")
        listed = json_values.read(text, bound)
    except (zlib.error, ValueError) as fault:
        raise _refused(str(fault)[:100]) from None
    if type(listed) is not list or len(listed) > MOST_OFFERS:
        raise _refused(f"it is no list of at most {MOST_OFFERS} tools")
    return listed


def _told(part: Any) -> Offer:
    if type(part) is not list or len(part) != 4 or not is_runner_name(part[0]) or part[1] not in KINDS:
        raise _refused("a tool of it has another form")
    name, kind, share, definition = part
    if (share is not None and not is_runner_name(share)) or type(definition) is not str:
        raise _refused("a tool of it has another form")
    if len(definition) > MAX_DEFINITION:
        raise _refused("a definition in it is too long")
    try:
        document = json_values.read(definition, MAX_DEFINITION)
    except ValueError as fault:
        raise _refused(f"a definition in it: {fault}") from None
    if type(document) is not dict or document.get("name") != name:
        raise _refused("a definition in it is none of that name")
    return Offer(name, definition, kind, share)


def _refused(why: str) -> PeerFault:
    return PeerFault("a catalogue was refused", code=Code.BAD_ENVELOPE, why=why)


def visible(
    told: Iterable[tuple[BrokerId, Offer]],
    own: Iterable[str],
    hidden: Iterable[tuple[str, BrokerId | None]],
    name_of: dict[BrokerId, str],
) -> list[Seen]:
    """The tools of others that a client of this broker is to see, by name.

    Args:
        told: what the others offer.
        own: what this broker offers itself: what it has, it need not ask for.
        hidden: names that a person has hidden here, of one broker or of all (None).
        name_of: what the brokers are called.
    """
    mine, out = set(own), set(hidden)
    left = [
        (broker, offer)
        for broker, offer in told
        if offer.name not in mine and not out & {(offer.name, None), (offer.name, broker)}
    ]
    times = Counter(offer.name for _, offer in left)
    found = [
        Seen(broker, offer, offer.name if times[offer.name] == 1 else f"{offer.name}{AT}{name_of[broker]}")
        for broker, offer in left
    ]
    return sorted(found, key=lambda each: each.name)


def named_at(tool: Any, broker: Any) -> tuple[Any, Any]:
    """The name and the broker that a client means: `NAME@BROKER` names both."""
    if isinstance(tool, str) and broker is None and AT in tool:
        tool, _, broker = tool.partition(AT)
    return tool, broker


def clashes(told: Iterable[tuple[BrokerId, Offer]]) -> list[str]:
    """The names that more than one other broker offers."""
    times = Counter(offer.name for _, offer in told)
    return sorted(name for name, count in times.items() if count > 1)
