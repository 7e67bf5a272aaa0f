"""The peer records that are held, and how two books are brought together without telling each other everything.

    one ── root ──► other                        equal: nothing more is said
    one ◄── a sum for each of 64 buckets ── other
    one ── [id prefix, incarnation, seq] of the buckets that differ ──► other
    one ◄── the records that are newer there, and a list of those wanted ── other
    one ── these records ──► other

No step needs memory of the one before. Two books that differ in one record of a thousand cost about 1.5 KB.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

from relay.core import ids
from relay.core.errors import Code, PeerFault
from relay.core.hello import is_bytes, is_count
from relay.core.ids import BrokerId
from relay.core.records import MAX_LINKED, Record
from relay.core.values import frozen

BUCKETS = 64
SUM_BYTES = 8
ROOT_BYTES = 16
PREFIX_BYTES = 8
MAX_ENTRIES = 4_096
FANOUT = 4
MAX_UNSAID = 2 * MAX_LINKED
_TOKEN_DOMAIN = b"relay-record-token/1"
_MODULUS = 1 << (8 * ROOT_BYTES)


@frozen
class Held:
    """A record that is held.

    Attributes:
        record: what it says.
        raw: the signed block, as received.
        digest: SHA-256 of `raw`.
        heard: when it was taken in, milliseconds since 1970.
    """

    record: Record
    raw: bytes
    digest: bytes
    heard: int

    @property
    def place(self) -> tuple[int, int, bytes]:
        """What a further record of the same owner is judged by."""
        return *self.record.age, self.digest


Entry = tuple[bytes, int, int]


def _prefix(broker: BrokerId) -> bytes:
    return ids.to_digest(broker)[:PREFIX_BYTES]


def _bucket(prefix: bytes) -> int:
    return prefix[0] % BUCKETS


def _token(entry: Entry) -> int:
    prefix, incarnation, seq = entry
    data = _TOKEN_DOMAIN + prefix + incarnation.to_bytes(8, "big") + seq.to_bytes(8, "big")
    return int.from_bytes(hashlib.sha256(data).digest()[:ROOT_BYTES], "big")


def _entry(held: Held) -> Entry:
    return _prefix(held.record.id), *held.record.age


class Book:
    """One record a member, and sums over them that change with each."""

    def __init__(self) -> None:
        self._held: dict[BrokerId, Held] = {}
        self._by_prefix: dict[bytes, BrokerId] = {}
        self._sums = [0] * BUCKETS
        self._namers: dict[BrokerId, set[BrokerId]] = {}
        self._unsaid: dict[BrokerId, dict[BrokerId, int]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def get(self, broker: BrokerId) -> Held | None:
        """The record held of a broker."""
        return self._held.get(broker)

    def all(self) -> list[Held]:
        """Every record."""
        return list(self._held.values())

    def put(self, held: Held) -> None:
        """Hold a record, in the place of its owner's last one."""
        owner = held.record.id
        unsaid = self._no_longer_said(held)
        self.drop(owner)
        self._held[owner] = held
        self._unsaid[owner] = unsaid
        self._by_prefix[_prefix(owner)] = owner
        for named in held.record.linked:
            self._namers.setdefault(named, set()).add(owner)
        self._add(_entry(held), 1)

    def _no_longer_said(self, new: Held) -> dict[BrokerId, int]:
        """Which links its owner named of late and does not name now, with when that was heard."""
        before = self._held.get(new.record.id)
        if before is None:
            return {}
        gone = dict.fromkeys(before.record.linked, new.heard)
        unsaid = {**self._unsaid[new.record.id], **gone}
        for named in new.record.linked:
            unsaid.pop(named, None)
        return dict(list(unsaid.items())[-MAX_UNSAID:])

    def drop(self, broker: BrokerId) -> bool:
        """Hold none of that broker any more; whether there was one."""
        gone = self._held.pop(broker, None)
        if gone is None:
            return False
        del self._by_prefix[_prefix(broker)]
        del self._unsaid[broker]
        for named in gone.record.linked:
            self._namers[named].discard(broker)
            if not self._namers[named]:
                del self._namers[named]
        self._add(_entry(gone), -1)
        return True

    def _add(self, entry: Entry, sign: int) -> None:
        at = _bucket(entry[0])
        self._sums[at] = (self._sums[at] + sign * _token(entry)) % _MODULUS

    def expire(self, now: int) -> list[BrokerId]:
        """Drop what is over; whose."""
        over = [broker for broker, held in self._held.items() if held.record.expires <= now]
        for broker in over:
            self.drop(broker)
        return over

    # what two books tell each other

    @property
    def root(self) -> bytes:
        """The same 16 bytes for books that hold the same."""
        return (sum(self._sums) % _MODULUS).to_bytes(ROOT_BYTES, "big")

    @property
    def sums(self) -> bytes:
        """8 bytes for each bucket."""
        return b"".join(each.to_bytes(ROOT_BYTES, "big")[:SUM_BYTES] for each in self._sums)

    def differing(self, theirs: bytes) -> list[int]:
        """The buckets in which another book differs, by its `sums`."""
        ours, size = self.sums, SUM_BYTES
        return [at for at in range(BUCKETS) if ours[at * size : (at + 1) * size] != theirs[at * size : (at + 1) * size]]

    def entries(self, buckets: Iterable[int]) -> list[Entry]:
        """What is held in these buckets."""
        wanted = set(buckets)
        return [entry for held in self._held.values() if _bucket((entry := _entry(held))[0]) in wanted]

    def compare(self, buckets: Iterable[int], theirs: Sequence[Entry]) -> tuple[list[BrokerId], list[bytes]]:
        """Whose records are newer here, and the id prefixes of those that are newer there."""
        there = {prefix: (incarnation, seq) for prefix, incarnation, seq in theirs}
        here = {prefix: (incarnation, seq) for prefix, incarnation, seq in self.entries(buckets)}
        newer_here = [self._by_prefix[prefix] for prefix, age in here.items() if age > there.get(prefix, (-1, -1))]
        return newer_here, [prefix for prefix, age in there.items() if age > here.get(prefix, (-1, -1))]

    def named(self, prefixes: Iterable[bytes]) -> list[BrokerId]:
        """The owners of held records whose ids begin so."""
        return [self._by_prefix[prefix] for prefix in prefixes if prefix in self._by_prefix]

    # what routing asks

    def always_on(self) -> list[BrokerId]:
        """Members that say they hold for others."""
        return [broker for broker, held in self._held.items() if held.record.always_on]

    def linked_to(self, broker: BrokerId) -> list[BrokerId]:
        """Members that say they are linked to this one, then those it named itself and that do not name all of theirs.

        Its own word may be old, because it is the one that may have gone.
        """
        # copied at once: the store's thread asks too
        say = [each for each in list(self._namers.get(broker, ())) if each != broker]
        own = self._held.get(broker)
        told = (each for each in (own.record.linked if own else ()) if not self._names_all(each))
        return list(dict.fromkeys([*say, *told]))

    def _names_all(self, broker: BrokerId) -> bool:
        held = self._held.get(broker)
        return held is not None and held.record.tells_all_links

    def believed(self, broker: BrokerId, since: int | None = None) -> list[BrokerId]:
        """Members of whom can be believed, for showing, that a broker is there and linked with them.

        Of `linked_to`, without those of whom the last word that names such a link is older than what is known
        otherwise: that the broker said goodbye, or that the other end of the link has ceased to name it.

        Args:
            broker: who may be there.
            since: when it said goodbye, milliseconds since 1970; None where it did not.
        """
        return [each for each in self.linked_to(broker) if self._is_believed(broker, each, since)]

    def _is_believed(self, broker: BrokerId, via: BrokerId, since: int | None) -> bool:
        said = [heard for one, other in ((broker, via), (via, broker)) if (heard := self._said_at(one, other))]
        unsaid = (self._unsaid.get(one, {}).get(other, 0) for one, other in ((broker, via), (via, broker)))
        return bool(said) and max(said) > max(since or 0, *unsaid)

    def _said_at(self, owner: BrokerId, named: BrokerId) -> int | None:
        held = self._held.get(owner)
        return held.heard if held is not None and named in held.record.linked else None

    def are_linked(self, one: BrokerId, other: BrokerId) -> bool | None:
        """Whether these two are linked, by what they say; None where neither says all of its links."""
        found = [(self._held.get(here), there) for here, there in ((one, other), (other, one))]
        told = [(held.record, there) for held, there in found if held is not None]
        if any(there in record.linked for record, there in told):
            return True
        return False if any(record.tells_all_links for record, _ in told) else None

    def onward(
        self,
        owner: BrokerId,
        source: BrokerId,
        peers: Iterable[BrokerId],
        some: Callable[[list[BrokerId], int], list[BrokerId]],
    ) -> list[BrokerId]:
        """To whom a record is passed on that was news here.

        Who is linked with the owner or the source has it from them. Where that is not known, because lists of links
        are cut at 32, a few are told and the rest is left to comparing books: else each record would cross each
        link of a dense mesh.

        Args:
            owner: whose record.
            source: who sent it here.
            peers: who is linked with this broker.
            some: picks so many of a list, at random.
        """
        surely: list[BrokerId] = []
        maybe: list[BrokerId] = []
        for peer in peers:
            if peer in (owner, source):
                continue
            known = (self.are_linked(owner, peer), self.are_linked(source, peer))
            if True not in known:
                (maybe if None in known else surely).append(peer)
        return surely + (some(maybe, FANOUT) if len(maybe) > FANOUT else maybe)


def _fault(why: str) -> PeerFault:
    return PeerFault("a comparison of peer records was refused", code=Code.BAD_RECORD, why=why)


def checked_root(value: object) -> bytes:
    """A root as it came.

    Raises:
        PeerFault: `bad_record`.
    """
    if not is_bytes(ROOT_BYTES)(value):
        raise _fault("a root of another form")
    return bytes(value)  # type: ignore[call-overload, no-any-return]


def checked_sums(value: object) -> bytes:
    """Sums as they came.

    Raises:
        PeerFault: `bad_record`.
    """
    if not is_bytes(BUCKETS * SUM_BYTES)(value):
        raise _fault("sums of another form")
    return bytes(value)  # type: ignore[call-overload, no-any-return]


def checked_buckets(value: object) -> list[int]:
    """Bucket numbers as they came.

    Raises:
        PeerFault: `bad_record`.
    """
    if type(value) is not list or len(value) > BUCKETS:
        raise _fault("too many buckets")
    if not all(type(at) is int and 0 <= at < BUCKETS for at in value):
        raise _fault("buckets of another form")
    return value


def _is_entry(value: object) -> bool:
    return (
        type(value) is list
        and len(value) == 3
        and is_bytes(PREFIX_BYTES)(value[0])
        and is_count(value[1])
        and is_count(value[2])
    )


def checked_entries(value: object) -> list[Entry]:
    """Entries as they came.

    Raises:
        PeerFault: `bad_record`.
    """
    if type(value) is not list or len(value) > MAX_ENTRIES or not all(map(_is_entry, value)):
        raise _fault("entries of another form")
    return [(prefix, incarnation, seq) for prefix, incarnation, seq in value]


def checked_prefixes(value: object) -> list[bytes]:
    """Id prefixes as they came.

    Raises:
        PeerFault: `bad_record`.
    """
    if type(value) is not list or len(value) > MAX_ENTRIES or not all(map(is_bytes(PREFIX_BYTES), value)):
        raise _fault("prefixes of another form")
    return value
