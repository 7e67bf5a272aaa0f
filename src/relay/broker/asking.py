"""What a viewer asks for when it attaches, checked."""

from __future__ import annotations

from relay.broker.channel import Message
from relay.core.errors import PeerFault
from relay.core.values import frozen
from relay.spawn.door import SENDS

SOURCE_BYTES, MOST_LETTERS = 16, 128


@frozen
class Asked:
    """What a viewer asked for.

    Attributes:
        source: 16 bytes that name who types, over all its connections.
        drive: it wants to type.
        again: it was attached before and goes on; it does not take the driver's seat from another, but from itself.
        offset: of the log, where it goes on; None for a first time.
        who: a person, for the others to read.
        size: rows and columns of its terminal, or None.
        direct: it could go past the brokers to the task.
    """

    source: bytes
    drive: bool
    again: bool
    offset: int | None
    who: str
    size: tuple[int, int] | None
    direct: bool

    @classmethod
    def read(cls, ask: Message) -> Asked:
        """Of a message.

        Raises:
            PeerFault: it has another form.
        """
        source, offset = ask.get("source"), ask.get("offset")
        is_offset = offset is None or (type(offset) is int and 0 <= offset < 2**53)
        if type(source) is not bytes or len(source) != SOURCE_BYTES or source == SENDS or not is_offset:
            raise PeerFault("a request to attach was refused", why="it has another form")
        who = "".join(filter(str.isprintable, str(ask.get("who", ""))[:MOST_LETTERS]))
        drive, again, direct = bool(ask.get("drive")), bool(ask.get("again")), ask.get("direct") is True
        return cls(source, drive, again, offset, who, size_of(ask), direct)


def size_of(message: Message) -> tuple[int, int] | None:
    """Rows and columns in a message, or None."""
    rows, columns = message.get("rows"), message.get("columns")
    if type(rows) is int and type(columns) is int and 0 < rows < 10_000 and 0 < columns < 10_000:
        return rows, columns
    return None
