"""The head of an answer goes out with its body, and never waits for one that does not come."""

from __future__ import annotations

import asyncio
import socket

import pytest

from relay.broker.control.one_piece import OnePiece

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


async def _transport() -> tuple[OnePiece, asyncio.Transport, socket.socket]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
    return OnePiece(transport), transport, theirs


async def _heard(theirs: socket.socket) -> bytes:
    return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(theirs, 4096), 5)


async def test_an_answer_is_one_piece_and_a_head_alone_goes_by_itself() -> None:
    piece, transport, theirs = await _transport()
    try:
        piece.write(HEAD)
        with pytest.raises(BlockingIOError):
            theirs.recv(4096)
        piece.write(b"body")
        assert await _heard(theirs) == HEAD + b"body"
        piece.write(b"more")
        assert await _heard(theirs) == b"more"
        piece.write(HEAD)
        assert await _heard(theirs) == HEAD
        piece.write(HEAD)
        piece.close()
        assert await _heard(theirs) == HEAD and transport.is_closing() and piece.is_closing()
    finally:
        transport.abort()
        theirs.close()
