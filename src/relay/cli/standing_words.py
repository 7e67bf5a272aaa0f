"""What waits for a broker, and what we may do there, in the words of `relay brokers` and `relay broker show`."""

from __future__ import annotations

from relay.cli import ages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.broker_shapes import Broker, BrokerShown


def waiting(found: Broker | BrokerShown) -> str:
    """`3 waiting, 2 of them at vps; 4 kept for others`; empty where nothing waits for it.

    Args:
        found: as the broker tells of it; one of an older version has no more than a count.
    """
    at = found.get("outbox_at") or []
    words = [f"{found['outbox']} waiting"] if found["outbox"] else []
    words += [f"{each['envelopes']} of them at {each['name']}" for each in at]
    kept = found.get("held_for_it") or 0
    told = ", ".join(words)
    return "; ".join(part for part in (told, f"{kept} kept for others" if kept else "") if part)


def granted_there(found: Broker | BrokerShown) -> str:
    """What we may do there by its last word; with the age of that where it is not linked, as it may hold no more."""
    verbs, at = found["grants"]["to_us"], found["grants"].get("to_us_at")
    if verbs is None:
        return "unknown"
    age = f" (as of {ages.since(at)} ago)" if at and found["link"] is None else ""
    return (", ".join(verbs) or "nothing") + age
