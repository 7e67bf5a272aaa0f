"""Who belongs to the workspace, as this broker knows it now: the folded roster, and names for people."""

from __future__ import annotations

from collections.abc import Iterable

from relay.core import ids
from relay.core.errors import Code, Misuse, Unreachable
from relay.core.ids import BrokerId
from relay.core.naming import meant, passes_for
from relay.core.roster import Roster
from relay.core.statements import Member
from relay.trust.sealing import PeerKeys


class Members:
    """The roster in use. Replaced whole, so that the store's thread may read it at any moment.

    Args:
        own: this broker's id.
        own_name: its label.
        roster: the folded statements.
    """

    def __init__(self, own: BrokerId, own_name: str, roster: Roster) -> None:
        self.own = own
        self._fallback = own_name
        self.aliases: dict[BrokerId, str] = {}
        self.replace(roster)

    def replace(self, roster: Roster) -> None:
        """Use another roster from now on."""
        self.roster = roster
        self._keys = {
            member.id: PeerKeys(member.id, member.public, member.sealing_public) for member in roster.members.values()
        }

    @property
    def own_name(self) -> str:
        """This broker's label: the roster's, so that every machine calls it the same."""
        member = self.roster.members.get(self.own)
        return member.name if member else self._fallback

    @property
    def others(self) -> list[Member]:
        """All members but this broker, by name."""
        members = (member for member in self.roster.members.values() if member.id != self.own)
        return sorted(members, key=lambda member: (member.name, member.id))

    def keys(self, broker: BrokerId) -> PeerKeys | None:
        """A member's keys, or None for a stranger or one that was put out."""
        return self._keys.get(broker)

    def require(self, broker: BrokerId) -> None:
        """Do nothing where this is a member.

        Raises:
            Unreachable: it was put out. Who is followed may be so in the midst, and then nobody has misused anything.
        """
        if broker not in self._keys:
            said = no_member(self.name(broker))
            raise Unreachable(said.message, why=said.why, hint=said.hint)

    def name(self, broker: BrokerId) -> str:
        """What people call this broker; the short id where nothing else is known."""
        if broker == self.own:
            return self.own_name
        if broker in self.aliases and broker in self._keys:
            return self.aliases[broker]
        member = self.roster.members.get(broker)
        return member.name if member else ids.short(broker)

    def names(self, broker: BrokerId) -> list[str]:
        """Every name it may be called by: the roster's, and this machine's own for it."""
        member = self.roster.members.get(broker)
        found = [member.name if member else None, self.aliases.get(broker)]
        return [name for name in found if name is not None]

    def label(self, broker: BrokerId) -> dict[str, str]:
        """The broker as JSON answers show it."""
        return {"id": broker, "name": self.name(broker)}

    def resolve(self, text: str | None) -> BrokerId:
        """The broker a person means: None is this one, else a name, or the beginning of an id.

        Raises:
            Misuse: `unknown_broker`, or `ambiguous` with the candidates.
        """
        if text is None:
            return self.own
        found = meant(text, {each: self._every_name(each) for each in self._everyone})
        if len(found) == 1:
            return found[0]
        raise self._ambiguous(text, found) if found else self._unknown(text)

    @property
    def _everyone(self) -> list[BrokerId]:
        return [self.own, *(member.id for member in self.others)]

    def _every_name(self, broker: BrokerId) -> list[str]:
        return [self.own_name] if broker == self.own else self.names(broker)

    def passes_for(self, broker: BrokerId, name: str) -> BrokerId | None:
        """The other member whose id begins with what would be this one's name."""
        return passes_for(name, (each for each in self._everyone if each != broker))

    def _unknown(self, text: str) -> Misuse:
        known = ", ".join([self.own_name, *(self.name(member.id) for member in self.others)])
        return Misuse(
            f"there is no broker {text[:80]!r} in this workspace",
            code=Code.UNKNOWN_BROKER,
            why=f"known are {known}",
            hint="relay brokers",
        )

    def _ambiguous(self, text: str, found: Iterable[BrokerId]) -> Misuse:
        return Misuse(
            f"{text[:80]!r} may be several brokers",
            code=Code.AMBIGUOUS,
            why=", ".join(f"{self.name(each)} {ids.short(each)}" for each in found),
            hint="name it by more letters of its id, or all of them",
        )


def no_member(name: str) -> Misuse:
    """The error for a broker that is asked for something, and was put out of the workspace."""
    return Misuse(
        f"{name} is no member any more",
        code=Code.UNKNOWN_BROKER,
        why="it was put out of this workspace: nothing goes there, and what it runs goes on",
        hint="relay invite   lets it in again",
    )
