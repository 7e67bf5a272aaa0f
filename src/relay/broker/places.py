"""Where a member may be: hints from several sources, each with its age and its end. Keys do not come from here.

| source | from | until |
|---|---|---|
| `config` | the table `peers` of config.toml | it is taken out there |
| `link` | pairing, and the hello of a link | 30 days after the last link; after that only where nothing else is known |
| `record` | what the member signed of itself | the record's end, 48 h at most |
| `mdns` | the local network | it says goodbye, or 75 min |
| `tailscale` | `tailscale status` | 15 min after it was last seen there |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from enum import StrEnum

from relay.core.addresses import host_of, is_only_local
from relay.core.hello import MAX_ADDRESSES, is_address
from relay.core.ids import BrokerId
from relay.core.values import frozen

MAX_DIALLED = 24
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
LINK_LIFE_MS = 30 * 86_400_000


class Source(StrEnum):
    """Where a hint comes from."""

    CONFIG = "config"
    LINK = "link"
    RECORD = "record"
    MDNS = "mdns"
    TAILSCALE = "tailscale"


@frozen
class Hint:
    """One address of a member.

    Attributes:
        address: `host:port`.
        source: who says so.
        learnt: when, milliseconds since 1970; 0 where it is not known.
        expires: milliseconds since 1970; None for never.
        worked: when a link was last made there; None for not in this run.
    """

    address: str
    source: Source
    learnt: int
    expires: int | None = None
    worked: int | None = None


def is_own(address: str, listening: Iterable[str], told: Iterable[str]) -> bool:
    """Whether this broker listens at an address itself.

    Args:
        address: `host:port`.
        listening: where it listens, a wildcard among it as it is.
        told: the addresses that stands for.
    """
    if address in told or address in listening:
        return True
    port = address.rpartition(":")[2]
    loopback = (f"127.0.0.1:{port}", f"[::1]:{port}", f"0.0.0.0:{port}", f"[::]:{port}")
    return host_of(address) in _LOOPBACK and any(each in loopback for each in listening)


class Places:
    """What is known of where members are, beside what the store and the records say.

    Args:
        configured: the addresses in config.toml by the name they stand under.
        names: what a member is called.
        is_own: whether this broker itself is at an address, so that it is not dialled.
    """

    def __init__(
        self,
        configured: dict[str, tuple[str, ...]],
        names: Callable[[BrokerId], Iterable[str]],
        is_own: Callable[[str], bool],
    ) -> None:
        self._configured = configured
        self._names = names
        self._is_own = is_own
        self._heard: dict[tuple[BrokerId, Source], tuple[Hint, ...]] = {}
        self._worked: dict[BrokerId, tuple[str, int]] = {}
        self._here: set[BrokerId] = set()
        self._elsewhere: set[BrokerId] = set()

    def learn(self, peer: BrokerId, source: Source, addresses: Iterable[str], learnt: int, expires: int) -> bool:
        """Take what a source says now in the place of what it said before; whether there is an address anew.

        Args:
            addresses: those that are none are left out, and all beyond 16.
            learnt, expires: milliseconds since 1970.
        """
        known = dict.fromkeys(filter(is_address, addresses))
        hints = tuple(Hint(address, source, learnt, expires) for address in known)[:MAX_ADDRESSES]
        before = {hint.address for hint in self._heard.get((peer, source), ())}
        self._heard[peer, source] = hints
        return not {hint.address for hint in hints} <= before

    def unlearn(self, peer: BrokerId, source: Source) -> None:
        """A source says nothing of a member any more."""
        self._heard.pop((peer, source), None)

    def forget(self, peer: BrokerId) -> None:
        """Drop all that was heard of a member, and what worked."""
        for source in Source:
            self.unlearn(peer, source)
        self._worked.pop(peer, None)
        self._here.discard(peer)
        self._elsewhere.discard(peer)

    def linked(self, peer: BrokerId, address: str, *, dialled: bool, now: int) -> None:
        """A link came up.

        Args:
            peer: to whom.
            address: of the other end.
            dialled: whether this broker made the connection, so that the address may be dialled again.
        """
        if dialled:
            self._worked[peer] = address, now
        if is_only_local(address):
            self._here.add(peer)
            self._elsewhere.discard(peer)
        else:
            self._here.discard(peer)
            self._elsewhere.add(peer)

    def is_known_here(self, peer: BrokerId) -> None:
        """What the store has of a member shows that it runs on this machine, as long as no link says otherwise."""
        if peer not in self._elsewhere:
            self._here.add(peer)

    def is_here(self, peer: BrokerId) -> bool:
        """Whether a member was last linked over loopback: it runs on this machine."""
        return peer in self._here

    def order(self, peer: BrokerId, others: Iterable[Hint], now: int) -> list[Hint]:
        """Where to dial, best first: what worked last, then what a person wrote down, then the freshest.

        Args:
            peer: whom.
            others: hints that are kept elsewhere: the store's and the record's.
            now: milliseconds since 1970.
        """
        found = [*self._written(peer, now), *self._of(peer), *others]
        alive = [hint for hint in found if hint.expires is None or hint.expires > now] or found
        best: dict[str, Hint] = {}
        for hint in sorted((self._marked(peer, hint) for hint in alive), key=_rank):
            if self._may_dial(peer, hint):
                best.setdefault(hint.address, hint)
        return list(best.values())[:MAX_DIALLED]

    def _written(self, peer: BrokerId, now: int) -> list[Hint]:
        written = [address for name in self._names(peer) for address in self._configured.get(name, ())]
        return [Hint(address, Source.CONFIG, now) for address in written if is_address(address)]

    def _of(self, peer: BrokerId) -> list[Hint]:
        return [hint for source in Source for hint in self._heard.get((peer, source), ())]

    def _marked(self, peer: BrokerId, hint: Hint) -> Hint:
        address, at = self._worked.get(peer, ("", 0))
        return replace(hint, worked=at) if address == hint.address else hint

    def _may_dial(self, peer: BrokerId, hint: Hint) -> bool:
        # what a link stated was judged as it was taken in; the local network's is judged where it is listened to
        if hint.source in (Source.RECORD, Source.TAILSCALE):
            return not self._is_own(hint.address) and (self.is_here(peer) or not is_only_local(hint.address))
        return not self._is_own(hint.address)


def _rank(hint: Hint) -> tuple[bool, bool, int]:
    return hint.worked is None, hint.source is not Source.CONFIG, -hint.learnt
