"""When an envelope is tried next, and why it is still here."""

from __future__ import annotations

from collections.abc import Callable

from relay.broker.dialler import Dialler
from relay.broker.link import monotonic_ms
from relay.broker.members import Members
from relay.broker.mesh import Mesh
from relay.broker.notices import Notices
from relay.broker.presence import Attendance
from relay.broker.words import ago
from relay.core.delivery import RESEND_AFTER, Window
from relay.core.ids import BrokerId
from relay.core.routing import LOST_AFTER, hand_over_again
from relay.store.held import HeldLine
from relay.store.outbox import OutboxLine

Wait = tuple[float | None, str]
"""In how many seconds it is tried next, None where an event decides; and what it waits for."""


class EnvelopeWaits:
    """Words what envelopes wait for.

    Args:
        members: names.
        mesh: who is linked, and what is in flight.
        dialler: when a broker is dialled next.
        attendance: who is there.
        notices: whose intake is stopped.
        clock: milliseconds since 1970.
    """

    def __init__(
        self,
        members: Members,
        mesh: Mesh,
        dialler: Dialler,
        attendance: Attendance,
        notices: Notices,
        clock: Callable[[], int],
    ) -> None:
        self._members = members
        self._mesh = mesh
        self._dialler = dialler
        self._attendance = attendance
        self._notices = notices
        self._clock = clock

    def own(self, line: OutboxLine) -> Wait:
        """One of this broker's own."""
        peer = line.recipient
        if not self._mesh.is_linked(peer):
            return self._in_between(line) or self._until_linked(peer)
        return self._over_the_link(peer, self._mesh.window(peer), line.id, self._notices.of(peer) or "no receipt yet")

    def kept(self, line: HeldLine) -> Wait:
        """One that is kept here for another."""
        peer = line.recipient
        if not self._mesh.is_linked(peer):
            return self._until_linked(peer)
        return self._over_the_link(peer, self._mesh.kept_window(peer), line.id, "not taken yet")

    def _until_linked(self, peer: BrokerId) -> Wait:
        seconds = self._dialler.next_dial(peer)
        when = "being dialled" if seconds is None else f"next dial in {seconds:.0f} s"
        return seconds, f"{self._attendance.absence(peer, self._members.name(peer))}; {when}"

    def _over_the_link(self, peer: BrokerId, window: Window, envelope: bytes, told: str) -> Wait:
        sent = window.sent_at(envelope)
        if sent is None:
            return None, f"waits for its turn on the link to {self._members.name(peer)}"
        passed = (monotonic_ms() - sent) / 1000
        return max(RESEND_AFTER / 1000 - passed, 0.0), f"sent {passed:.0f} s ago, {told}"

    def _in_between(self, line: OutboxLine) -> Wait | None:
        """What a holder has to do with it; None where none was asked."""
        name, dial = self._members.name(line.recipient), self._dialler.next_dial(line.recipient)
        if line.holder is not None:
            return self._handed(line, name, dial)
        if refused := self._mesh.refusal(line.recipient):
            holder, why = refused
            return dial, f"{self._members.name(holder)} was to keep it for {name}: {why}; it is asked again by itself"
        way = self._mesh.router.way(line.recipient)
        if way is None:
            return None
        sent = self._mesh.window(line.recipient).sent_at(line.id)
        again = None if sent is None else max(RESEND_AFTER - (monotonic_ms() - sent), 0) / 1000
        return again, f"on its way to {self._members.name(way)}, which is to keep it for {name}"

    def _handed(self, line: OutboxLine, name: str, dial: float | None) -> Wait:
        now, at = self._clock(), line.held_at or line.created
        # a moment to come is a clock's that was set back: `Handing` does not wait for it
        again = 0.0 if at > now else max(at + hand_over_again(line.handed) - now, 0) / 1000
        holder = f"{self._members.name(line.holder)} keeps it" if line.holder else "it is kept"
        reason = f"{holder} for {name} (since {ago(now - at)}); no receipt yet"
        if line.holder is not None and self._mesh.reaches(line.holder, line.recipient):
            # it has been handed on by now, or is lost there, or its receipt is: `Handing` finds out
            reason = f"{self._members.name(line.holder)} took it, and has {name} in reach: if no receipt comes within"
            reason += f" {LOST_AFTER // 1000} s, it is handed over again"
        return (again if dial is None else min(again, dial)), reason
