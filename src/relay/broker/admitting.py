"""Letting machines in: invites made here, and the inviter's side of pairing."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from websockets.exceptions import ConnectionClosed

from relay.api.durations import spoken
from relay.broker import code_invites
from relay.broker.asked_before import require_first_invite
from relay.broker.auditor import Auditor, Decision, refusal
from relay.broker.code_invites import CodeInvites
from relay.broker.link import monotonic_ms
from relay.broker.members import Members
from relay.broker.roster import RosterKeeper
from relay.broker.signer import require_signer
from relay.broker.websocket import place_of
from relay.core import ids
from relay.core.addresses import usable_addresses
from relay.core.codes import Agreed, Opening, compared_words, is_opening, pack_offer, pack_welcome, unpack_opening
from relay.core.errors import Code, LocalFault, Misuse, PeerFault, Refused
from relay.core.invites import SECRET_BYTES
from relay.core.pairing import (
    MAX_REQUEST,
    MOST_LIFE_MS,
    FetchAgain,
    InviteLink,
    InviteRow,
    JoinRequest,
    PeerRecord,
    format_link,
    judge_invite,
    row_of,
)
from relay.core.rationing import Bucket
from relay.core.statements import Member
from relay.store import invites, operations, peers, statements
from relay.store.invites import Invite
from relay.store.journal import Entry, Journal
from relay.store.peers import Peer
from relay.trust.identity import Identity
from relay.trust.pairing import make_answer, make_refusal, member_from, open_request
from relay.trust.roster import admit
from relay.trust.workspace import Workspace

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

ASK_WITHIN = 10.0
VERDICT_S = 1.0
ByCode = tuple[Opening, Agreed]
"""What a joiner began with, and what was agreed on with it if it knows the code."""
DEFAULT_TTL_MS = 15 * 60_000
MAX_TTL_MS = MOST_LIFE_MS
REFUSALS_AT_ONCE, REFUSALS_PER_SECOND = 20, 1 / 30  # that are written down one by one: who reaches the port may ask
_log = logging.getLogger(__name__)


class Admitting:
    """Makes invites and redeems them.

    Args:
        identity: this broker.
        workspace: what joiners get.
        members: the roster in use.
        keeper: where admissions are kept.
        journal: where an invite is consumed, in the transaction of the admission.
        auditor: the audit log.
        addresses: where others may dial this broker.
    """

    def __init__(
        self,
        identity: Identity,
        workspace: Workspace,
        members: Members,
        keeper: RosterKeeper,
        journal: Journal,
        auditor: Auditor,
        addresses: Callable[[], tuple[str, ...]],
    ) -> None:
        self._codes = CodeInvites(identity, workspace, journal, auditor)
        self._identity = identity
        self._workspace = workspace
        self._members = members
        self._keeper = keeper
        self._journal = journal
        self._auditor = auditor
        self._addresses = addresses
        # of who comes with an invite of ours, and of anybody
        self._noted = {each: Bucket(REFUSALS_AT_ONCE, REFUSALS_PER_SECOND) for each in (True, False)}
        self._unnoted = 0

    async def invite(self, operation: str, ttl_ms: int) -> tuple[str, int]:
        """A fresh one-time link, and when it expires (milliseconds since 1970).

        Raises:
            Refused: this broker may not admit anybody.
            LocalFault: it listens nowhere, so that a link would lead nowhere.
        """
        addresses = self._addresses()
        self._require_may_admit(addresses)
        _require_at_most(ttl_ms, MAX_TTL_MS, "relay invite --link --ttl 1h")
        expires = self._journal.clock() + ttl_ms
        link = InviteLink(self._identity.id, os.urandom(SECRET_BYTES), self._workspace.name, expires, addresses)

        def decide(entry: Entry) -> None:
            require_first_invite(entry.tx, operation)
            row = row_of(link)
            invites.insert(entry.tx, Invite(row.id.hex(), row.verifier, "member", expires, created=entry.now))
            operations.remember(entry.tx, operation, entry.now, {"invite": row.id.hex()})
            self._auditor.write(entry, Decision("local", "invite", detail=f"invite {row.id.hex()[:8]}"))

        await self._journal.commit(decide)
        return format_link(link), expires

    async def invite_by_code(self, operation: str, ttl_ms: int) -> dict[str, Any]:
        """A fresh code: itself, the addresses to type it with, what the invite is called, and when it expires.

        Raises:
            Refused: this broker may not admit anybody, or too many wrong codes were tried.
            LocalFault: it listens nowhere.
        """
        addresses = self._addresses()
        self._require_may_admit(addresses)
        _require_at_most(
            ttl_ms, code_invites.MAX_TTL_MS, "relay invite --ttl 5m, or a link: relay invite --link --ttl 1h"
        )
        code, name, expires = await self._codes.make(operation, ttl_ms)
        return {"code": code, "address": addresses[0], "addresses": list(addresses), "invite": name, "expires": expires}

    def _require_may_admit(self, addresses: tuple[str, ...]) -> None:
        require_signer(self._members, "invite", "relay invite --link")
        if not addresses:
            raise LocalFault(
                "there is no address to put into the link",
                code=Code.NO_ADDRESS,
                why="this broker listens on no address that another machine could reach",
                hint="relay config set listen HOST:7411; then relay down; relay up",
            )

    @property
    def may_admit(self) -> bool:
        """Whether this broker signs the roster."""
        return self._members.roster.signs(self._identity.id)

    async def rename(self, broker: ids.BrokerId, name: str) -> None:
        """Admit a member anew under another name: so every machine calls it.

        Raises:
            Refused: this broker does not sign the roster.
            LocalFault: the roster cannot be extended.
        """
        async with self._keeper.signing:
            require_signer(self._members, "change this name", f"relay broker rename {broker[:8]} {name}")
            member = self._members.roster.members[broker]
            if member.name != name:
                await self._journal.commit(lambda entry: self._admit_anew(entry, replace(member, name=name)))

    def _admit_anew(self, entry: Entry, member: Member) -> None:
        statement = admit(self._identity, self._workspace, self._members.roster, member, entry.now)
        self._keeper.add_own(entry, statement)
        self._auditor.write(entry, Decision("local", "rename", detail=f"{ids.grouped(member.id)} is {member.name}"))

    async def pair(self, connection: ServerConnection) -> None:
        """Answer one joiner and hang up."""
        try:
            raw = await _heard(connection)
            if is_opening(raw):
                await self._pair_by_code(connection, raw)
            else:
                await connection.send(await self._answer(raw, place_of(connection), None))
        except (TimeoutError, ConnectionClosed):
            return
        except PeerFault as fault:
            _log.warning("a pairing request was dropped: %s", fault.why)
        await connection.close()

    async def _pair_by_code(self, connection: ServerConnection, raw: bytes) -> None:
        opening = unpack_opening(raw)
        try:
            start, agreed = await self._codes.respond(opening)
        except Refused as error:
            await asyncio.sleep(VERDICT_S)
            await connection.send(make_refusal(error))
            return
        await connection.send(pack_offer(self._codes.offer, start))
        request = await _heard(connection)
        # the same whatever the answer is: how long it takes tells nothing
        verdict_at = asyncio.get_running_loop().time() + VERDICT_S
        answer = await self._answer(request, place_of(connection), (opening, agreed))
        await asyncio.sleep(verdict_at - asyncio.get_running_loop().time())
        await connection.send(answer)

    async def _answer(self, raw: bytes, place: str, by_code: ByCode | None) -> bytes:
        request = open_request(raw)
        reachable = usable_addresses(place, request.addresses)
        async with self._keeper.signing:
            own = PeerRecord(self._identity.id, self._addresses())
            records = [own, *await self._keeper.records()]
            try:
                return await self._journal.commit(
                    lambda entry: self._redeem(entry, request, by_code, reachable, records)
                )
            except Refused as error:
                await self._journal.commit(partial(self._note_refusal, request, by_code, error))
                return make_refusal(error)

    def _note_refusal(self, request: JoinRequest, by_code: ByCode | None, error: Refused, entry: Entry) -> None:
        if by_code is not None:
            self._codes.note_failure(entry, by_code[0], request, by_code[1])
        invite = f"{by_code[0].number}" if by_code is not None else request.invite.hex()[:8]
        is_known = by_code is not None or invites.BY_ID.one(entry.tx, id=request.invite.hex()) is not None
        if not self._noted[is_known].take(monotonic_ms()):
            self._unnoted += 1
            return
        more, self._unnoted = self._unnoted, 0
        since = f" ({more} more were refused since the last that is written here)" if more else ""
        self._auditor.write(entry, refusal(request.joiner, "join", error, f"invite {invite}{since}"))

    def _invite_of(self, entry: Entry, request: JoinRequest, by_code: ByCode | None) -> tuple[str, InviteRow | None]:
        if by_code is not None:
            self._codes.require_calm(entry)
            return self._codes.row(entry.tx, *by_code)
        kept = invites.BY_ID.one(entry.tx, id=request.invite.hex())
        return request.invite.hex(), None if kept is None else invites.as_row(kept, request.invite, kept.verifier)

    def _redeem(
        self,
        entry: Entry,
        request: JoinRequest,
        by_code: ByCode | None,
        reachable: tuple[str, ...],
        records: list[PeerRecord],
    ) -> bytes:
        invite, row = self._invite_of(entry, request, by_code)
        verdict = judge_invite(row, request, self._identity.id, entry.now)
        if isinstance(verdict, FetchAgain):
            return _welcome(verdict.answer, by_code)
        member = self._labelled(member_from(request, entry.now))
        statement = admit(self._identity, self._workspace, self._members.roster, member, entry.now)
        self._keeper.add_own(entry, statement)
        place = Peer(member.id, member.public, member.sealing_public, member.name, reachable)
        peers.upsert(entry.tx, place)
        raws = [each.bytes for each in statements.ALL.all(entry.tx)]
        answer = make_answer(self._identity, self._workspace, request, raws, records)
        if not invites.consume(entry.tx, invite, member.id, answer, entry.now):
            raise Refused(
                "the invite was used up", code=Code.INVITE_REFUSED, hint="on a member: relay invite makes another one"
            )
        self._auditor.write(entry, Decision(member.id, "join", detail=f"{member.name} {ids.grouped(member.id)}"))
        words = compared_words(self._workspace.id.encode(), self._identity.id, member.id)
        joined = {"broker": member.id, "name": member.name, "compare": words}
        entry.event("invite.changed", {"invite": invite, "state": "used", **joined})
        return _welcome(answer, by_code)

    def _labelled(self, member: Member) -> Member:
        """The member under a label that stands for nobody else: a second `laptop` becomes `laptop-k3vq`."""
        taken = {each.name for each in self._members.roster.members.values() if each.id != member.id}
        if member.name not in taken and self._members.passes_for(member.id, member.name) is None:
            return member
        name = f"{member.name[:58]}-{member.id[:4]}"
        return Member(member.id, member.public, member.sealing_public, name, member.admitted_at)


async def _heard(connection: ServerConnection) -> bytes:
    raw = await asyncio.wait_for(connection.recv(decode=False), ASK_WITHIN)
    if not isinstance(raw, bytes) or len(raw) > 2 * MAX_REQUEST:
        raise PeerFault("a pairing request was refused", why="it has another form")
    return raw


def _welcome(answer: bytes, by_code: ByCode | None) -> bytes:
    return answer if by_code is None else pack_welcome(by_code[1].confirmation, answer)


def _require_at_most(ttl_ms: int, most_ms: int, hint: str) -> None:
    if ttl_ms > most_ms:
        why = f"such an invite works for at most {spoken(most_ms / 1000)}"
        raise Misuse("the ttl cannot be used", code=Code.BAD_DURATION, why=why, hint=hint)
