"""Carries deliveries out: each try is on the disk before it begins and after it has ended.

A try that was cut off is looked up in the file that its child left: what was certainly not sent is sent, what was
is not sent again, and what may have been is sent once more, under the same event id.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from relay.broker.gate import Gate
from relay.broker.notify import sending
from relay.broker.notify.sending import Parcel, Senders, Went
from relay.broker.notify.telling import Telling
from relay.core.errors import RelayError
from relay.core.ids import BrokerId
from relay.core.notices import Happening
from relay.core.push import SERVICE
from relay.store import channels, deliveries
from relay.store.channels import Channel
from relay.store.deliveries import Delivery, Told
from relay.store.journal import Entry, Journal

FIRST_MS, TIMES, MOST_MS = 1_000, 4, 15 * 60_000
GIVE_UP_MS = 24 * 3_600_000
PUT_OFF_MS = 60_000
TRIES_BEFORE_OTHERS = 2
MOST_DOUBTS = 2
MOST_AT_ONCE = 4
KEEP_MS = 30 * 86_400_000
LONGEST_REST_S = 60.0
NO_KEY = "its address was sealed to a key that this broker no longer holds: remove the channel, and add it again"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rights:
    """What a try is judged by.

    Attributes:
        own: this broker's id.
        gate: whether the owner of an entrusted channel may still have it told from here.
        address_of: opens a channel's address; None where the key is gone.
        told: tells the other brokers of a channel that something was told, inside the transaction.
        push_key: the file of the key that messages to browsers are signed with.
        gone: a channel is removed, since nobody is behind it any more; inside the transaction.
    """

    own: BrokerId
    gate: Gate
    address_of: Callable[[Channel], str | None]
    told: Callable[[Entry, Channel, Delivery], None]
    push_key: str
    gone: Callable[[Entry, Channel], None]


class Courier:
    """Sends what is due, several channels at once, one after another over each.

    Args:
        journal: where each step becomes durable.
        folder: where the children leave how far they were.
        telling: writes further deliveries.
        rights: what a try is judged by.

    Attributes:
        senders: the processes that send.
    """

    def __init__(self, journal: Journal, folder: Path, telling: Telling, rights: Rights) -> None:
        self.senders = Senders()
        self._journal = journal
        self._folder = folder
        self._telling = telling
        self._rights = rights
        self._news = asyncio.Event()
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._loop: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()

    def look(self) -> None:
        """Something may be due: look now."""
        self._news.set()

    async def open(self) -> None:
        """Settle what an earlier run was cut off in, and begin."""
        for each in await self._journal.store.all(deliveries.SENDING):
            await self._resume(each)
        self._loop = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Stop; what is being sent is cut off, and settled at the next start."""
        tasks = [*self._busy.values(), *filter(None, [self._loop])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.senders.close()

    async def until_over(self, event: str, channel: str) -> None:
        """Return when a delivery is over, or gone."""
        while True:
            settled = self._settled
            found = await self._journal.store.one(deliveries.ONE, event=event, channel=channel)
            if found is None or found.ended is not None:
                return
            await settled.wait()

    async def _run(self) -> None:
        while True:
            self._news.clear()
            try:
                rest = await self._pass()
            except RelayError as error:
                _log.warning("notifications wait: %s", error.why or error.message)
                rest = LONGEST_REST_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._news.wait()

    async def _pass(self) -> float:
        """Begin what is due; how many seconds until more is."""
        now, rest = self._journal.clock(), LONGEST_REST_S
        for each in await self._journal.store.all(deliveries.NEXT):
            if each.channel in self._busy or len(self._busy) >= MOST_AT_ONCE:
                continue
            if each.due > now:
                rest = min(rest, (each.due - now) / 1000)
                continue
            task = asyncio.get_running_loop().create_task(self._carry(each))
            self._busy[each.channel] = task
            task.add_done_callback(lambda done, channel=each.channel: self._over(channel, done))  # type: ignore[misc]
        return rest

    def _over(self, channel: str, task: asyncio.Task[None]) -> None:
        self._busy.pop(channel, None)
        settled, self._settled = self._settled, asyncio.Event()
        settled.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("a notification waits: %s", error)
            return  # the store is in trouble: the next round is in a minute
        self.look()

    # one delivery

    async def _carry(self, delivery: Delivery) -> None:
        if delivery.state is Told.SENDING:
            await self._resume(delivery)  # a full disk kept how it went from being written down
            return
        begun = await self._journal.commit(lambda entry: self._begin(entry, delivery))
        if begun is None:
            return
        went = await self.senders.send(self._parcel(*begun))
        await self._record(begun[0], went)

    def _parcel(self, now: Delivery, address: str) -> Parcel:
        is_push = address.startswith(f"{SERVICE}://")
        push = {"key": self._rights.push_key, "event": now.event, "spawn": now.spawn} if is_push else None
        return Parcel(address, now.title, now.body, now.level, self._marker(now), push)

    async def _resume(self, delivery: Delivery) -> None:
        went = sending.left_by(self._marker(delivery))
        if went is None:
            fresh = replace(delivery, state=Told.DUE, tries=delivery.tries - 1)
            await self._journal.commit(lambda entry: deliveries.update(entry.tx, fresh))
        else:
            await self._record(delivery, went)

    async def _record(self, delivery: Delivery, went: Went) -> None:
        await self._journal.commit(lambda entry: self._settle(entry, delivery, went))
        self._marker(delivery).unlink(missing_ok=True)

    def _marker(self, delivery: Delivery) -> Path:
        return self._folder / f"{delivery.event}-{delivery.channel}-{delivery.tries}"

    def _begin(self, entry: Entry, seen: Delivery) -> tuple[Delivery, str] | None:
        known = deliveries.ONE.one(entry.tx, event=seen.event, channel=seen.channel)
        channel = channels.BY_ID.one(entry.tx, id=seen.channel)
        if known is None or known.ended is not None or channel is None:
            return None
        address = self._rights.address_of(channel)
        why = NO_KEY if address is None else self._why_not(channel, entry.now)
        if why or address is None:
            self._put_off(entry, channel, replace(known, error=why))
            return None
        begun = replace(known, state=Told.SENDING, tries=known.tries + 1)
        deliveries.begin(entry.tx, begun)
        return begun, address

    def _put_off(self, entry: Entry, channel: Channel, known: Delivery) -> None:
        """It may not be tried now; a grant may come back, and a trust file be mended."""
        if known.happening == Happening.TEST or entry.now - known.created > GIVE_UP_MS:
            self._end(entry, channel, known, Told.FAILED)
            return
        deliveries.update(entry.tx, replace(known, state=Told.DUE, due=entry.now + PUT_OFF_MS))
        channels.note_trouble(entry.tx, channel.id, known.error)

    def _why_not(self, channel: Channel, now: int) -> str:
        if channel.owner == self._rights.own:
            return ""
        try:
            self._rights.gate.require(channel.owner, "notify", own=False, now=now)
        except RelayError as error:
            return error.message
        return ""

    def _settle(self, entry: Entry, delivery: Delivery, went: Went) -> None:
        channel = channels.BY_ID.one(entry.tx, id=delivery.channel)
        if channel is None:
            return
        now = replace(delivery, error=went.error, doubts=delivery.doubts + went.is_in_doubt)
        if went.ok:
            self._end(entry, channel, now, Told.DELIVERED)
        elif went.is_gone:
            self._end(entry, channel, now, Told.FAILED)
            self._rights.gone(entry, channel)
        elif now.doubts >= MOST_DOUBTS:
            self._end(entry, channel, now, Told.UNSURE)
        else:
            self._again(entry, channel, now, went)

    def _again(self, entry: Entry, channel: Channel, now: Delivery, went: Went) -> None:
        others = channels.STAND_INS.all(entry.tx, id=channel.id)
        is_test = now.happening == Happening.TEST
        if others and not is_test and (went.is_bad or now.tries >= TRIES_BEFORE_OTHERS):
            self._telling.give_over(entry, now, others)
            self._end(entry, channel, now, Told.GIVEN_OVER)
        elif went.is_bad or is_test or entry.now - now.created > GIVE_UP_MS:
            self._end(entry, channel, now, Told.FAILED)
        else:
            wait = min(FIRST_MS * TIMES ** (now.tries - 1), MOST_MS)
            deliveries.finish(entry.tx, replace(now, state=Told.DUE, due=entry.now + wait))
            channels.note_trouble(entry.tx, channel.id, now.error)

    def _end(self, entry: Entry, channel: Channel, now: Delivery, state: Told) -> None:
        ended = replace(now, state=state, ended=entry.now)
        if state is Told.DELIVERED:
            ended = replace(ended, told_by=self._rights.own, error="")
            self._rights.told(entry, channel, ended)
        deliveries.finish(entry.tx, ended)
        channels.note_trouble(entry.tx, channel.id, ended.error or None)
        deliveries.forget_before(entry.tx, entry.now - KEEP_MS)
        told = {"event": ended.event, "spawn": ended.spawn, "channel": channel.name, "as": str(state)}
        entry.event("notify.told", told)
