"""What the channels of one family have under way together over one holder, which drops what it has no room for.

    sent ── under way ── heard by the other end, which says so ── unread there, as many as the channel's window
             all of one holder together: `MOST`

Between two that are linked nothing is counted: a link has room, or its sender waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

MOST = 512 * 1024
"""Bytes. A holder hands on 1 MiB of somebody else's at any time; there are two families, and logs."""
REPORT, REPORT_S = 64 * 1024, 0.05
"""After how many bytes it is said at once what was heard; how long it may be until it is said of fewer."""
LEAST = 1024
"""So few bytes are said with whatever is said next."""


class Holder:
    """What is under way over it."""

    def __init__(self) -> None:
        self._bytes = self._turns = 0
        self._waiting: dict[asyncio.Event, int] = {}

    def has_room(self, size: int) -> bool:
        """Whether so many bytes more may go."""
        return not self._bytes or self._bytes + size <= MOST

    def add(self, size: int) -> int:
        """So many more are under way; which turn that was."""
        self._bytes += size
        self._turns += 1
        return self._turns

    def drop(self, size: int) -> None:
        """So many are no more, and who waits for room looks again: first whose last turn is longest ago."""
        self._bytes -= size
        waiting, self._waiting = self._waiting, {}
        for each in sorted(waiting, key=waiting.__getitem__):
            each.set()

    def wait(self, news: asyncio.Event, turn: int) -> None:
        """Set this once there may be room, for who had its last turn then."""
        self._waiting[news] = turn


class UnderWay:
    """What one channel has under way over a holder, and what it has heard and not said so.

    Args:
        holder: which.
        is_told: whether the other end says what it has heard; one of an earlier version does not.
    """

    def __init__(self, holder: Holder, is_told: bool) -> None:
        self._holder = holder
        self._is_told = is_told
        self._sent: deque[tuple[int, int]] = deque()
        self._turn = 0
        self.unsaid = 0

    def has_room(self, message: dict[str, Any], news: asyncio.Event) -> bool:
        """Whether a message may go; `news` is set where it may perhaps later."""
        if not self._is_told or self._holder.has_room(size_of(message)):
            return True
        self._holder.wait(news, self._turn)
        return False

    def sent(self, n: int, message: dict[str, Any]) -> None:
        """The message that makes it `n` went."""
        if self._is_told and (size := size_of(message)):
            self._sent.append((n, size))
            self._turn = self._holder.add(size)

    def heard(self, n: Any) -> None:
        """The other end has heard so many messages."""
        if type(n) is not int:
            return
        self._is_told = True
        done = 0
        while self._sent and self._sent[0][0] <= n:
            done += self._sent.popleft()[1]
        if done:
            self._holder.drop(done)

    def over(self) -> None:
        """The channel has ended: nothing of it is waited for."""
        done = sum(size for _, size in self._sent)
        self._sent.clear()
        if done:
            self._holder.drop(done)


def size_of(message: dict[str, Any] | None) -> int:
    """How many bytes of a message are counted: its data."""
    data = message.get("data") if message is not None else None
    return len(data) if isinstance(data, bytes) else 0
