"""`relay events`."""

from __future__ import annotations

from relay.api import routes
from relay.cli import ages, speech
from relay.cli.clean import clean
from relay.cli.resuming import last_event, over_restarts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from relay.cli.invocation import Invocation

BROKER_ID_CHARS = 56
SHOWN_APART = ("seq", "at", "kind")


def run(invocation: Invocation, *, follow: bool, since: int | None) -> int:
    """Print events; without --follow all that are kept, with it those from now on, unless --since says more."""
    client = invocation.client()
    if since is None:
        since = last_event(client) if follow else 0
    for event in over_restarts(client, lambda at: routes.events(at, follow), since, "seq", follow, has_end=False):
        if invocation.json:
            speech.streamed(event)
        else:
            speech.say(line(event))
            speech.flush()
    return 0


def line(event: Mapping[str, Any]) -> str:
    """One event for people."""
    if event["kind"] == "reset":
        return f"(what came next is no longer kept, or has not come yet; what follows is after {event['seq']})"
    rest = " ".join(f"{key}={_brief(value)}" for key, value in event.items() if _tells(key, value))
    return clean(f"{event.get('seq', ''):>6}  {ages.clock(event['at'])}  {event['kind']:<16}  {rest}")


def _tells(key: str, value: object) -> bool:
    return key not in SHOWN_APART and value is not None and value != ""


def _brief(value: object) -> str:
    if isinstance(value, dict):
        named = [str(value[key]) for key in ("name", "id", "state") if value.get(key)]
        return "/".join(named) or "{}"
    text = str(value)
    return text[:8] if len(text) == BROKER_ID_CHARS else text
