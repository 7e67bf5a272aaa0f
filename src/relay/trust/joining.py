"""Joining a workspace by an invite link: dial the inviter, prove the secret, take home what it answers."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, WebSocketException

from relay.core.addresses import usable_addresses
from relay.core.errors import Code, Refused, Unreachable
from relay.core.hello import NONCE_BYTES
from relay.core.ids import BrokerId
from relay.core.network_words import dial_words
from relay.core.pairing import MAX_ANSWER, InviteLink, parse_link
from relay.trust.founding import HomeFiles, own_identity, present_roster, write_roster
from relay.trust.identity import Identity
from relay.trust.pairing import Welcome, make_request, open_answer
from relay.trust.tls import pairing_client_context, require_peer
from relay.trust.workspace import Workspace, save_workspace

DIAL_S = 10.0
ANSWER_S = 30.0
SERVER_NAME = "pair.relay.invalid"


@dataclass(frozen=True, slots=True)
class Joined:
    """What a join brought.

    Attributes:
        own: this broker's id.
        inviter: who let it in.
        workspace: the workspace it is in now.
    """

    own: BrokerId
    inviter: BrokerId
    workspace: Workspace


async def join(home: HomeFiles, text: str, name: str, addresses: Sequence[str]) -> Joined:
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
    _require_empty(home, link)
    identity = own_identity(home)
    welcome = await redeem(identity, link, name, addresses)
    _take_home(home, welcome)
    return Joined(identity.id, link.inviter, welcome.workspace)


def _require_empty(home: HomeFiles, link: InviteLink) -> None:
    roster = present_roster(home)
    if roster is None or len(roster.members) <= 1 or link.inviter in roster.members:
        return
    raise Refused(
        "this machine is in a workspace with other brokers already",
        code=Code.WORKSPACE_POPULATED,
        why=f"it has {len(roster.members)} members; joining another one would cut them off",
        hint="use another home for the other workspace: relay --home DIR join LINK",
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
    async with connect(
        f"wss://{address}/pair",
        ssl=pairing_client_context(),
        server_hostname=SERVER_NAME,
        compression=None,
        max_size=MAX_ANSWER + 1024,
        open_timeout=DIAL_S,
        ping_interval=None,
        proxy=None,
    ) as connection:
        inviter = require_peer(_tls(connection), link.inviter)
        await connection.send(raw)
        answer = await asyncio.wait_for(connection.recv(decode=False), ANSWER_S)
        welcome = open_answer(identity, link, answer, inviter)
    # what the inviter knows of itself and others holds where it stands: here only as far as it means the same here
    records = [replace(each, addresses=usable_addresses(address, each.addresses)) for each in welcome.records]
    return replace(welcome, records=tuple(records))


def _tls(connection: ClientConnection) -> ssl.SSLObject:
    found = connection.transport.get_extra_info("ssl_object")
    assert isinstance(found, ssl.SSLObject)
    return found
