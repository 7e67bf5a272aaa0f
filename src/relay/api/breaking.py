"""Breaking a connection off, so that whoever is at its other end does not take it for ended."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

_AT_ONCE = struct.pack("ii", 1, 0)


def break_off(writer: asyncio.StreamWriter) -> None:
    """Reset a connection: a plain close reads as an end there, and what came before it as the whole."""
    with contextlib.suppress(OSError):  # it is gone already
        found = writer.get_extra_info("socket")
        if found is not None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    writer.transport.abort()
