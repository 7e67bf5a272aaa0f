"""Bringing rosters together: what is news is told, and what was missed is fetched from one peer after another.

A broker asks where a peer's roster has another head than its own. Answering costs little and is done at once; fetching
is done from one peer at a time, so that what came from the first is not fetched again from the others. Where they then
say the same head, nothing more is asked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from relay.core import ids
from relay.core.allowance import Allowance
from relay.core.errors import PeerFault
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.statement_book import (
    MAX_WANTED,
    StatementBook,
    checked_head,
    checked_marks,
    checked_statements,
    checked_sums,
)
from relay.core.values import frozen

SILENT_MS = 10_000
MOST_TRIES = 3
FEW = 4  # statements that are told as they are; of more, that there are some
AT_ONCE = 256  # and four for each statement: twice the whole roster, with its marks
PER_S = 8.0
PER_S_EACH = 0.05
_MARKS_A_TOKEN = 16  # a mark is so much shorter than a statement
_log = logging.getLogger(__name__)


@frozen
class Surroundings:
    """What the exchange needs of the broker around it.

    Attributes:
        book: the statements that are held.
        head: the roster's, as it is now.
        has_gap: whether statements are held that follow one that is not.
        say: sends to a peer; False where there is no way.
        linked: who is linked now.
        take: verifies and keeps statements of a peer, and calls `taken` when that is done.
        remind: calls `look` after about so many milliseconds.
    """

    book: StatementBook
    head: Callable[[], bytes]
    has_gap: Callable[[], bool]
    say: Callable[[BrokerId, Kind, dict[str, Any]], bool]
    linked: Callable[[], Iterable[BrokerId]]
    take: Callable[[BrokerId, list[bytes]], None]
    remind: Callable[[int], None]


@dataclass(slots=True)
class _Fetch:
    """What is being fetched from one peer.

    Attributes:
        peer: from whom.
        tries: how often it was asked in vain before.
        since: when it last brought something on, monotonic milliseconds.
        lacking: marks of what is still to come; None until it has said what it holds.
        brought: what it gave that was new, not yet told to others.
        answered: of how many marks, the first ones asked for, the statements have come.
    """

    peer: BrokerId
    tries: int
    since: int
    lacking: list[bytes] | None = None
    brought: dict[bytes, None] = field(default_factory=dict)
    answered: int = 0


class RosterExchange:
    """What this broker says and hears of the roster.

    Args:
        around: the broker.
        monotonic: milliseconds that only grow.
    """

    def __init__(self, around: Surroundings, monotonic: Callable[[], int]) -> None:
        self._around = around
        self._monotonic = monotonic
        self._stated: dict[BrokerId, bytes] = {}
        self._to_ask: dict[BrokerId, int] = {}
        self._fetch: _Fetch | None = None
        self._allowances: dict[BrokerId, Allowance] = {}

    # who is linked, and what changes here

    def linked(self, peer: BrokerId, head: bytes) -> None:
        """A link came up; the peer's hello has stated this head."""
        self.unlinked(peer)  # what went over a link that this one replaces is lost
        self._stated[peer] = head
        self._ask(peer)

    def unlinked(self, peer: BrokerId) -> None:
        """A link ended."""
        self._stated.pop(peer, None)
        self._to_ask.pop(peer, None)
        if self._fetch is not None and self._fetch.peer == peer:
            self._end()

    def forget(self, peer: BrokerId) -> None:
        """That peer is no member any more."""
        self._allowances.pop(peer, None)

    def changed(self, news: Iterable[bytes]) -> None:
        """Statements were kept here: tell those of the linked peers that may not have them.

        What is being fetched is told when all of it is here.
        """
        fetched = self._fetch.brought if self._fetch is not None else {}
        self._tell([raw for raw in news if raw not in fetched])

    def taken(self, peer: BrokerId) -> None:
        """What a peer sent was taken in."""
        if self._around.has_gap():
            # something between was lost on its way here
            self._to_ask.setdefault(peer, 0)
        fetch = self._fetch
        if fetch is not None and fetch.peer == peer and fetch.lacking is not None:
            self._go_on(fetch)
        self._begin()

    def look(self) -> None:
        """Give up a peer that has fallen silent; it is asked again after the others."""
        fetch = self._fetch
        if fetch is None:
            return
        left = fetch.since + SILENT_MS - self._monotonic()
        if left > 0:
            self._around.remind(left)
            return
        if fetch.tries + 1 < MOST_TRIES:
            self._to_ask[fetch.peer] = fetch.tries + 1
        self._end()

    # what peers say

    def hear(self, peer: BrokerId, content: dict[str, Any]) -> None:
        """One step of a peer.

        Raises:
            PeerFault: it is malformed; the link is to be closed.
        """
        if "head" in content and (head := checked_head(content["head"])) and peer in self._stated:
            self._stated[peer] = head
        if "statements" in content:
            self._hear_statements(peer, checked_statements(content["statements"]), content.get("news") is True)
        elif "sums" in content:
            self._answer(peer, checked_sums(content["sums"]))
        elif "marks" in content:
            self._hear_marks(peer, checked_marks(content["marks"]))
        elif "wanted" in content:
            self._give(peer, checked_marks(content["wanted"], MAX_WANTED))
        elif "head" in content:
            self._ask(peer)
        else:
            raise PeerFault("a roster was refused", why="it has another form")

    def _hear_statements(self, peer: BrokerId, raws: list[bytes], is_news: bool) -> None:
        fresh = [raw for raw in raws if not self._around.book.has(raw)]
        fetch = self._fetch
        is_answer = not is_news and fetch is not None and fetch.peer == peer and fetch.lacking is not None
        if fetch is not None and is_answer:
            fetch.since = self._monotonic()
            fetch.brought |= dict.fromkeys(fresh)
            fetch.answered = len(raws)
            if not fresh:
                self._go_on(fetch)
                return
        if fresh:
            self._around.take(peer, fresh)

    def _answer(self, peer: BrokerId, sums: bytes) -> None:
        marks = self._around.book.marks_beside(sums)
        if self._may(peer, 1 + len(marks) / _MARKS_A_TOKEN):
            self._say(peer, marks=b"".join(marks))

    def _give(self, peer: BrokerId, marks: list[bytes]) -> None:
        if self._may(peer, 1 + len(marks)):
            self._say(peer, statements=self._around.book.named(marks))

    def _may(self, peer: BrokerId, cost: float) -> bool:
        now, size = self._monotonic(), len(self._around.book)
        most, per_s = AT_ONCE + 4.0 * size, PER_S + PER_S_EACH * size
        allowance = self._allowances.setdefault(peer, Allowance(most, per_s, now))
        allowance.resize(most, per_s)
        if allowance.spend(cost, now):
            return True
        _log.debug("%s asks for more of the roster than it may; that is passed over", ids.short(peer))
        return False

    # fetching

    def _ask(self, peer: BrokerId) -> None:
        self._to_ask.setdefault(peer, 0)
        self._begin()

    def _begin(self) -> None:
        while self._fetch is None and self._to_ask:
            peer = next(iter(self._to_ask))
            tries = self._to_ask.pop(peer)
            if self._stated.get(peer) == self._around.head():
                continue
            if self._say(peer, sums=self._around.book.sums):
                self._fetch = _Fetch(peer, tries, self._monotonic())
                self._around.remind(SILENT_MS)

    def _hear_marks(self, peer: BrokerId, marks: list[bytes]) -> None:
        fetch = self._fetch
        if fetch is not None and fetch.peer == peer and fetch.lacking is None:
            fetch.since = self._monotonic()
            fetch.lacking = self._around.book.lacking(marks)
            self._want(fetch)

    def _go_on(self, fetch: _Fetch) -> None:
        before = fetch.lacking or []
        # what has come is not asked for again, whether it was kept or not
        fetch.lacking, fetch.answered = self._around.book.lacking(before[fetch.answered :]), 0
        if len(fetch.lacking) < len(before):
            self._want(fetch)
        else:
            # it gives nothing of what it says that it holds
            self._end()

    def _want(self, fetch: _Fetch) -> None:
        if not fetch.lacking:
            self._end()
        else:
            self._say(fetch.peer, wanted=b"".join(fetch.lacking[:MAX_WANTED]))

    def _end(self) -> None:
        fetch, self._fetch = self._fetch, None
        if fetch is None:
            return
        kept = list(filter(self._around.book.has, fetch.brought))
        if kept:
            self._tell(kept)
            if fetch.peer in self._stated:
                # it may have heard of more meanwhile, or have held more than one answer names
                self._to_ask.setdefault(fetch.peer, 0)
        self._begin()

    # what peers are told

    def _tell(self, news: list[bytes]) -> None:
        if not news:
            return
        said: dict[str, Any] = {"statements": news, "news": True} if len(news) <= FEW else {}
        head = self._around.head()
        for peer in list(self._around.linked()):
            if self._stated.get(peer) != head:
                self._say(peer, **said)

    def _say(self, peer: BrokerId, **content: object) -> bool:
        return self._around.say(peer, Kind.ROSTER, {"head": self._around.head(), **content})


