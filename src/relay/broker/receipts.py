"""What the recipient of our envelopes answers: receipts that close rows, and NACKs that end them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from relay.broker.answers import Answers
from relay.broker.blobs.offers import Offers
from relay.broker.inbox import Hear, Opened
from relay.broker.mesh import Mesh
from relay.broker.notices import Notices
from relay.broker.reissue import Reissue
from relay.broker.requests import Requests
from relay.core import ids
from relay.core.errors import Code, PeerFault
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.store import outbox, steers
from relay.store.journal import Entry, Journal
from relay.store.outbox import OutboxLine, OutboxState
from relay.store.spawn_rows import BY_ID

MAX_IDS = 512  # a receipt answers one frame, of at most 32 envelopes
MAX_WORK = 1_000
_REFUSALS = {
    Code.EXPIRED: "it came after its time to live",
    Code.EXPIRES_LATE: "this machine's clock was ahead when it was asked for",
}
_HINTS = {Code.EXPIRES_LATE: "relay spawn it again, now that the clock is right"}
RefusedLive = Callable[[BrokerId, bytes, PeerFault], None]
"""Hears who refused which envelope, and why."""
RefusedCall = Callable[[Entry, OutboxLine, PeerFault, bool], None]
"""Hears which call was refused, why, and whether it is certain that it was not taken before."""
_log = logging.getLogger(__name__)


class Receipts:
    """Hears receipts and NACKs.

    Args:
        mesh: whose windows they empty.
        journal: where rows end.
        requests: told of spawns that were never taken.
        reissue: seals again what was refused for its key or its expiry; without it that is given up too.
        notices: told of peers that take envelopes in.
        offers: told of blobs that never will be.
        answers: told of answers that never were taken.
        live: told of envelopes that were not durable, or are none of ours any more.
        call: told of calls that were never taken.
    """

    def __init__(
        self,
        mesh: Mesh,
        journal: Journal,
        requests: Requests,
        reissue: Reissue | None = None,
        notices: Notices | None = None,
        offers: Offers | None = None,
        answers: Answers | None = None,
        live: RefusedLive = lambda peer, envelope, error: None,
        call: RefusedCall = lambda entry, line, error, never_taken: None,
    ) -> None:
        self._call = call
        self._live = live
        self._reissue = reissue
        self._notices = notices
        self._mesh = mesh
        self._journal = journal
        self._requests = requests
        self._offers = offers
        self._answers = answers
        self._work: set[asyncio.Task[None]] = set()

    @property
    def hears(self) -> dict[Kind, Hear]:
        """By kind."""
        return {Kind.RECEIPT: self._receipt, Kind.NACK: self._nack}

    def _receipt(self, each: Opened) -> None:
        taken = each.body.content["ids"]
        if type(taken) is not list or len(taken) > MAX_IDS or not all(map(_is_id, taken)):
            raise PeerFault("a receipt was refused", why="it has another form")
        if self._notices is not None:
            self._notices.over(each.header.origin)
        self._mesh.receipted(each.header.origin, taken)

    def _nack(self, each: Opened) -> None:
        content = each.body.content
        if not _is_id(content["id"]):
            raise PeerFault("a NACK was refused", why="it has another form")
        if len(self._work) >= MAX_WORK:
            return  # what it refuses is sent again, and refused again
        code = content["code"]
        known = Code(code) if type(code) is str and code in Code._value2member_map_ else Code.BAD_ENVELOPE
        what = _REFUSALS.get(known, "the target refused the request")
        error = PeerFault(what, code=known, why=str(content["why"])[:500], hint=_HINTS.get(known, ""))
        self._live(each.header.origin, content["id"], error)
        never_taken = content.get("never_taken") is True
        task = asyncio.get_running_loop().create_task(self._end(each, content["id"], error, never_taken))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _end(self, each: Opened, envelope: bytes, error: PeerFault, never_taken: bool) -> None:
        peer = each.header.origin

        def decide(entry: Entry) -> bool:
            line = outbox.BY_ID.one(entry.tx, id=envelope)
            if line is None or line.recipient != peer or line.state is not OutboxState.PENDING:
                return False
            if self._reissue is not None and self._reissue.refused(entry, line, error.code):
                return False
            if _has_it(entry, line):
                # a late copy was refused, of a request that it took long ago
                return not outbox.drop(entry.tx, envelope)
            if line.kind == Kind.STEER and steers.BY_OPERATION.one(entry.tx, operation=line.operation) is None:
                # nobody asked for it: it tells of an end to who does not want to know
                return not outbox.drop(entry.tx, envelope)
            outbox.dead_letter(entry.tx, envelope, f"{error.code}: {error.why}")
            entry.event("outbox.changed", {"broker": peer, "state": "dead"})
            if line.kind == Kind.SPAWN and line.spawn is not None:
                self._requests.refused_by_peer(entry, line.spawn, error, never_taken or line.tries == 0)
            if line.kind == Kind.TOOL_CALL:
                self._call(entry, line, error, never_taken or line.tries == 0)
            if line.kind == Kind.STEER:
                steers.answer(entry.tx, line.operation, error.to_json())
            if line.kind == Kind.BLOB_OFFER and self._offers is not None:
                self._offers.refused_by_peer(entry, line.operation, error)
            if line.kind == Kind.ANSWER and self._answers is not None:
                self._answers.refused_by_peer(entry, line.operation, peer, error)
            return True

        _log.warning("%s refused an envelope: %s %s", ids.short(peer), error.code, error.why)
        self._mesh.refused(peer, envelope, await self._journal.commit(decide))


def _has_it(entry: Entry, line: OutboxLine) -> bool:
    """Whether the recipient has said otherwise that it took this request."""
    row = BY_ID.one(entry.tx, id=line.spawn) if line.kind == Kind.SPAWN and line.spawn else None
    return row is not None and row.first_word is not None


def _is_id(value: object) -> bool:
    return type(value) is bytes and len(value) == ids.ENVELOPE_ID_BYTES
