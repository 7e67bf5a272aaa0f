"""What would only find that nobody is logged in to its agent is refused at once, and is not started to find that out.

    nothing is known ─► it waits for a first look            a look says yes, or nobody can say ─► it starts
    a look says no ─► it waits for a look that begins now ─► no: refused; else it starts

So nobody waits for a look but who would be refused without it, and who comes before the first one has ended: a broker
looks at its start. What an agent itself said at its end counts as well: after it was refused for want of a login it is
looked at again.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable
from functools import partial

from relay.core.errors import Code, Refused, RelayError
from relay.core.spawning import FRESH_DIRECTORY, SpawnRequest
from relay.spawn.agents.agent import Probe
from relay.spawn.agents.probing import Found
from relay.spawn.ledger import Ledger
from relay.spawn.means import Look, Means
from relay.spawn.requests import request_of
from relay.spawn.waiting_room import WaitingRoom
from relay.store import queueing
from relay.store.journal import Entry
from relay.store.spawn_rows import SpawnRow

LOOKING = "whether somebody is logged in to its agent is looked up"
_NEVER = float("inf")


class Logins:
    """Knows of each agent whether somebody is logged in to it.

    Args:
        means: looks at the programs.
        room: where spawns wait for a look.
    """

    def __init__(self, means: Means, room: WaitingRoom) -> None:
        self._means = means
        self._room = room
        self._asked: dict[str, float] = {}
        """When each spawn that waits began to, by the clock of looks."""
        self._waiting: dict[str, list[str]] = {}
        self._first: set[str] = set()
        """Those that wait for the first look at their agent."""
        self._tasks: set[asyncio.Task[None]] = set()

    def take_part(self, ledger: Ledger) -> None:
        """Let nothing start that nobody is logged in to, and be told of every end."""
        self._room.lacks.insert(0, self.missing)  # first: a tree need not come for what is refused
        ledger.on_end.append(self.ended)

    def open(self, agents: Iterable[str]) -> None:
        """Look at these agents for a first time."""
        for name in agents:
            self._look(name)

    def close(self) -> None:
        """Look no further."""
        self._means.close()
        for task in self._tasks:
            task.cancel()

    # inside a transaction

    def missing(self, entry: Entry, row: SpawnRow) -> str:
        """Why a spawn cannot start yet, or empty.

        Raises:
            Refused: `agent_no_login`.
        """
        probe, look = self._latest(row.agent)
        if probe is None:
            return ""
        if look is None:
            entry.then(lambda: self._look(row.agent))
        if not _may_be_certain(probe, request_of(row)) or _is_for_a_person(entry, row):
            return ""
        if look is None or (look := look.ended()) is None:
            entry.then(lambda: self._wait_for_the_first(row))
            return LOOKING
        found = look.says()
        if found is None or not _says_no(found):
            return ""
        if look.began >= self._asked.get(row.id, _NEVER):
            raise _refusal(row.agent, found)
        entry.then(lambda: self._wait(row))
        return LOOKING

    def ended(self, entry: Entry, row: SpawnRow) -> None:
        """A spawn has ended: where that was for want of a login, what was found of its agent is out of date."""
        if (row.error or {}).get("code") == Code.AGENT_NO_LOGIN and row.attempt:
            entry.then(lambda: self._look(row.agent))

    # looking

    def _latest(self, name: str) -> tuple[Probe | None, Look | None]:
        """How an agent tells whether somebody is logged in to it, None where it cannot; and the latest look at it."""
        try:
            probe = self._means.probe(name)
            return (probe, self._means.last(name)) if probe is not None and probe.login else (None, None)
        except RelayError:
            return None, None  # the gate has its own word on that

    def _look(self, name: str) -> None:
        probe, look = self._latest(name)
        if probe is not None and (look is None or look.found.done()):
            self._means.look(name)

    def _wait_for_the_first(self, row: SpawnRow) -> None:
        _, look = self._latest(row.agent)
        if row.id in self._first:
            return
        if look is None:  # agents.toml was changed meanwhile: the gate has its own word on that
            self._room.decide_again([row.id], lambda: None)
            return
        self._first.add(row.id)

        def seen(_: object) -> None:
            self._first.discard(row.id)
            self._room.decide_again([row.id], lambda: None)

        look.found.add_done_callback(seen)

    def _wait(self, row: SpawnRow) -> None:
        if row.id in self._asked:
            return
        self._asked[row.id] = time.monotonic()
        waiting = self._waiting.setdefault(row.agent, [])
        waiting.append(row.id)
        if len(waiting) == 1:
            task = asyncio.get_running_loop().create_task(self._look_for(row.agent))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _look_for(self, agent: str) -> None:
        """Look until every spawn of an agent that waits has had a look that began after it came."""
        while self._waiting[agent]:
            began = await self._look_once(agent)
            settled = [each for each in self._waiting[agent] if self._asked[each] <= began]
            self._waiting[agent] = [each for each in self._waiting[agent] if each not in settled]
            self._room.decide_again(settled, partial(self._forget, settled))

    def _forget(self, settled: list[str]) -> None:
        for each in settled:
            del self._asked[each]

    async def _look_once(self, agent: str) -> float:
        """When a look began that has ended."""
        try:
            look = self._means.look(agent)
            await asyncio.wait([look.found])
        except RelayError:
            return _NEVER  # agents.toml was changed meanwhile: the gate has its own word on that
        return look.began

    # for a dry run

    async def refusal(self, request: SpawnRequest) -> Refused | None:
        """Why a spawn would be refused that came now, or None. It is asked about one that may be here."""
        probe, look = self._latest(request.agent)
        if probe is None or not await self._says_no(probe, look or self._means.look(request.agent), request):
            return None
        again = self._means.look(request.agent)  # a look that says no is not believed before another one does
        return await self._says_no(probe, again, request)

    async def _says_no(self, probe: Probe, look: Look, request: SpawnRequest) -> Refused | None:
        await asyncio.wait([look.found])
        found = look.says()
        is_no = found is not None and _says_no(found) and _may_be_certain(probe, request)
        return _refusal(request.agent, found) if found is not None and is_no else None


def _says_no(found: Found) -> bool:
    return found.path is not None and found.logged_in is False


def _may_be_certain(probe: Probe, request: SpawnRequest) -> bool:
    """Whether a look counts, whatever there may be where it would run."""
    if not probe.beside or (request.cwd == FRESH_DIRECTORY and request.wishes.place is None):
        return True
    if request.wishes.place is not None or request.cwd is None:
        return False
    directory = os.path.expanduser(request.cwd)
    return not any(os.path.lexists(os.path.join(directory, each)) for each in probe.beside)


def _is_for_a_person(entry: Entry, row: SpawnRow) -> bool:
    """Whether a person opens its interface, who can log in there."""
    onward = queueing.ONWARD.one(entry.tx, spawn=row.id) if row.attempt else None
    return onward is not None and onward.terminal


def _refusal(agent: str, found: Found) -> Refused:
    return Refused(
        f"nobody is logged in to {agent} there",
        code=Code.AGENT_NO_LOGIN,
        why=f"{found.path} says so",
        hint=f"on that machine, as the user of its broker: {found.log_in}",
    )
