"""The roster statements that are held, and how one broker finds what it lacks without hearing of everything.

    one ── a sum for each block of 64 places in the chains ──► other
    one ◄── the marks of what is held there, in the blocks that differ ── other
    one ── the marks of what it lacks ──► other
    one ◄── these statements ── other

Statements are told apart by their hash alone, so that a fork, a gap, or another signer's chain is found like anything
else. Signers may not be honest: sums and marks are as long as makes two that agree by design cost 2^64 hashes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from relay.core.errors import Code, PeerFault
from relay.core.hello import HASH_BYTES, is_bytes
from relay.core.statements import MAX_STATEMENTS
from relay.core.values import frozen

BLOCK = 64
MAX_BLOCKS = MAX_STATEMENTS // BLOCK
SUM_BYTES = 16
MARK_BYTES = 16
MAX_MARKS = 12_288  # 192 KiB of them: what one envelope carries
MAX_WANTED = 256
PIECE_BYTES = 128 * 1024
_SUM_DOMAIN = b"relay-statement-block/1"
_EMPTY = bytes(SUM_BYTES)


@frozen
class Filed:
    """A statement that is held: its place in its chain, its bytes as received, how many sign above its signer."""

    seq: int
    raw: bytes
    level: int


class StatementBook:
    """Every statement, by its mark: the first 16 bytes of its hash."""

    def __init__(self) -> None:
        self._filed: dict[bytes, Filed] = {}
        self._raws: set[bytes] = set()
        self._blocks: list[set[bytes]] = []
        self._sums: list[bytes] = []

    def __len__(self) -> int:
        return len(self._filed)

    def __contains__(self, mark: bytes) -> bool:
        return mark in self._filed

    def has(self, raw: bytes) -> bool:
        """Whether a statement with these bytes is held."""
        return raw in self._raws

    def put(self, hash_: bytes, seq: int, raw: bytes, level: int = 0) -> None:
        """Hold a statement.

        Args:
            hash_: `Statement.hash`.
            seq: its place, from 1.
            raw: its bytes as received.
            level: how many signers stand above its own: what it rests on is told before it.
        """
        mark, at = hash_[:MARK_BYTES], (seq - 1) // BLOCK
        self._filed[mark] = Filed(seq, raw, level)
        self._raws.add(raw)
        while len(self._blocks) <= at:
            self._blocks.append(set())
            self._sums.append(_EMPTY)
        self._blocks[at].add(mark)
        self._sums[at] = hashlib.sha256(_SUM_DOMAIN + b"".join(sorted(self._blocks[at]))).digest()[:SUM_BYTES]

    @property
    def sums(self) -> bytes:
        """16 bytes for each block up to the last one that holds something; zeros for an empty one."""
        return b"".join(self._sums)

    def marks_beside(self, theirs: bytes) -> list[bytes]:
        """The marks of what is held in the blocks that differ from another book's, by its `sums`.

        What is signed nearer the root comes first, and of that the first places: nothing comes before what it rests on.
        Where they are too many for one envelope, the last of them: whoever takes these in asks again.
        """
        differing = (at for at, ours in enumerate(self._sums) if theirs[at * SUM_BYTES : (at + 1) * SUM_BYTES] != ours)
        found = [mark for at in differing for mark in self._blocks[at]]
        return sorted(found, key=self._order)[-MAX_MARKS:]

    def _order(self, mark: bytes) -> tuple[int, int, bytes]:
        filed = self._filed[mark]
        return filed.level, filed.seq, mark

    def lacking(self, marks: Iterable[bytes]) -> list[bytes]:
        """Those of the marks that stand for nothing held here."""
        return [mark for mark in marks if mark not in self._filed]

    def named(self, marks: Iterable[bytes]) -> list[bytes]:
        """The bytes of the statements with these marks, as many as one envelope carries."""
        found: list[bytes] = []
        size = 0
        for filed in (self._filed[mark] for mark in marks if mark in self._filed):
            size += len(filed.raw)
            if size > PIECE_BYTES:
                break
            found.append(filed.raw)
        return found


def _fault(why: str) -> PeerFault:
    return PeerFault("a roster was refused", code=Code.BAD_ENVELOPE, why=why)


def _cut(value: object, size: int, most: int, what: str) -> list[bytes]:
    if type(value) is not bytes or len(value) % size or len(value) > size * most:
        raise _fault(f"{what} of another form")
    return [value[at : at + size] for at in range(0, len(value), size)]


def checked_head(value: object) -> bytes:
    """A roster's head as it came.

    Raises:
        PeerFault: `bad_envelope`.
    """
    if not is_bytes(HASH_BYTES)(value):
        raise _fault("a head of another form")
    return bytes(value)  # type: ignore[call-overload, no-any-return]


def checked_sums(value: object) -> bytes:
    """Sums of blocks as they came.

    Raises:
        PeerFault: `bad_envelope`.
    """
    return b"".join(_cut(value, SUM_BYTES, MAX_BLOCKS, "sums"))


def checked_marks(value: object, most: int = MAX_MARKS) -> list[bytes]:
    """Marks as they came, no two alike.

    Raises:
        PeerFault: `bad_envelope`.
    """
    return list(dict.fromkeys(_cut(value, MARK_BYTES, most, "marks")))


def checked_statements(value: object) -> list[bytes]:
    """Signed statements as they came: their number and kind, not yet what they say.

    Raises:
        PeerFault: `bad_envelope`.
    """
    if type(value) is not list or len(value) > MAX_WANTED or not all(type(raw) is bytes for raw in value):
        raise _fault("statements of another form")
    return list(dict.fromkeys(value))
