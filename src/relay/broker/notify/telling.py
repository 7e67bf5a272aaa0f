"""Writes down what a person is to be told, in the transaction in which it happens: so a crash forgets none of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from relay.broker.dashboard_seat import ORIGIN
from relay.broker.members import Members
from relay.core.agent_facts import TEST_LABEL
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.notices import Happening, Told, Words, event_of, happening_of, trial_words, words_of
from relay.core.states import NEEDS_A_PERSON, TERMINAL, State
from relay.core.vouchers import Vouched, Voucher, voucher_from_bytes
from relay.store import channels, deliveries, meta, words
from relay.store.channels import Channel
from relay.store.deliveries import Delivery
from relay.store.events import Event
from relay.store.journal import Entry, Letter
from relay.store.query import Tx
from relay.store.spawn_rows import BY_ID, SpawnRow

WORD_TTL = 30 * 86_400_000
STALE_MS = 3_000  # a word that is older may have come while this machine slept, and another broker have told it
LATE_MS = 10_000  # how long another broker is given to tell first
SOON_MS = 1_000
_TELLING = TERMINAL | NEEDS_A_PERSON


class Telling:
    """Turns what happens to spawns into deliveries.

    Args:
        members: names.
        is_linked: whether there is a link to a broker now.
        look: has the courier look; called after the commit.
    """

    def __init__(self, members: Members, is_linked: Callable[[BrokerId], bool], look: Callable[[], None]) -> None:
        self._members = members
        self._is_linked = is_linked
        self._look = look

    def happened(self, entry: Entry, event: Event) -> None:
        """An event was written down: who has to hear of it, is written beside it."""
        if event.kind != "spawn.state" or State(event.data["state"]) not in _TELLING:
            return
        spawn = str(event.data["spawn"])
        has_channels, has_voucher = channels.TELLS.one(entry.tx, spawn=spawn) or (False, False)
        if not has_channels and not has_voucher:
            return  # as on most brokers: what nobody is told of costs one question
        # what a person is told of is never a reason not to write it down
        entry.apart(f"what is told of spawn {spawn}", lambda: self._tell(entry, spawn, has_channels))

    def _tell(self, entry: Entry, spawn: str, has_channels: bool) -> None:
        row = BY_ID.one(entry.tx, id=spawn)
        if row is None or TEST_LABEL in row.labels:
            return
        voucher = self._voucher(entry.tx, row)
        self._tell_others(entry, row, voucher)
        if has_channels:
            asked = channels.ASKED.one(entry.tx, spawn=row.id) is not None if voucher is None else voucher.asked
            age = entry.now - (row.since if row.at is None else row.at)
            for channel in channels.ALL.all(entry.tx):
                if self._concerns(channel, row):
                    self._write(entry, channel, row, asked, self._delay(channel, age))

    def heard(self, entry: Entry, vouched: Vouched) -> None:
        """Another broker's spawn has come to something that its origin has this one tell of."""
        for channel in channels.OF_OWNER.all(entry.tx, owner=vouched.voucher.origin):
            self._write(entry, channel, vouched, vouched.voucher.asked, self._delay(channel, 0))

    def _voucher(self, tx: Tx, row: SpawnRow) -> Voucher | None:
        if row.target != self._members.own or row.origin == self._members.own:
            return None
        signed = channels.VOUCHER.one(tx, spawn=row.id)
        return None if signed is None else voucher_from_bytes(signed.data)

    def _tell_others(self, entry: Entry, row: SpawnRow, voucher: Voucher | None) -> None:
        """Tell the brokers that the origin names of this spawn, by the word that it is told itself."""
        if voucher is None or happening_of(row) is None:
            return
        signed, word = channels.VOUCHER.one(entry.tx, spawn=row.id), words.LATEST.one(entry.tx, spawn=row.id)
        assert signed is not None
        if word is None:
            return
        content = {"what": "word", "voucher": signed.to_content(), "snapshot": [word.bytes, word.signature]}
        operation = f"notify/{event_of(row)}/{row.seq}"
        for broker in voucher.via:
            if broker not in (self._members.own, row.origin):
                entry.post(Letter(broker, Kind.NOTIFY, content, f"{operation}/{broker}", WORD_TTL, row.id))

    def _concerns(self, channel: Channel, row: SpawnRow) -> bool:
        if row.origin == channel.owner:
            return True
        # what others ask of this machine's person is theirs to answer; what comes of it is told where it was asked
        return channel.owner == self._members.own == row.target and row.state is State.HELD

    def _delay(self, channel: Channel, age: int) -> int:
        """How long others are given to tell first, milliseconds; `age` of the word likewise."""
        if channel.owner == self._members.own:
            if not channel.via:
                return 0
            return LATE_MS if age > STALE_MS else SOON_MS
        place = channel.via.index(self._members.own) if self._members.own in channel.via else 0
        return (LATE_MS if self._is_linked(channel.owner) else SOON_MS) + place * LATE_MS

    def _write(self, entry: Entry, channel: Channel, spawn: Told, asked: bool, delay: int) -> None:
        happening = happening_of(spawn)
        if happening is None or channel.instead_of or not channel.rules.want(spawn, happening, asked=asked):
            return
        self.add(entry, channel, spawn, happening, delay)

    def add(self, entry: Entry, channel: Channel, spawn: Told, happening: Happening, delay: int) -> None:
        """Have something told over a channel, in so many milliseconds; nothing where it is already."""
        link = channel.link or self._page(entry.tx, channel)
        made = words_of(spawn, self._members.name(spawn.target), link=link, full=channel.full)
        self._keep(entry, _delivery(entry, channel, event_of(spawn), spawn.id, happening, made, delay))

    def _page(self, tx: Tx, channel: Channel) -> str:
        """Where a spawn is on the dashboard, as it is called in public; empty where it is not, or is another's."""
        origin = meta.get(tx, ORIGIN) if channel.owner == self._members.own else None
        return f"{origin}/#/agents?spawn={{spawn}}" if origin else ""

    def trial(self, entry: Entry, channel: Channel) -> str:
        """Have a test told over a channel; its event."""
        event = f"test-{os.urandom(6).hex()}"
        made = trial_words(channel.name, self._members.own_name, event)
        self._keep(entry, _delivery(entry, channel, event, "", Happening.TEST, made, 0))
        return event

    def give_over(self, entry: Entry, failed: Delivery, to: Iterable[Channel]) -> None:
        """Have what failed over one channel told over those that stand in for it."""
        for channel in to:
            made = Words(failed.title, failed.body, failed.level)
            happening = Happening(failed.happening)
            self._keep(entry, _delivery(entry, channel, failed.event, failed.spawn, happening, made, 0))

    def _keep(self, entry: Entry, delivery: Delivery) -> None:
        if deliveries.add(entry.tx, delivery):
            entry.then(self._look)


def _delivery(
    entry: Entry, channel: Channel, event: str, spawn: str, happening: Happening, made: Words, delay: int
) -> Delivery:
    return Delivery(
        event=event,
        channel=channel.id,
        spawn=spawn,
        happening=str(happening),
        title=made.title,
        body=made.body,
        level=made.level,
        state=deliveries.Told.DUE,
        due=entry.now + delay,
        tries=0,
        doubts=0,
        error="",
        created=entry.now,
    )
