"""Carries deliveries out: each try is on the disk before it begins and after it has ended.

A try that was cut off is looked up in the file that its child left: what was certainly not sent is sent, what was
is not sent again, and what may have been is sent once more, under the same event id.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from relay.broker.gate import Gate
from relay.broker.notify import sending
from relay.broker.notify.sending import Parcel, Senders, Went
from relay.broker.notify.telling import Telling
from relay.core.allowance import Allowance
from relay.core.errors import RelayError
from relay.core.ids import BrokerId
from relay.core.notices import Happening
from relay.core.notices_together import words_together
from relay.core.push import SERVICE
from relay.core.values import frozen
from relay.store import channels, deliveries
from relay.store.channels import Channel
from relay.store.deliveries import Delivery, Told
from relay.store.journal import Entry, Journal

FIRST_MS, TIMES, MOST_MS = 1_000, 4, 15 * 60_000
GIVE_UP_MS = 24 * 3_600_000
PUT_OFF_MS = 60_000
TRIES_BEFORE_OTHERS = 2
MOST_DOUBTS = 2
DOUBT_MS = 60_000  # a service that hangs, and may have taken it, may be sound again by then
MOST_AT_ONCE = 4
MOST_SINGLY, ONE_IN_S = 10, 30.0  # words over one channel: so many at once, then one in so long
MOST_TOGETHER = 1_000
HEAR_S = 5.0
COUNTED = "counted there, and not named: too many were told together"
KEEP_MS = 30 * 86_400_000
LONGEST_REST_S = 60.0
NO_KEY = "its address was sealed to a key that this broker no longer holds: remove the channel, and add it again"
_log = logging.getLogger(__name__)


@frozen
class Rights:
    """What a try is judged by.

    Attributes:
        own: this broker's id.
        gate: whether the owner of an entrusted channel may still have it told from here.
        address_of: opens a channel's address; None where the key is gone.
        told: tells the other brokers of a channel that something was told, inside the transaction.
        failing: tells the owner of an entrusted channel that it does not work from here, likewise.
        push_key: the file of the key that messages to browsers are signed with.
        gone: a channel is removed, since nobody is behind it any more; inside the transaction.
        may_expire: whether this clock is believed, so that anything may be given up and forgotten by it.
    """

    own: BrokerId
    gate: Gate
    address_of: Callable[[Channel], str | None]
    told: Callable[[Entry, Channel, Delivery], None]
    failing: Callable[[Entry, Channel, Delivery], None]
    push_key: str
    gone: Callable[[Entry, Channel], None]
    may_expire: Callable[[], bool]


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
        self._rations: dict[str, Allowance] = {}
        self._failing: dict[str, str] = {}
        self._shared: set[str] = set()
        self._alone_until = 0.0

    def look(self) -> None:
        """Something may be due: look now."""
        self._news.set()

    async def open(self) -> None:
        """Settle what an earlier run was cut off in, and begin."""
        cut_off: dict[str, list[Delivery]] = {}
        for each in await self._journal.store.all(deliveries.SENDING):
            cut_off.setdefault(each.channel, []).append(each)
        for batch in cut_off.values():
            await self._settled_at_start(batch)
        known = await self._journal.store.all(channels.ALL)
        self._shared = {each.id for each in known if each.via and each.owner == self._rights.own}
        self._alone_until = time.monotonic() + HEAR_S
        self._loop = asyncio.get_running_loop().create_task(self._run())

    async def _settled_at_start(self, batch: list[Delivery]) -> None:
        try:
            await self._resume(batch)
        except RelayError:
            raise
        except Exception:  # it is looked at again with all that is due, and keeps no broker from starting
            _log.exception("a notification that was cut off waits")

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
            except Exception:
                _log.exception("notifications wait")
                rest = LONGEST_REST_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._news.wait()

    async def _pass(self) -> float:
        """Begin what is due; how many seconds until more is."""
        now, rest = self._journal.clock(), LONGEST_REST_S
        found = await self._journal.store.all(deliveries.NEXT)
        if any(each.due > now + MOST_MS for each in found):  # by a clock that was ahead
            await self._journal.commit(lambda entry: deliveries.put_off_less(entry.tx, entry.now, MOST_MS))
            found = await self._journal.store.all(deliveries.NEXT)
        for each in found:
            if each.channel in self._busy or len(self._busy) >= MOST_AT_ONCE:
                continue
            if each.due > now:
                rest = min(rest, (each.due - now) / 1000)
                continue
            batch = [] if self._may_be_told(each) else await self._batch(each, now)
            if not batch:
                rest = min(rest, ONE_IN_S / 30)
                continue
            task = asyncio.get_running_loop().create_task(self._carry(batch))
            self._busy[each.channel] = task
            task.add_done_callback(lambda done, channel=each.channel: self._over(channel, done))  # type: ignore[misc]
        return rest

    def _may_be_told(self, each: Delivery) -> bool:
        """Whether another broker may have told it while this one was down, and has had no time to say so."""
        is_early = each.channel in self._shared and time.monotonic() < self._alone_until
        return is_early and each.happening != Happening.TEST

    async def _batch(self, first: Delivery, now: int) -> list[Delivery]:
        """What is sent with one try: one alone, or all that are due where there are too many; empty for not yet."""
        if first.state is Told.SENDING:  # a full disk kept how it went from being written down
            return await self._journal.store.all(deliveries.SENDING_OVER, channel=first.channel)
        if first.happening == Happening.TEST:
            return [first]
        at = time.monotonic_ns() // 1_000_000
        ration = self._rations.setdefault(first.channel, Allowance(MOST_SINGLY, 1 / ONE_IN_S, at))
        if not ration.spend(1, at):
            return []
        due = await self._journal.store.all(deliveries.DUE_OVER, channel=first.channel, now=now, limit=MOST_TOGETHER)
        return due if len(due) > ration.left + 1 else due[:1]

    def _over(self, channel: str, task: asyncio.Task[None]) -> None:
        self._busy.pop(channel, None)
        settled, self._settled = self._settled, asyncio.Event()
        settled.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("a notification waits: %s", error)
            return  # the store is in trouble: the next round is in a minute
        self.look()

    # one delivery

    async def _carry(self, batch: list[Delivery]) -> None:
        if batch[0].state is Told.SENDING:
            await self._resume(batch)
            return
        begun = await self._journal.commit(lambda entry: self._begin(entry, batch))
        if begun is None:
            return
        went = await self.senders.send(self._parcel(*begun))
        await self._record(begun[0], went)

    def _parcel(self, now: list[Delivery], address: str) -> Parcel:
        made, push = words_together(now).words, None
        if address.startswith(f"{SERVICE}://"):
            # to a browser what stands below, where to look and which event it is, goes as what it is
            alone = now[0] if len(now) == 1 else None
            body = made.body if alone is None else made.body.rpartition("\n\n")[0]
            made = replace(made, body=body)
            push = {"key": self._rights.push_key, "event": now[0].event, "spawn": alone.spawn if alone else ""}
        return Parcel(address, made.title, made.body, made.level, self._marker(now), push)

    async def _resume(self, batch: list[Delivery]) -> None:
        went = sending.left_by(self._marker(batch))
        if went is None:
            await self._journal.commit(lambda entry: self._take_back(entry, batch))
        else:
            await self._record(batch, went)

    def _take_back(self, entry: Entry, batch: list[Delivery]) -> None:
        for each in batch:
            deliveries.update(entry.tx, replace(each, state=Told.DUE, tries=each.tries - 1))

    async def _record(self, batch: list[Delivery], went: Went) -> None:
        await self._journal.commit(lambda entry: self._settle(entry, batch, went))
        self._marker(batch).unlink(missing_ok=True)

    def _marker(self, batch: list[Delivery]) -> Path:
        """Of a try. All of one channel that are being sent are sent by one try: so any of them is enough to name it."""
        first = min(batch, key=lambda each: each.event)
        return self._folder / f"{first.event}-{first.channel}-{first.tries}"

    def _begin(self, entry: Entry, seen: list[Delivery]) -> tuple[list[Delivery], str] | None:
        found = [deliveries.ONE.one(entry.tx, event=each.event, channel=each.channel) for each in seen]
        known = [each for each in found if each is not None and each.ended is None]
        channel = channels.BY_ID.one(entry.tx, id=seen[0].channel)
        if not known or channel is None:
            return None
        address = self._rights.address_of(channel)
        why = NO_KEY if address is None else self._why_not(channel, entry.now)
        if why or address is None:
            for each in known:
                self._put_off(entry, channel, each, why)
            return None
        begun = [replace(each, state=Told.SENDING, tries=each.tries + 1) for each in known]
        for each in begun:
            deliveries.begin(entry.tx, each)
        return begun, address

    def _put_off(self, entry: Entry, channel: Channel, known: Delivery, why: str) -> None:
        """It may not be tried now; a grant may come back, and a trust file be mended."""
        now = replace(known, error=why)
        if known.happening == Happening.TEST or self._is_given_up(entry, known):
            self._end(entry, channel, now, Told.FAILED)
            return
        if known.error != why:
            self._say_failing(entry, channel, now)
        deliveries.update(entry.tx, replace(now, state=Told.DUE, due=entry.now + PUT_OFF_MS))
        channels.note_trouble(entry.tx, channel.id, why)

    def _why_not(self, channel: Channel, now: int) -> str:
        if channel.owner == self._rights.own:
            return ""
        try:
            self._rights.gate.require(channel.owner, "notify", own=False, now=now)
        except RelayError as error:
            return error.message
        return ""

    def _settle(self, entry: Entry, batch: list[Delivery], went: Went) -> None:
        channel = channels.BY_ID.one(entry.tx, id=batch[0].channel)
        if channel is None:
            return
        unnamed = words_together(batch).unnamed if went.ok else frozenset()
        for each in batch:
            now = replace(each, error=went.error, doubts=each.doubts + went.is_in_doubt)
            if went.ok:
                self._end(entry, channel, replace(now, error=COUNTED if each.event in unnamed else ""), Told.DELIVERED)
            elif now.doubts >= MOST_DOUBTS:
                self._unsure(entry, channel, now)
            elif went.is_gone:
                self._end(entry, channel, now, Told.FAILED)
            else:
                self._again(entry, channel, now, went)
        if went.is_gone:
            self._rights.gone(entry, channel)
        if self._rights.may_expire():
            deliveries.forget_before(entry.tx, entry.now - KEEP_MS)

    def _is_given_up(self, entry: Entry, known: Delivery) -> bool:
        return entry.now - known.created > GIVE_UP_MS and self._rights.may_expire()

    def _unsure(self, entry: Entry, channel: Channel, now: Delivery) -> None:
        others = channels.STAND_INS.all(entry.tx, id=channel.id)
        if now.happening != Happening.TEST:
            self._telling.give_over(entry, now, others)  # told twice is better than not at all
        self._end(entry, channel, now, Told.UNSURE)

    def _again(self, entry: Entry, channel: Channel, now: Delivery, went: Went) -> None:
        others = channels.STAND_INS.all(entry.tx, id=channel.id)
        is_test = now.happening == Happening.TEST
        if now.tries == TRIES_BEFORE_OTHERS:
            self._say_failing(entry, channel, now)
        if others and not is_test and (went.is_bad or now.tries >= TRIES_BEFORE_OTHERS):
            self._telling.give_over(entry, now, others)
            self._end(entry, channel, now, Told.GIVEN_OVER)
        elif went.is_bad or is_test or self._is_given_up(entry, now):
            self._end(entry, channel, now, Told.FAILED)
        else:
            wait = DOUBT_MS if went.is_slow else min(FIRST_MS * TIMES ** (now.tries - 1), MOST_MS)
            deliveries.finish(entry.tx, replace(now, state=Told.DUE, due=entry.now + wait))
            channels.note_trouble(entry.tx, channel.id, now.error)

    def _end(self, entry: Entry, channel: Channel, now: Delivery, state: Told) -> None:
        ended = replace(now, state=state, ended=entry.now)
        if state is Told.DELIVERED:
            ended = replace(ended, told_by=self._rights.own)
            self._rights.told(entry, channel, ended)
            self._failing.pop(channel.id, None)
        elif state is not Told.GIVEN_OVER:
            self._say_failing(entry, channel, ended)
        deliveries.finish(entry.tx, ended)
        trouble = None if state is Told.DELIVERED else ended.error or None
        channels.note_trouble(entry.tx, channel.id, trouble)
        told = {"event": ended.event, "spawn": ended.spawn, "channel": channel.name, "as": str(state)}
        entry.event("notify.told", told)

    def _say_failing(self, entry: Entry, channel: Channel, now: Delivery) -> None:
        """Once for a reason: of many that fail together, each would say it."""
        if self._failing.get(channel.id) != now.error:
            self._failing[channel.id] = now.error
            self._rights.failing(entry, channel, now)
