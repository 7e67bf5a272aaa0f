"""What live envelopes of one exchange have in common: a random id that its opener chose."""

from __future__ import annotations

from typing import Any

from relay.core.errors import PeerFault

STREAM_BYTES = 16


def stream_of(content: dict[str, Any], what: str) -> bytes:
    """The stream that a message belongs to.

    Args:
        content: of its body; it has the key `stream`.
        what: is refused otherwise ("a log request").

    Raises:
        PeerFault: it has another form.
    """
    stream = content["stream"]
    if type(stream) is not bytes or len(stream) != STREAM_BYTES:
        raise PeerFault(f"{what} was refused", why="its stream has another form")
    return stream
