"""A spawn's output, wherever it is: read here, read there, or the end of it that was sent here.

While its target is out of reach the origin shows what it was told of the output last, and says as of when that is and
how much stood before it. A reader who follows goes on from there when the target is back, each byte once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace

from relay.broker.attempt_logs import moved
from relay.broker.log_pieces import last_of, not_before
from relay.broker.log_reading import LogClient
from relay.broker.log_words import REST_AWAY, TargetAway, Waits
from relay.broker.logs import LocalLogs
from relay.core.errors import RelayError
from relay.core.ids import BrokerId
from relay.core.spawning import MAX_TAIL
from relay.core.states import TERMINAL
from relay.core.tails import Tail
from relay.core.values import frozen
from relay.spawn.transcript import Chunk
from relay.store import tails
from relay.store.engine import Store
from relay.store.spawn_rows import BY_ID, SpawnRow

REST_S = 30.0
"""For how long the rest of what has ended is waited for: a broker that is started anew is back well before."""


@frozen
class AsOf:
    """What follows is the end of the output as it was told here.

    Attributes:
        at_ms: as of when, milliseconds on the target's clock.
        missing: how many bytes of the log stand before it; None where that is not known.
        reason: why the output itself cannot be read now.
    """

    at_ms: int
    missing: int | None
    reason: str = "its machine is out of reach"


Found = list[Chunk] | AsOf | Waits


class Transcripts:
    """Reads transcripts for clients.

    Args:
        own: this broker.
        store: the tails that were sent here.
        local: transcripts of this machine.
        remote: those of others.
        is_in_reach: whether a broker can be asked now.
    """

    def __init__(
        self,
        own: BrokerId,
        store: Store,
        local: LocalLogs,
        remote: LogClient,
        is_in_reach: Callable[[BrokerId], bool],
    ) -> None:
        self._own = own
        self._store = store
        self._local = local
        self._remote = remote
        self._is_in_reach = is_in_reach

    async def read(
        self, row: SpawnRow, offset: int, tail: int | None, follow: bool, since: int | None = None
    ) -> AsyncIterator[Found]:
        """A spawn's output, oldest first.

        Args:
            row: the spawn.
            offset: where to begin, from an earlier piece's `next_offset`.
            tail: begin with the last so many lines instead.
            follow: go on until it has ended.
            since: only what was written at or after this moment, milliseconds.

        Raises:
            RelayError: it cannot be read now, and nothing of it was sent here.
        """
        async for found in self._read(row, offset, tail, follow, since):
            if since is not None and isinstance(found, list):
                found = not_before(found, since)
                since = None if found else since
            if found:
                yield found

    async def _read(
        self, row: SpawnRow, offset: int, tail: int | None, follow: bool, since: int | None
    ) -> AsyncIterator[Found]:
        if row.state in TERMINAL and not row.attempt:
            return  # it never started, so that nobody has to be asked
        if row.target == self._own:
            async with aclosing(self._local.read(row.id, offset, tail, follow, since)) as pieces:  # type: ignore[type-var]
                async for found in pieces:
                    yield found
            return
        begins = follow and not offset and row.state not in TERMINAL
        if not begins or self._is_in_reach(row.target):
            async with aclosing(self._from_there(row, offset, tail, follow, since)) as pieces:  # type: ignore[type-var]
                async for each in pieces:
                    yield each
                    if begins and isinstance(each, Waits):
                        break  # its machine turned out to be silent before anything came from it
                    begins = False
                else:
                    return
        kept = await self._kept(row)
        if kept is not None and kept[1]:
            yield kept[0]
            yield last_of(kept[1], tail)
            offset, tail = kept[1][-1].next_offset, None
        async for each in self._from_there(row, offset, tail, follow, since):
            yield each

    async def _from_there(
        self, row: SpawnRow, offset: int, tail: int | None, follow: bool, since: int | None
    ) -> AsyncIterator[Found]:
        begun = offset > 0
        try:
            async with aclosing(self._to_the_end(row, offset, tail, follow, since)) as pieces:  # type: ignore[type-var]
                async for found in pieces:
                    begun = True
                    yield found
        except RelayError as error:
            kept = None if begun else await self._kept(row)
            if kept is None:
                raise
            # a machine that is there and says no, or says nothing, is not out of reach
            yield replace(kept[0], reason=error.message) if self._is_in_reach(row.target) else kept[0]
            yield last_of(kept[1], tail)

    async def _to_the_end(
        self, row: SpawnRow, offset: int, tail: int | None, follow: bool, since: int | None
    ) -> AsyncIterator[list[Chunk] | Waits]:
        """As it is read there; of what ended as its broker went, who follows gets the rest once that is back."""
        begun = offset > 0
        while True:
            try:
                async with aclosing(self._remote.read(row, offset, tail, follow, since)) as pieces:  # type: ignore[type-var]
                    async for found in pieces:
                        begun = True
                        if isinstance(found, list):
                            offset, tail = found[-1].next_offset, None
                        yield found
                return
            except TargetAway:
                if not (begun and follow):
                    raise
                if (rest := await self._rest(row, offset)) is None:
                    yield Waits(REST_AWAY.format(REST_S), offset)
                    if await self._remote.is_back(row, REST_S):
                        continue
                    raise
            yield rest
            return

    async def _rest(self, row: SpawnRow, place: int) -> list[Chunk] | None:
        """What an ended spawn has written behind a place, where all of that was sent here; None where it was not."""
        now = await self._store.one(BY_ID, id=row.id)
        sent = await self._store.one(tails.TAIL, spawn=row.id)
        if now is None or sent is None or sent.attempt != now.attempt or sent.at < (now.ended or 0):
            return None
        chunks = _as_chunks(sent)
        if chunks and place >= chunks[-1].next_offset:
            return []
        return next((chunks[n:] for n, chunk in enumerate(chunks) if chunk.offset == place), None)

    async def _kept(self, row: SpawnRow) -> tuple[AsOf, list[Chunk]] | None:
        """The end of the present attempt's output as it was sent here, or None."""
        tail = await self._store.one(tails.TAIL, spawn=row.id)
        # one that was sent while it ran is less than what its result brought
        is_last = tail is not None and tail.attempt == row.attempt and tail.at >= (row.ended or 0)
        if tail is None or not is_last:
            return _from_result(row)
        return AsOf(tail.at, tail.missing), _as_chunks(tail)


def _as_chunks(tail: Tail) -> list[Chunk]:
    return moved([Chunk(*(getattr(each, name) for name in _AS_CHUNK)) for each in tail.pieces], tail.attempt)


_AS_CHUNK = ("offset", "next_offset", "stream", "at", "data")


def _from_result(row: SpawnRow) -> tuple[AsOf, list[Chunk]] | None:
    text = (row.result or {}).get("output_tail")
    if row.state not in TERMINAL or not isinstance(text, str):
        return None
    data, at = text[:MAX_TAIL].encode("utf-8", "replace"), row.ended or row.since
    before = (row.result or {}).get("output_before_bytes")
    missing = before if type(before) is int and 0 <= before < 2**53 else None
    return AsOf(at, missing), [Chunk(0, len(data), 0, at, data)] if data else []
