"""Joining a workspace by an invite link: dial the inviter, prove the secret, take home what it answers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, WebSocketException

from relay.core import ids
from relay.core.addresses import usable_addresses
from relay.core.codes import (
    code_id,
    compared_words,
    looks_like_code,
    pack_opening,
    parse_code,
    unpack_offer,
    unpack_welcome,
)
from relay.core.errors import Code, Misuse, PeerFault, Refused, Unreachable
from relay.core.hello import NONCE_BYTES
from relay.core.ids import BrokerId
from relay.core.network_words import dial_words
from relay.core.pairing import MAX_ANSWER, InviteLink, parse_link
from relay.core.values import frozen
from relay.trust.code_exchange import Guest, check_confirmation
from relay.trust.founding import HomeFiles, own_identity, present_roster, write_roster
from relay.trust.identity import Identity
from relay.trust.pairing import Invited, Welcome, make_request, open_answer, raise_refusal
from relay.trust.tls import pairing_client_context, peer_public_key, require_peer
from relay.trust.workspace import Workspace, save_workspace

DIAL_S = 10.0
ANSWER_S = 30.0
SERVER_NAME = "pair.relay.invalid"


@frozen
class Joined:
    """What a join brought.

    Attributes:
        own: this broker's id.
        inviter: who let it in.
        workspace: the workspace it is in now.
        compared: four words that the inviter's screen shows too.
    """

    own: BrokerId
    inviter: BrokerId
    workspace: Workspace
    compared: str


async def join(
    home: HomeFiles, text: str, address: str | None, name: str, addresses: Sequence[str]
) -> Joined:
    """Join by a link, or by a code and the address of who made it; see `join_by_link` and `join_by_code`.

    Raises:
        Misuse: a code came without an address, or a link with one.
    """
    if not looks_like_code(text):
        if address is not None:
            raise Misuse("a link needs no address", why="it has them", hint="relay join")
        return await join_by_link(home, text, name, addresses)
    if address is None:
        raise Misuse(
            "a code alone does not say where to go",
            why="it was printed with the address of the machine that made it",
            hint="relay join CODE HOST:PORT",
        )
    return await join_by_code(home, text, address, name, addresses)


async def join_by_link(home: HomeFiles, text: str, name: str, addresses: Sequence[str]) -> Joined:
    """Join the workspace an invite link leads to; does `init` where there is none. Safe to repeat with the same link.

    Args:
        home: this machine's files.
        text: the pasted link.
        name: the label to be admitted under.
        addresses: where this broker will listen, `host:port`.

    Raises:
        Misuse: `bad_invite`.
        Refused: `invite_refused`, or `workspace_populated`.
        Unreachable: the inviter did not answer.
        PeerFault: who answered is not the inviter.
    """
    link = parse_link(text)
    _require_empty(home, link.inviter)
    identity = own_identity(home)
    welcome = await redeem(identity, link, name, addresses)
    _take_home(home, welcome)
    return _joined(identity, link.inviter, welcome)


async def join_by_code(home: HomeFiles, text: str, address: str, name: str, addresses: Sequence[str]) -> Joined:
    """Join by a code that was read out; does `init` where there is none. Safe to repeat with the same code.

    Args:
        home: this machine's files.
        text: the code as typed.
        address: where its maker listens, `host:port`.
        name: the label to be admitted under.
        addresses: where this broker will listen.

    Raises:
        Misuse: `bad_invite`: it is no code.
        Refused: `invite_refused` (a wrong guess burns the code), or `workspace_populated`.
        Unreachable: nobody answers at that address.
        PeerFault: who answers does not know the code.
    """
    code = parse_code(text)
    identity = own_identity(home)
    async with _dialled(address) as connection:
        public = peer_public_key(_tls(connection))
        inviter = ids.broker_id(public)
        _require_empty(home, inviter)
        guest = await asyncio.to_thread(Guest, identity, code)
        offered = await _asked(connection, pack_opening(guest.opening))
        raise_refusal(offered)
        offer, start = unpack_offer(offered)
        agreed = await asyncio.to_thread(guest.finish, inviter, offer, start)
        invite = Invited(code_id(code.number, inviter, identity.public), agreed.verifier, inviter)
        _, raw = make_request(identity, invite, name, addresses, os.urandom(NONCE_BYTES))
        answer = await _asked(connection, raw)
        raise_refusal(answer)
        confirmation, answer = unpack_welcome(answer, MAX_ANSWER)
        check_confirmation(agreed, confirmation)
        welcome = open_answer(identity, invite, answer, public)
    if welcome.workspace.id.encode() != offer.workspace:
        why = "it leads into another workspace than the one that was offered"
        raise PeerFault("the answer was refused", why=why, hint="join with an invite of a machine that you trust")
    _take_home(home, _seen_from(address, welcome))
    return _joined(identity, inviter, welcome)


def _joined(identity: Identity, inviter: BrokerId, welcome: Welcome) -> Joined:
    words = compared_words(welcome.workspace.id.encode(), inviter, identity.id)
    return Joined(identity.id, inviter, welcome.workspace, words)


async def _asked(connection: ClientConnection, message: bytes) -> bytes:
    await connection.send(message)
    return await asyncio.wait_for(connection.recv(decode=False), ANSWER_S)


def _require_empty(home: HomeFiles, inviter: BrokerId) -> None:
    roster = present_roster(home)
    if roster is None or len(roster.members) <= 1 or inviter in roster.members:
        return
    raise Refused(
        "this machine is in a workspace with other brokers already",
        code=Code.WORKSPACE_POPULATED,
        why=f"it has {len(roster.members)} members; joining another one would cut them off",
        hint="use another home for the other workspace: relay --home DIR join",
    )


def _take_home(home: HomeFiles, welcome: Welcome) -> None:
    places = {record.broker: record.addresses for record in welcome.records}
    members = {each.id: (each.name, places.get(each.id, ())) for each in welcome.roster.members.values()}
    write_roster(home, [statement.raw for statement in welcome.statements], members)
    save_workspace(Path(home.workspace_key), welcome.workspace)


async def redeem(identity: Identity, link: InviteLink, name: str, addresses: Sequence[str]) -> Welcome:
    """Ask each of the link's addresses in turn until one answers.

    Raises:
        Unreachable: none did.
        RelayError: one did, and said no, or was not the inviter.
    """
    failures: list[str] = []
    for address in link.addresses:
        try:
            return await _redeem_at(address, identity, link, name, addresses)
        except ConnectionClosed:
            # it answered the dial, and ended what it was sent: another address of it would do the same
            raise Refused(
                "the broker that made the invite did not take the request",
                code=Code.BAD_INVITE,
                why="it closed the connection without an answer",
                hint="on that machine: broker.log in its home says why",
            ) from None
        except (OSError, TimeoutError, InvalidHandshake, WebSocketException) as error:
            failures.append(dial_words(error, address))
    raise Unreachable(
        "the broker that made the invite does not answer",
        why="; ".join(failures)[:500] or "the link names no address",
        hint="on that machine: relay up; then try the same link again",
    )


async def _redeem_at(
    address: str, identity: Identity, link: InviteLink, name: str, addresses: Sequence[str]
) -> Welcome:
    _, raw = make_request(identity, link, name, addresses, os.urandom(NONCE_BYTES))
    async with connect(**_way(address)) as connection:
        inviter = require_peer(_tls(connection), link.inviter)
        welcome = open_answer(identity, link, await _asked(connection, raw), inviter)
    return _seen_from(address, welcome)


def _way(address: str) -> dict[str, Any]:
    return {
        "uri": f"wss://{address}/pair",
        "ssl": pairing_client_context(),
        "server_hostname": SERVER_NAME,
        "compression": None,
        "max_size": MAX_ANSWER + 1024,
        "open_timeout": DIAL_S,
        "ping_interval": None,
        "proxy": None,
    }


@contextlib.asynccontextmanager
async def _dialled(address: str) -> AsyncIterator[ClientConnection]:
    """A connection to the maker of a code; its faults in words."""
    try:
        async with connect(**_way(address)) as connection:
            yield connection
    except ConnectionClosed:
        raise Refused(
            "the broker at that address did not take the request",
            code=Code.INVITE_REFUSED,
            why="it closed the connection without an answer",
            hint="on that machine: relay invite makes a new code, and broker.log in its home says why",
        ) from None
    except (OSError, TimeoutError, InvalidHandshake, WebSocketException) as error:
        raise Unreachable(
            f"no broker answers at {address}",
            why=dial_words(error, address),
            hint="compare it with what relay invite printed; on that machine: relay up",
        ) from None


def _seen_from(address: str, welcome: Welcome) -> Welcome:
    """What the inviter knows of itself and others holds where it stands: here only as far as it means the same here."""
    records = [replace(each, addresses=usable_addresses(address, each.addresses)) for each in welcome.records]
    return replace(welcome, records=tuple(records))


def _tls(connection: ClientConnection) -> ssl.SSLObject:
    found = connection.transport.get_extra_info("ssl_object")
    assert isinstance(found, ssl.SSLObject)
    return found
