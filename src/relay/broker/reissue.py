"""A result outlives any sleep: this broker's words are sealed again before they expire, until they are receipted.

An envelope lives 30 days; what it says is a signed snapshot, which does not expire. A week before its end it is
sealed again under the same operation, so that whichever copy arrives acts once. The same where its recipient refuses
it for its key or its time: at once, then after ever longer pauses, since a clock may stay wrong for days.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from relay.api.durations import spoken
from relay.broker import once_more
from relay.broker.link import monotonic_ms
from relay.broker.postbox import SealingPostbox
from relay.core.envelope import MAX_LIFE_MS
from relay.core.errors import Code
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.states import TERMINAL
from relay.core.values import frozen
from relay.spawn.ledger import SNAPSHOT_TTL, content_of
from relay.store import outbox, tails, words
from relay.store.journal import Entry
from relay.store.outbox import OutboxLine
from relay.store.spawn_rows import BY_ID

WORDS_BEFORE_MS = 7 * 86_400_000
STOPS_BEFORE_MS = 3_600_000
STEP = 200
CALM_MS = 60_000  # one that was sealed less than this ago waits, or two wrong clocks would race
LONGEST_PAUSE_MS = 3_600_000
MOST_PAUSED = 10_000
MENDED_BY_SEALING = frozenset({Code.EXPIRED, Code.EXPIRES_LATE, Code.UNKNOWN_KEY})
_KINDS = frozenset({Kind.SNAPSHOT, Kind.STOP})


@frozen
class _Pause:
    """After a refusal: how long, and until when by the clock of links; milliseconds."""

    length: int
    until: int


def _key(line: OutboxLine) -> tuple[BrokerId, str]:
    return line.recipient, line.operation


def sealed_at(envelope: bytes) -> int:
    """When an envelope of ours was sealed, milliseconds: its id begins with the time."""
    return int.from_bytes(envelope[:6], "big")


class Again(Protocol):
    """Makes the bodies of further kinds once more."""

    kinds: frozenset[Kind]

    def content(self, entry: Entry, line: OutboxLine) -> dict[str, Any] | None:
        """The body of a row; None where nobody wants it any more."""


class _Nothing:
    kinds: frozenset[Kind] = frozenset()

    def content(self, entry: Entry, line: OutboxLine) -> dict[str, Any] | None:
        return None


class Reissue:
    """Seals again what must not expire.

    Args:
        postbox: seals.
        let_go: tells a holder that it need not keep an envelope any longer.
    """

    def __init__(
        self, postbox: SealingPostbox, let_go: Callable[[BrokerId, list[bytes]], None] = lambda holder, gone: None
    ) -> None:
        self._postbox = postbox
        self._let_go = let_go
        self.tools: Again = _Nothing()
        self._pauses: dict[tuple[BrokerId, str], _Pause] = {}

    def due(self, entry: Entry) -> int:
        """Seal again what expires soon, has, or does so too late; how many. Repeat until it is less than `STEP`."""
        found = outbox.REISSUE.all(
            entry.tx,
            words=entry.now + WORDS_BEFORE_MS,
            stops=entry.now + STOPS_BEFORE_MS,
            late=entry.now + MAX_LIFE_MS,
            limit=STEP + len(self._pauses),
        )
        ready = [line for line in found if not self._rests(line)][:STEP]
        for line in ready:
            if not entry.apart(f"an envelope of {line.operation}", partial(self.again, entry, line)):
                self._pauses[_key(line)] = _Pause(LONGEST_PAUSE_MS, monotonic_ms() + LONGEST_PAUSE_MS)
        return len(ready)

    def refused(self, entry: Entry, line: OutboxLine, code: Code) -> bool:
        """Mend what its recipient refused because of its key or its expiry; False where that is no remedy."""
        is_ours = line.kind in _KINDS or line.kind in self.tools.kinds
        if not is_ours or code not in MENDED_BY_SEALING or self._content(entry, line) is None:
            return False
        if 0 <= entry.now - sealed_at(line.id) < CALM_MS:
            self._rest(entry, line, code)
        else:
            self.again(entry, line)
        return True

    def _rest(self, entry: Entry, line: OutboxLine, code: Code) -> None:
        before = self._pauses.pop(_key(line), None)
        length = CALM_MS if before is None else min(2 * before.length, LONGEST_PAUSE_MS)
        if len(self._pauses) >= MOST_PAUSED:
            del self._pauses[next(iter(self._pauses))]
        self._pauses[_key(line)] = _Pause(length, monotonic_ms() + length)
        reason = f"refused as {code}; it is sealed again within {spoken(length / 1000)}"
        outbox.seal_soon(entry.tx, line.id, entry.now, reason)

    def _rests(self, line: OutboxLine) -> bool:
        pause = self._pauses.get(_key(line))
        return pause is not None and monotonic_ms() < pause.until

    def clock_was_set(self) -> None:
        """What was refused for its time may be taken now: it is sealed again at the next tidying."""
        self._pauses.clear()

    def again(self, entry: Entry, line: OutboxLine) -> bool:
        """Seal one row again and send it; False, and the row is gone, where nobody wants it any more."""
        content = self._content(entry, line)
        outgoing = None
        if content is not None:
            outgoing = self._postbox.post_again(entry.tx, line, content, entry.now, SNAPSHOT_TTL)
        if outgoing is None:
            outbox.drop(entry.tx, line.id)
            return False
        entry.posted.append((line.recipient, outgoing))
        if (holder := line.holder) is not None:
            entry.then(lambda: self._let_go(holder, [line.id]))
        return True

    def _content(self, entry: Entry, line: OutboxLine) -> dict[str, Any] | None:
        if line.kind in self.tools.kinds:
            return self.tools.content(entry, line)
        if line.kind == Kind.STOP:
            row = BY_ID.one(entry.tx, id=line.spawn)
            is_over = row is None or (row.state in TERMINAL and not once_more.asked(entry, row.id))
            return None if is_over else {"spawn": line.spawn}
        # a later word of the same spawn has taken the place of one that is not kept any more
        _, spawn, attempt, seq = line.operation.split("/")  # as `Ledger` makes it
        word = words.EXACTLY.one(entry.tx, spawn=spawn, attempt=int(attempt), seq=int(seq))
        if word is None:
            return None
        tail = tails.TAIL.one(entry.tx, spawn=spawn) if word.state in TERMINAL else None
        return content_of(entry, BY_ID.one(entry.tx, id=spawn), word.bytes, word.signature, tail)
