"""Strangers on a broker's port: garbage, lying frames, another workspace, silence. Members notice nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import ssl
import struct

import pytest
from websockets.asyncio.client import connect

from relay.broker.admitting import REFUSALS_AT_ONCE
from relay.broker.websocket import MAX_UNGREETED
from relay.core.ids import BrokerId
from relay.core.invites import InviteLink
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.trust import joining
from relay.trust.identity import Identity
from relay.trust.pairing import make_request
from tests.e2e.scene import Scene, audit, error_of, relay, relay_json


def test_a_broker_of_another_workspace_gets_no_further_than_tls(two: Scene, mesh: Mesh) -> None:
    stranger = mesh.add("stranger", started=False)
    # it is told by its own files that vps is a member of its workspace, and where it is
    shutil.copy(two.vps.home / "roster.json", stranger.home / "roster.json")
    done = relay(stranger, "--json", "up", "--detach")
    assert done.returncode == 1 and error_of(done)["code"] in ("not_set_up", "bad_key_file", "other_workspace")
    assert two.vps.status()["links"] == 1


GARBAGE = {
    "nothing": b"",
    "text": b"hello there\n" * 10,
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "zeros": bytes(4096),
    "noise": bytes(range(256)) * 64,
    "half a TLS record": b"\x16\x03\x01\x02\x00\x01\x00",
    "a TLS record that lies": b"\x16\x03\x01\xff\xff" + b"x" * 70_000,
}


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_on_the_port(granted: Scene, garbage: str) -> None:
    with socket.create_connection(("127.0.0.1", granted.vps.port), 5) as connection:
        connection.settimeout(0.3)
        try:
            connection.sendall(GARBAGE[garbage])
            while connection.recv(65536):
                pass
        except OSError:
            pass
        assert granted.shell("echo well", status=0)["result"]["output_tail"] == "well\n"
    assert granted.vps.status()["links"] == 1


def _pairing(port: int, place: str = "127.0.0.1") -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["relay-pair/1"])
    plain = socket.create_connection(("127.0.0.1", port), 5, source_address=(place, 0))
    connection = context.wrap_socket(plain, server_hostname="pair.relay.invalid")
    connection.sendall(
        b"GET /pair HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    return connection


def _frame(payload: bytes, told: int | None = None) -> bytes:
    length = len(payload) if told is None else told
    head = struct.pack("!BBQ", 0x82, 0xFF, length)
    return head + b"\0\0\0\0" + payload


FRAMES = {
    "oversized": lambda: _frame(b"x" * (2 << 20)),
    "says 1 TiB": lambda: _frame(b"x", 1 << 40),
    "truncated": lambda: _frame(b"x" * 10, 1000),
    "not msgpack": lambda: _frame(b"\xc1" * 300),
    "deep": lambda: _frame(b"\x91" * 3000),
    "empty": lambda: _frame(b""),
}


@pytest.mark.parametrize("frame", FRAMES)
def test_wrong_frames_on_the_pairing_side(granted: Scene, frame: str) -> None:
    """A stranger that speaks TLS and WebSocket is thrown out, or left waiting; nothing else changes."""
    members = len(relay_json(granted.vps, "brokers"))
    with _pairing(granted.vps.port) as connection:
        connection.settimeout(2)
        try:
            assert connection.recv(4096).startswith(b"HTTP/1.1 101")
            connection.sendall(FRAMES[frame]())
            if frame != "truncated":
                while connection.recv(65536):
                    pass
        except OSError:
            pass
    assert granted.shell("true", status=0)["state"] == "completed"
    assert len(relay_json(granted.vps, "brokers")) == members


def test_who_holds_pairing_connections_open_keeps_no_joiner_out(mesh: Mesh) -> None:
    inviter, joiner = mesh.add("inviter"), mesh.add("joiner")
    link = relay_json(inviter, "invite", "--link")["link"]
    with contextlib.ExitStack() as held:
        for _ in range(MAX_UNGREETED):
            opened = held.enter_context(_pairing(inviter.port, "127.0.0.2"))
            assert opened.recv(4096).startswith(b"HTTP/1.1 101")
        joiner.relay("join", typed=link)
        mesh.await_link(inviter, joiner)


def test_many_idle_connections_hold_nobody_up(granted: Scene) -> None:
    """Connections that say nothing do not keep members out."""
    idle = [socket.create_connection(("127.0.0.1", granted.vps.port), 5) for _ in range(100)]
    try:
        assert granted.shell("echo well", status=0)["state"] == "completed"
        granted.laptop.restart()
        granted.linked()
    finally:
        for each in idle:
            each.close()


def test_who_asks_to_join_without_end_fills_no_log(mesh: Mesh) -> None:
    node = mesh.add("laptop")
    times = REFUSALS_AT_ONCE + 10
    asyncio.run(_ask_to_join(node, times))
    joins = [each for each in audit(node) if each["decision"] == "refused"]
    assert REFUSALS_AT_ONCE <= len(joins) < times - 5, "each of those over the ration would be one more row for ever"


async def _ask_to_join(node: Node, times: int) -> None:
    async def ask() -> None:
        link = InviteLink(BrokerId(node.id), os.urandom(32), "any", 2**40, (node.address,))
        _, raw = make_request(Identity.create(os.urandom(32), os.urandom(32)), link, "stranger", (), os.urandom(16))
        async with connect(**joining._way(node.address)) as connection:
            await connection.send(raw)
            await connection.recv()

    await asyncio.gather(*(ask() for _ in range(times)))
