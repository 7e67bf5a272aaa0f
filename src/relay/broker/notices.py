"""What peers say of their intake: stopped, or paused for want of room. It ends nothing; it words what waits."""

from __future__ import annotations

import asyncio
import logging

from relay.broker.inbox import Hear, Opened
from relay.broker.members import Members
from relay.core import ids
from relay.core.errors import Code, LocalFault, PeerFault
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.states import State
from relay.core.values import frozen
from relay.store import outbox, spawns
from relay.store.journal import Entry, Journal
from relay.store.spawn_rows import BY_ID

MAX_IDS = 512
_log = logging.getLogger(__name__)
MAX_WORK = 200
# by code and in our own words: what a peer's sentence says is not trusted
_WORDS: dict[str, str] = {
    Code.INTAKE_STOPPED: "{name} takes nothing in: its store is an older copy; on {name}: relay identity keep",
    Code.DISK_FULL: "{name} takes nothing in now: its disk is full; it goes on by itself when there is room",
    Code.UNSURE: "{name} cannot tell whether it has had this before: its store is an older copy, or forgot early by a"
    " wrong clock",
}
_OTHER = "{name} takes nothing in now: its store cannot be written; on {name}: relay doctor"


@frozen
class Notice:
    """The last word of a peer on its intake: the code, and when it came (milliseconds)."""

    code: str
    at: int


class Notices:
    """Hears them, and keeps the last of each peer.

    Args:
        members: names.
        journal: where spawns are reworded.
    """

    def __init__(self, members: Members, journal: Journal) -> None:
        self._members = members
        self._journal = journal
        self._last: dict[BrokerId, Notice] = {}
        self._work: set[asyncio.Task[None]] = set()

    @property
    def hears(self) -> dict[Kind, Hear]:
        """By kind."""
        return {Kind.NOTICE: self._heard}

    def of(self, peer: BrokerId) -> str:
        """Why a peer takes nothing in now; empty where it has not said so."""
        found = self._last.get(peer)
        return "" if found is None else self._worded(peer, found.code)

    def over(self, peer: BrokerId) -> None:
        """It has taken something in, or its link has ended: what it said before counts no more."""
        self._last.pop(peer, None)

    def _worded(self, peer: BrokerId, code: str) -> str:
        return _WORDS.get(code, _OTHER).format(name=self._members.name(peer))

    def _heard(self, each: Opened) -> None:
        put_off, code = each.body.content["ids"], each.body.content["code"]
        if not _are_ids(put_off) or type(code) is not str:
            raise PeerFault("a notice was refused", why="it has another form")
        peer = each.header.origin
        self._last[peer] = Notice(code, self._journal.clock())
        if len(self._work) < MAX_WORK:
            task = asyncio.get_running_loop().create_task(self._reword(peer, put_off, self._worded(peer, code)))
            self._work.add(task)
            task.add_done_callback(self._work.discard)

    async def _reword(self, peer: BrokerId, put_off: list[bytes], reason: str) -> None:
        def decide(entry: Entry) -> None:
            for each in put_off:
                line = outbox.BY_ID.one(entry.tx, id=each)
                if line is not None and line.recipient == peer and line.kind == Kind.SPAWN and line.spawn is not None:
                    self._explain(entry, line.spawn, reason)

        try:
            await self._journal.commit(decide)
        except LocalFault as fault:
            # wording only: it is said again when the peer says it again
            _log.warning("what waits for %s was not reworded: %s", ids.short(peer), fault.message)

    def _explain(self, entry: Entry, spawn: str, reason: str) -> None:
        row = BY_ID.one(entry.tx, id=spawn)
        if row is None or row.state is not State.QUEUED or row.reason == reason:
            return
        spawns.explain(entry.tx, spawn, reason)
        entry.event("spawn.state", {"spawn": spawn, "state": "queued", "reason": reason, "broker": row.target})


def _are_ids(value: object) -> bool:
    return type(value) is list and len(value) <= MAX_IDS and all(map(_is_id, value))


def _is_id(value: object) -> bool:
    return type(value) is bytes and len(value) == ids.ENVELOPE_ID_BYTES
