"""The requests of the control contract about telling persons; as in `routes`."""

from __future__ import annotations

from relay.api.http1 import quoted
from relay.api.routes import ANSWER_S, MOST_LETTERS, Call, operation_body, query

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api import notify_shapes

TEST_S = 90.0


def channels() -> Call[list[notify_shapes.Channel]]:
    """The channels of this machine, and those that others entrusted to it."""
    return Call("notify")


def sent(spawn: str | None = None, limit: int | None = None) -> Call[list[notify_shapes.Told]]:
    """What was told, is to be told, and how that went; newest first, or all about one spawn."""
    return Call("notify/sent" + query(spawn=spawn, limit=limit))


def add(order: notify_shapes.ChannelOrder, operation: str | None = None) -> Call[notify_shapes.Channel]:
    """Add a channel; answered when it is durable, and its address has been looked at."""
    return Call("notify", operation_body(operation) | dict(order), patience_s=ANSWER_S)


def test(ref: str, operation: str | None = None) -> Call[notify_shapes.Told]:
    """Send a test over a channel, and say how it went."""
    return Call(f"notify/{_in_path(ref)}/test", operation_body(operation), patience_s=TEST_S)


def remove(ref: str, operation: str | None = None) -> Call[notify_shapes.Channel]:
    """Tell over a channel no more."""
    return Call(f"notify/{_in_path(ref)}/remove", operation_body(operation))


def _in_path(text: str) -> str:
    if text and "/" not in text and len(text) <= MOST_LETTERS:
        return quoted(text)
    from relay.core.errors import Code, Misuse

    # what has a slash may be an address, typed in the place of the name: it is not said again
    raise Misuse("there is no such channel", code=Code.UNKNOWN_CHANNEL, hint="relay notify list")
