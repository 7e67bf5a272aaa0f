"""Who may look at, type into or reach a task of this machine over a live channel; each decision is written down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from relay.broker.auditor import Auditor, Decision, refusal
from relay.broker.channel import Conversation
from relay.broker.gate import Gate
from relay.broker.standing import Standing
from relay.core.errors import Refused, RelayError, Unreachable
from relay.core.ids import BrokerId
from relay.store.engine import Store
from relay.store.journal import Journal
from relay.store.spawn_rows import BY_ID, SpawnRow

ATTACH, SEND = "attach", "send"
TYPING = frozenset({ATTACH, SEND})  # key by key: a line that `relay send` brings goes another way


class Rights:
    """The gate, for what is live.

    Args:
        own: this broker's id; its own people may do all this.
        store: to know whose a spawn is.
        gate: who may do what.
        auditor: the audit log.
        journal: commits to it.
        ration: whether a refusal to that broker is still written down by itself.
    """

    def __init__(
        self,
        own: BrokerId,
        store: Store,
        gate: Gate,
        auditor: Auditor,
        journal: Journal,
        ration: Callable[[BrokerId], bool],
    ) -> None:
        self._own = own
        self._store = store
        self._gate = gate
        self._auditor = auditor
        self._journal = journal
        self._ration = ration
        self._standing = Standing(gate, journal.clock)
        self.grants_changed = self._standing.grants_changed

    async def row(self, spawn: str) -> SpawnRow:
        """A spawn that runs, or is to run, here.

        Raises:
            Unreachable: there is none such.
        """
        row = await self._store.one(BY_ID, id=spawn)
        if row is None or row.target != self._own:
            raise Unreachable("there is no such spawn on that machine", hint="relay ps --all")
        return row

    async def known(self, row: SpawnRow) -> SpawnRow:
        """A spawn as it stands now, wherever it runs."""
        return await self._store.one(BY_ID, id=row.id) or row

    def check(self, origin: BrokerId, verb: str, row: SpawnRow) -> None:
        """Let that broker use a verb on a spawn, or raise.

        Raises:
            RelayError: it may not (any more).
        """
        if origin == self._own:
            return
        self._gate.require(origin, verb, row.origin == origin, self._journal.clock())
        if verb in TYPING:
            self._gate.require_typing(origin, row.agent)

    def basis(self, origin: BrokerId) -> object:
        """What `may` rests on now for that broker: what was allowed on the same still is."""
        try:
            return None if origin == self._own else self._gate.basis(origin, self._journal.clock())
        except RelayError as error:
            return error

    def may(self, origin: BrokerId, verb: str, row: SpawnRow) -> bool:
        """Whether that broker may use a verb on a spawn."""
        try:
            self.check(origin, verb, row)
        except RelayError:
            return False
        return True

    @contextmanager
    def served(self, channel: Conversation, origin: BrokerId, verb: str, row: SpawnRow) -> Iterator[None]:
        """While the block runs, end its task and the channel that it serves where a broker may use a verb no more."""
        task = asyncio.current_task()
        assert task is not None

        def end(refusal: Refused) -> None:
            channel.close(refusal)
            task.cancel()

        if origin == self._own:
            yield
            return
        with self._standing.as_long_as(origin, verb, row.origin == origin, end):
            yield

    async def ask(self, origin: BrokerId, verb: str, row: SpawnRow, detail: str) -> None:
        """As `check`, and write the decision down.

        Raises:
            RelayError: it may not.
        """
        try:
            self.check(origin, verb, row)
        except RelayError as error:
            if self._ration(origin):
                await self._write(refusal(origin, verb, error, detail))
            raise
        if origin != self._own:
            await self._write(Decision(origin, verb, detail=detail))

    async def _write(self, decision: Decision) -> None:
        await self._journal.commit(lambda entry: self._auditor.write(entry, decision))
