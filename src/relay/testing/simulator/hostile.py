"""A hostile holder: it does to what it keeps whatever a holder can do. Delay is the worst that may come of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from relay.core.delivery import Window
from relay.testing.simulator.broker import SimBroker
from relay.testing.simulator.disk import Mail, Tables
from relay.testing.simulator.link import SimLink
from relay.testing.simulator.ways import Keeping, SimLoad
from relay.testing.simulator.world import mail_id


class HostileKeeping(Keeping):
    """Says that it keeps what it drops, or says nothing; keeps what it should forget; sends it bent, or twice."""

    def keep(self, link: SimLink, raws: Sequence[bytes]) -> None:
        """Keep some of them, and say of all that they are kept."""
        broker = self._broker
        if broker.line.chance(0.1):
            link.taken(sum(map(len, raws)))  # mute: it reads, and answers nothing
        elif broker.line.chance(0.3):
            mails: list[Mail] = [broker.seam.open(raw) for raw in raws]
            link.say_custody([(mail_id(mail), "") for mail in mails])
            link.taken(sum(map(len, raws)))
        else:
            super().keep(link, raws)
            self._misbehave()

    def taken(self, recipient: int, envelopes: Iterable[bytes]) -> None:
        """Forget them, or hand them over once more."""
        if self._broker.line.chance(0.7):
            super().taken(recipient, envelopes)

    def _misbehave(self) -> None:
        broker = self._broker
        if broker.line.chance(0.3):
            broker.later(broker.line.between(1, 2_000), self._lose_some)
        if broker.line.chance(0.3):
            broker.later(broker.line.between(1, 2_000), self._hand_out_badly)

    def _lose_some(self) -> None:
        def lose(tables: Tables) -> None:
            for each in [each for each in tables.held if self._broker.line.chance(0.5)]:
                del tables.held[each]

        self._broker.disk.submit(lose)
        self._windows = {recipient: Window() for recipient in self._windows}

    def _hand_out_badly(self) -> None:
        broker = self._broker
        held = list(broker.disk.tables.held.values())
        broker.line.random.shuffle(held)
        for each in held:
            # to whom it is for, or to anybody
            anybody = broker.line.random.randrange(len(broker.world.brokers))
            recipient = each.mail.recipient if broker.line.chance(0.8) else anybody
            if recipient not in broker.links:
                continue
            raw = each.raw if broker.line.chance(0.6) else each.raw + b"bent"
            for _ in range(broker.line.between(1, 2)):
                broker.links[recipient].send_live(raw)

    def loads(self, peer: int) -> list[SimLoad]:
        """What it hands over when it behaves, which is not always."""
        return super().loads(peer) if self._broker.line.chance(0.9) else []


_KINDS: dict[type[SimBroker], type[SimBroker]] = {}


def hostile(kind: type[SimBroker]) -> type[SimBroker]:
    """Brokers of this kind, but hostile as holders."""

    if kind in _KINDS:
        return _KINDS[kind]

    class Hostile(kind):  # type: ignore[valid-type, misc]
        """One of them."""

        make_keeping = HostileKeeping

    _KINDS[kind] = Hostile
    return Hostile
