"""What was typed and is not answered: so much of it is on its way, the rest waits here.

A terminal is read further while it waits, for the key that leaves: left unread it would stand behind what a task takes
slowly, or a machine that does not answer does not take at all, and nobody would hear it.
"""

from __future__ import annotations

PIECE, MOST_UNACKNOWLEDGED = 4096, 64
MOST_WAITING = 1 << 20


class Unanswered:
    """Numbers and keeps it.

    Attributes:
        sent: what is on its way, by its number; None for the end of what is typed.
        n: the last number that was given.
    """

    def __init__(self) -> None:
        self.sent: dict[int, bytes | None] = {}
        self.n = 0
        self._waiting = bytearray()
        self._ends = False  # behind what waits

    def may_read(self, ahead: bool) -> bool:
        """Whether more may be read of what is typed.

        Args:
            ahead: also what cannot be on its way at once.
        """
        return len(self._waiting) < MOST_WAITING if ahead else not self._is_full

    @property
    def _is_full(self) -> bool:
        return len(self.sent) >= MOST_UNACKNOWLEDGED

    def add(self, data: bytes | None) -> list[int]:
        """Something was typed; the numbers of what is to be sent now."""
        if data is None and self._waiting:
            self._ends = True
            return []
        if data is not None and (self._waiting or self._is_full):
            self._waiting += data
            return []
        return [self._number(data)]

    def answered(self, n: int) -> list[int]:
        """All up to a number is; the numbers of what is to be sent now."""
        for each in [each for each in self.sent if each <= n]:
            del self.sent[each]
        due = []
        while self._waiting and not self._is_full:
            due.append(self._number(bytes(self._waiting[:PIECE])))
            del self._waiting[:PIECE]
        if self._ends and not self._waiting:
            self._ends = False
            due.append(self._number(None))
        return due

    def _number(self, data: bytes | None) -> int:
        self.n += 1
        self.sent[self.n] = data
        return self.n

    def clear(self) -> None:
        """Nothing of it is to be typed any more."""
        self.sent.clear()
        self.forget_waiting()

    def forget_waiting(self) -> None:
        """Nothing of what is not on its way is."""
        self._waiting.clear()
        self._ends = False
