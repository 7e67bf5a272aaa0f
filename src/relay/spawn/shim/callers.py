"""Those who stand at a task's door, and the two forms of frames that are said there.

    broker -> shim   kind, source (16 bytes), n, length; payload    FEED bytes, END of input, SIZE rows, columns; WATCH,
                                                                    REST: no more of that; DIRECT an offer, or none
    shim -> broker   kind, start, end, length; payload              TAKEN n, SHUT n, SHOWN output between two offsets;
                                                                    PORT of a direct way; HERE ends the log now
"""

from __future__ import annotations

import select
import socket
import struct

TYPE_CHECKING = False  # the checker takes the name for typing's, which costs 3 ms to import
if TYPE_CHECKING:
    from .direct import Sealed

DOOR = "door"
HEAD = struct.Struct("!B16sQI")
REPLY = struct.Struct("!BQQI")
SIZE_FORM = struct.Struct("!HH")
FEED, END, SIZE, WATCH, REST, DIRECT = 1, 2, 3, 4, 5, 6
TAKEN, SHUT, SHOWN, PORT, HERE = 1, 2, 3, 4, 5
NOBODY = bytes(16)
"""The source of a direct way by which nothing is typed."""
MOST = 256 * 1024
"""Bytes of one feed, and how much unread input makes the shim stop listening."""
IN, OUT = select.POLLIN, select.POLLOUT


class Caller:
    """One connection: what came and is not whole yet, what goes and is not gone yet, and what may go a moment later."""

    __slots__ = ("going", "missed", "owed", "owner", "polled", "socket", "source", "taken_in", "watches")

    def __init__(self, connection: socket.socket | Sealed, owner: Caller | None = None, source: bytes = b"") -> None:
        self.socket = connection
        self.owner = owner
        self.source = source
        self.taken_in = bytearray()
        self.going = b""
        self.owed = b""
        self.polled = IN
        self.watches = False
        self.missed = False

    def may(self, kind: int, source: bytes) -> bool:
        """Whether it is one to ask for this."""
        if self.owner is None:
            return True
        return kind == WATCH or (kind in (FEED, END) and source == self.source != NOBODY)

    @property
    def has_left(self) -> bool:
        """Whether it is gone while nothing is asked of it: poll tells that whatever it is asked for."""
        if self.polled:
            return False
        asked = select.poll()
        asked.register(self.socket, 0)
        return bool(asked.poll(0))
