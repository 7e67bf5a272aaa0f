"""What agents there are, here and on the other brokers: a live look at each, or what its record says of one away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from relay.broker.gate import Gate
from relay.broker.inbox import Hear
from relay.broker.looks import IsThere, Looks, Seen, Telling, Told, comes
from relay.broker.members import Members
from relay.broker.mesh import Mesh
from relay.broker.presence import is_there
from relay.broker.words import rfc3339
from relay.core.agent_facts import AgentFacts, Tested, facts_from_content
from relay.core.errors import PeerFault
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.spawn.means import Means
from relay.store.engine import Store
from relay.store.spawn_rows import LAST_TEST, SpawnRow

WITHIN_S = 25.0
"""A look at one program, its version and its login takes 20 s at most; all are looked at side by side."""
_LOOK = "a look at agents"
Known = Callable[[BrokerId], Awaitable[dict[str, Any]]]


class AgentsServer:
    """Says what can be run here.

    Args:
        own: this broker's id.
        store: how the last tests ended.
        gate: who may know it.
        means: looks at the programs.
        mesh: where it goes.
        clock: milliseconds since 1970.
    """

    def __init__(
        self, own: BrokerId, store: Store, gate: Gate, means: Means, mesh: Mesh, clock: Callable[[], int]
    ) -> None:
        self._own = own
        self._store = store
        self._gate = gate
        self._means = means
        self._clock = clock
        self._telling = Telling(mesh, Kind.AGENTS_LIST, _LOOK, self._told)

    @property
    def hears(self) -> dict[Kind, Hear]:
        """By kind."""
        return {Kind.AGENTS_ASK: self._telling.asked}

    def close(self) -> None:
        """Stop answering."""
        self._telling.close()

    async def facts(self) -> list[AgentFacts]:
        """Every agent known here, by name, each with its last test."""
        return [await self._with_test(each) for each in await self._means.all()]

    async def _with_test(self, found: AgentFacts) -> AgentFacts:
        row = await self._store.one(LAST_TEST, agent=found.name, target=self._own)
        return found if row is None else found.after(_tested(row))

    async def _told(self, origin: BrokerId, question: dict[str, Any]) -> Told:
        if not self._gate.may_look(origin, self._clock()):
            return Told(refusal="its grant for this broker has neither view nor spawn")
        return Told([each.to_content() for each in await self.facts()])


def _tested(row: SpawnRow) -> Tested:
    said = (row.error or {}).get("message") or row.reason
    return Tested(row.id, row.ended or row.since, row.state, str(said)[:1000])


class Offered:
    """Gathers `relay agents`.

    Args:
        members: names.
        mesh: the way to the others.
        server: what there is here.
        known: what is known here of a broker that does not answer.
        is_there: whether a broker answers anything, found out within `elsewhere.THERE_S`.
        clock: milliseconds since 1970.
    """

    def __init__(
        self,
        members: Members,
        mesh: Mesh,
        server: AgentsServer,
        known: Known,
        is_there: IsThere,
        clock: Callable[[], int],
    ) -> None:
        self._mesh = mesh
        self._is_there = is_there
        self._members = members
        self._server = server
        self._known = known
        self._clock = clock
        self._looks = Looks(mesh, Kind.AGENTS_ASK, _LOOK, _read, WITHIN_S)

    @property
    def hears(self) -> dict[Kind, Hear]:
        """By kind."""
        return {Kind.AGENTS_LIST: self._looks.heard}

    def refused(self, peer: BrokerId, envelope: bytes, error: PeerFault) -> None:
        """That broker will not have an envelope; nothing where that was none of ours."""
        self._looks.refused(peer, envelope, error)

    async def listing(self, text: str | None) -> list[dict[str, Any]]:
        """What each broker can run, this one first.

        Args:
            text: a broker's name or id prefix; None for all of them.

        Raises:
            Misuse: it names none, or several.
        """
        asked = [self._members.own, *(each.id for each in self._members.others)]
        if text is not None:
            asked = [self._members.resolve(text)]
        return list(await asyncio.gather(*map(self._of, asked)))

    async def _of(self, broker: BrokerId) -> dict[str, Any]:
        label = self._members.label(broker) | {"self": broker == self._members.own}
        if broker == self._members.own:
            seen: Seen[AgentFacts] | None = Seen(await self._server.facts())
        else:
            seen = await self._seen(broker)
        if seen is not None and not seen.refusal:
            truth = {"from": broker, "at": rfc3339(self._clock())}
            return {"broker": label, "truth": truth, "why": None, "agents": [_view(each) for each in seen.items]}
        known = await self._known(broker)
        silent = "it gave no answer" if is_there(self._mesh, broker) else known["absence"]
        why = silent if seen is None else seen.refusal
        return {"broker": label, "truth": None, "why": why, "agents": [_named(each) for each in known["agents"]]}

    async def _seen(self, broker: BrokerId) -> Seen[AgentFacts] | None:
        """What it tells; to look at all of its agents may take it long, and to answer at all may not."""
        look = asyncio.ensure_future(self._looks.at(broker))
        try:
            return await look if await comes(look, self._mesh, broker, self._is_there) else None
        finally:
            look.cancel()


def _read(content: object, teller: BrokerId) -> AgentFacts:
    return facts_from_content(content)


def _view(facts: AgentFacts) -> dict[str, Any]:
    tested = facts.tested
    test = None
    if tested is not None:
        test = {"spawn": tested.spawn, "at": rfc3339(tested.at), "state": str(tested.state), "reason": tested.reason}
    found = {"installed": facts.path is not None, "path": facts.path, "version": facts.version or None}
    login = {"logged_in": facts.logged_in, "log_in": facts.log_in or None, "note": facts.note or None}
    return {"name": facts.name} | found | login | {"test": test, "runner": facts.runner, "broken": facts.broken}


def _named(name: str) -> dict[str, Any]:
    """One that a record names: its broker had it when it signed that."""
    nothing = dict.fromkeys(("path", "version", "logged_in", "log_in", "note", "test"))
    return {"name": name, "installed": True} | nothing | {"runner": False, "broken": False}
