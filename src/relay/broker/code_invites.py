"""Invites by code on the inviter's side: which are open, what a joiner is offered, and what a wrong guess costs.

A wrong guess burns the code it was for, and five within an hour stop all codes for that hour. Who asks for a number
that has no open code is led through the same exchange, so that nobody learns which numbers have one.
"""

from __future__ import annotations

import asyncio
import json
import os
from functools import partial

from relay.broker.asked_before import require_first_invite
from relay.broker.auditor import Auditor, Decision, refusal
from relay.core import codes
from relay.core.codes import Agreed, Offer, Opening
from relay.core.errors import Code, Refused
from relay.core.invites import InviteRow
from relay.core.pairing import SET_MS, JoinRequest, is_proved
from relay.core.pairing import refusal as worded
from relay.store import invites, meta, operations
from relay.store.invites import Invite
from relay.store.journal import Entry, Journal
from relay.store.query import Tx
from relay.trust import code_exchange
from relay.trust.identity import Identity
from relay.trust.workspace import Workspace

DEFAULT_TTL_MS = MAX_TTL_MS = 10 * 60_000
MOST_FAILURES, FAILURES_WITHIN_MS = 5, 3_600_000
ROLE = "member"
SPACED_S = 0.2  # after each exchange: it costs tens of milliseconds of a core, and strangers may begin one
_FAILURES = "code.failures"
_PREFIX = "code-"


class CodeInvites:
    """Makes codes, and plays the inviter's part in their exchange.

    Args:
        identity: this broker.
        workspace: what joiners get into.
        journal: where invites are kept.
        auditor: the audit log.
    """

    def __init__(self, identity: Identity, workspace: Workspace, journal: Journal, auditor: Auditor) -> None:
        self._identity = identity
        self._journal = journal
        self._auditor = auditor
        self.offer = Offer(workspace.id.encode(), workspace.name, ROLE)
        self._one_at_a_time = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def make(self, operation: str, ttl_ms: int) -> tuple[str, str, int]:
        """A fresh code, what its invite is called, and when it expires (milliseconds since 1970).

        Raises:
            Refused: too many wrong codes came within the hour.
        """
        random = os.urandom(codes.RANDOM_BYTES)

        def decide(entry: Entry) -> tuple[str, str, int]:
            require_first_invite(entry.tx, operation)
            self._require_calm(entry.tx, entry.now)
            expires = entry.now + ttl_ms
            code = codes.make_code(_free_number(entry.tx), random)
            name = f"{_PREFIX}{code.number}"
            invites.insert(entry.tx, Invite(name, code.password, ROLE, expires, created=entry.now))
            operations.remember(entry.tx, operation, entry.now, {"invite": name})
            self._auditor.write(entry, Decision("local", "invite", detail=f"invite {name}"))
            return codes.format_code(code), name, expires

        made = await self._journal.commit(decide)
        # those who watch it learn that it is over; whether it may still be used is judged when somebody comes
        asyncio.get_running_loop().call_later(ttl_ms / 1000, self._over, made[1], made[2])
        return made

    def _over(self, name: str, expires: int) -> None:
        self._task = asyncio.get_running_loop().create_task(self._journal.commit(partial(_tell_over, name, expires)))

    async def respond(self, opening: Opening) -> tuple[bytes, Agreed]:
        """This broker's half of the exchange, and what was agreed on if the joiner knows the code.

        Raises:
            Refused: too many wrong codes came within the hour, or there is no code at all.
            PeerFault: the joiner's half is none.
        """
        now = self._journal.clock()
        failures = await self._journal.store.one(meta.VALUE, key=_FAILURES)
        if _are_too_many(failures, now):
            raise worded("rate")
        there = await self._journal.store.all(invites.ALL)
        latest = now + MAX_TTL_MS + SET_MS  # a later one was made by a clock that was ahead
        open_now = [each for each in there if each.id.startswith(_PREFIX) and now < each.expires <= latest]
        passwords = {each.id: each.verifier for each in open_now}
        if not passwords:
            raise worded("unknown")
        password = passwords.get(f"{_PREFIX}{opening.number}", os.urandom(codes.RANDOM_BYTES))
        async with self._one_at_a_time:
            made = await asyncio.to_thread(code_exchange.respond, password, opening, self._identity.id, self.offer)
            await asyncio.sleep(SPACED_S)
            return made

    def row(self, tx: Tx, opening: Opening, agreed: Agreed) -> tuple[str, InviteRow | None]:
        """The invite that an exchange was about: what it is called, and itself as `judge_invite` takes it."""
        name = f"{_PREFIX}{opening.number}"
        kept = invites.BY_ID.one(tx, id=name)
        if kept is None:
            return name, None
        called = codes.code_id(opening.number, self._identity.id, opening.public)
        return name, invites.as_row(kept, called, agreed.verifier)

    def require_calm(self, entry: Entry) -> None:
        """Judge an exchange only within the hour's failures: many may have begun before the first of them was judged.

        Raises:
            Refused: too many wrong codes came within the hour.
        """
        if _are_too_many(meta.get(entry.tx, _FAILURES), entry.now):
            raise worded("rate")

    def note_failure(self, entry: Entry, opening: Opening, request: JoinRequest, agreed: Agreed) -> None:
        """The joiner was refused: where it guessed wrong, the code is burnt, and the failure counts."""
        name, row = self.row(entry.tx, opening, agreed)
        if row is None or is_proved(row, request) or _are_too_many(meta.get(entry.tx, _FAILURES), entry.now):
            return
        if not invites.burn(entry.tx, name):
            return
        before = _recent(meta.get(entry.tx, _FAILURES), entry.now)
        meta.put(entry.tx, _FAILURES, json.dumps([*before, entry.now][-MOST_FAILURES:]))
        wrong = Refused(
            "a wrong code was tried: it is burnt", code=Code.INVITE_REFUSED, hint="relay invite   makes another one"
        )
        self._auditor.write(entry, refusal(request.joiner, "join", wrong, f"invite {name}"))
        entry.event("invite.changed", {"invite": name, "state": "burnt"})

    def _require_calm(self, tx: Tx, now: int) -> None:
        if _are_too_many(meta.get(tx, _FAILURES), now):
            raise Refused(
                "no codes are given out for now",
                code=Code.RATE_LIMITED,
                why=f"{MOST_FAILURES} wrong codes were tried within an hour: somebody may be guessing",
                hint="relay audit show; a link cannot be guessed: relay invite --link",
            )


def _tell_over(name: str, expires: int, entry: Entry) -> None:
    kept = invites.BY_ID.one(entry.tx, id=name)
    if kept is not None and kept.used_by is None and kept.expires == expires:
        entry.event("invite.changed", {"invite": name, "state": "expired"})


def _recent(kept: str | None, now: int) -> list[int]:
    return [at for at in json.loads(kept or "[]") if now - FAILURES_WITHIN_MS < at <= now]


def _are_too_many(kept: str | None, now: int) -> bool:
    return len(_recent(kept, now)) >= MOST_FAILURES


def _free_number(tx: Tx) -> int:
    taken = {each.id for each in invites.ALL.all(tx)}
    return next(number for number in range(1, codes.MAX_NUMBER) if f"{_PREFIX}{number}" not in taken)
