"""The end of what a running spawn has written, told to its origin now and then: for when the target falls asleep.

It is told 15 s after new output, the last 8 KiB of it, where there is a way: about half a KiB a second for a spawn that
writes, and nothing at all for one that is silent. It is not durable on the way, and kept where it arrives; the word on
the end brings more of it for certain. Between two attempts there is no such word: what the one wrote last is told too.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from relay.broker.inbox import Hear, Opened
from relay.core.errors import LocalFault, PeerFault
from relay.core.ids import BrokerId, is_spawn_id
from relay.core.kinds import Kind
from relay.core.states import TERMINAL
from relay.core.tails import Tail, earlier, tail_from_content
from relay.spawn import transcript
from relay.spawn.planning import name_of
from relay.spawn.supervisor import Supervisor
from relay.store import peers, tails
from relay.store.engine import Store
from relay.store.query import Tx
from relay.store.spawn_rows import BY_ID, SpawnRow

EVERY_S = 15.0
BYTES = 8 * 1024
LEAST_S = 5.0  # what comes sooner after the last one of a spawn is dropped: each is a write to this disk
LAST_AFTER_S = LEAST_S + 1.0
"""When the end of an attempt that another follows is told: not so soon that it is dropped."""
MOST_AT_ONCE = 64
Say = Callable[[BrokerId, Kind, dict[str, Any]], bool]
_log = logging.getLogger(__name__)


class RunningTails:
    """Both ends of it.

    Args:
        own: this broker.
        store: where tails are kept.
        supervisor: tells when a transcript grows, and where it is.
        say: sends what is not durable.
        clock: milliseconds since 1970.
    """

    def __init__(
        self, own: BrokerId, store: Store, supervisor: Supervisor, say: Say, clock: Callable[[], int]
    ) -> None:
        self._own = own
        self._store = store
        self._supervisor = supervisor
        self._say = say
        self._clock = clock
        self._due: dict[str, asyncio.TimerHandle] = {}  # by attempt
        self._work: set[asyncio.Task[None]] = set()
        self._heard: dict[tuple[BrokerId, str], float] = {}
        supervisor.on_output = self._grew
        supervisor.on_over = self._over
        supervisor.on_another = self._another

    @property
    def hears(self) -> dict[Kind, Hear]:
        """By kind."""
        return {Kind.LOG_TAIL: self._told}

    # at the target

    def _grew(self, row: SpawnRow) -> None:
        if row.origin != self._own and name_of(row) not in self._due:
            self._tell_after(EVERY_S, row)

    def _over(self, row: SpawnRow) -> None:
        if (due := self._due.pop(name_of(row), None)) is not None:
            due.cancel()

    def _another(self, row: SpawnRow) -> None:
        if row.origin != self._own:
            # what the one before wrote last is not told any more: this one's, so soon after it, would be dropped
            self._over(dataclasses.replace(row, attempt=row.attempt - 1))
            self._tell_after(LAST_AFTER_S, row)

    def _tell_after(self, seconds: float, row: SpawnRow) -> None:
        self._due[name_of(row)] = asyncio.get_running_loop().call_later(seconds, self._tell, row)

    def _tell(self, row: SpawnRow) -> None:
        self._due.pop(name_of(row), None)
        self._go(self._read_and_tell(row))

    async def _read_and_tell(self, row: SpawnRow) -> None:
        log = self._supervisor.log_of(row.id, row.attempt)
        try:
            tail = await asyncio.to_thread(transcript.ending, log, row.attempt, self._clock(), BYTES)
        except FileNotFoundError:
            return
        self._say(row.origin, Kind.LOG_TAIL, {"spawn": row.id, "tail": tail.to_content()})

    # at the origin

    def _told(self, each: Opened) -> None:
        content, origin = each.body.content, each.header.origin
        spawn = content["spawn"]
        if not is_spawn_id(spawn):
            raise PeerFault("the tail of a log was refused", why="it names no spawn")
        tail = tail_from_content(content["tail"])
        now, source = time.monotonic(), (origin, spawn)  # or who does not run it could have its target's passed over
        if len(self._work) < MOST_AT_ONCE and now - self._heard.get(source, now - LEAST_S) >= LEAST_S:
            self._heard = {key: at for key, at in self._heard.items() if now - at < LEAST_S} | {source: now}
            self._go(self._keep(spawn, origin, tail))

    async def _keep(self, spawn: str, origin: BrokerId, tail: Tail) -> None:
        row = await self._store.one(BY_ID, id=spawn)
        if row is None or row.target != origin or row.origin != self._own or row.state in TERMINAL:
            return

        def write(tx: Tx) -> None:
            tails.keep(tx, spawn, earlier(tail, peers.skew_of(tx, origin)))

        try:
            await self._store.write(write)
        except LocalFault as fault:
            _log.warning("the tail of a log was not kept: %s: %s", fault.message, fault.why)

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def close(self) -> None:
        """Tell and keep nothing more."""
        for due in self._due.values():
            due.cancel()
        self._due.clear()
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
