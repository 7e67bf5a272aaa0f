"""Who serves which name here: one program each, the first as long as its process lives."""

from __future__ import annotations

from relay.broker.tools.programs import SHARE, Program, Programs, is_alive
from relay.core.errors import Code, Misuse
from relay.core.offers import MOST_OFFERS, Offer
from relay.store import offers
from relay.store.journal import Entry
from relay.store.offers import Offered


class Names:
    """Gives names to programs, in the transactions in which they come and go.

    Args:
        programs: those that are connected.
    """

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self._refused: dict[tuple[str, str], str] = {}

    @property
    def has_refused(self) -> bool:
        """Whether a connected program was told that a name of it is in use."""
        return any(self._programs.get(program) is not None for program, _ in list(self._refused))

    def claim(self, entry: Entry, program: Program) -> bool:
        """Give a program the names that it offers and that are free; whether anything changed for others."""
        before = {each.name: each for each in offers.ALL.all(entry.tx)}
        shares = {each.name for each in offers.SHARES.all(entry.tx)}
        changed, room = False, MOST_OFFERS - len(before)
        for offer in program.hello.offers:
            error = self._why_not(program, offer, before.get(offer.name), shares, room)
            self._tell(entry, program, offer.name, error)
            if error is None:
                room -= offer.name not in before
                changed |= self._put(entry, program, offer, before.get(offer.name))
        return self._withdraw(entry, program, before) or changed

    def _why_not(
        self, program: Program, offer: Offer, holder: Offered | None, shares: set[str], room: int
    ) -> Misuse | None:
        if program.hello.kind == SHARE and offer.share not in shares:
            why = f"there is no share {offer.share!r} any more"
            return Misuse(f"{offer.name} is not served", code=Code.UNKNOWN_SHARE, why=why, hint="relay tools")
        if holder is None:
            why = f"{MOST_OFFERS} are offered already"
            return None if room > 0 else Misuse(f"{offer.name} is not served", why=why, hint="relay tools")
        if holder.program == program.id or not is_alive(holder.pid, holder.ticks, holder.boot):
            return None
        return Misuse(
            f"the name {offer.name!r} is in use here",
            code=Code.NAME_IN_USE,
            why=f"{holder.title or 'another program'} (pid {holder.pid}) serves it",
            hint=f"name it otherwise, or end that program: kill {holder.pid}",
        )

    def _tell(self, entry: Entry, program: Program, name: str, error: Misuse | None) -> None:
        key, why = (program.id, name), "" if error is None else error.why
        if error is not None and self._refused.get(key) != why:
            entry.then(lambda: program.refuse(name, error))
        if error is None:
            self._refused.pop(key, None)
        else:
            self._refused[key] = why

    def _put(self, entry: Entry, program: Program, offer: Offer, holder: Offered | None) -> bool:
        title, pid = program.hello.title, program.hello.pid
        made = Offered(
            offer.name, offer.definition, offer.kind, offer.share, program.id, title, pid, program.ticks,
            program.boot, entry.now,
        )
        offers.put(entry.tx, made)
        return holder is None or holder.offer != offer

    def _withdraw(self, entry: Entry, program: Program, before: dict[str, Offered]) -> bool:
        """What it offered before and offers no more; also what the same program offered when it last ran."""
        wanted = {each.name for each in program.hello.offers}
        gone = [
            each.name
            for each in before.values()
            if each.name not in wanted and (each.program == program.id or _is_former(each, program))
        ]
        offers.drop(entry.tx, gone)
        return bool(gone)

    def left(self, program: Program) -> None:
        """A program has left: what it was refused is forgotten."""
        for key in [key for key in self._refused if key[0] == program.id]:
            del self._refused[key]


def _is_former(offered: Offered, program: Program) -> bool:
    same = (offered.title, offered.kind == "mcp") == (program.hello.title, program.hello.kind == SHARE)
    return same and not is_alive(offered.pid, offered.ticks, offered.boot)
