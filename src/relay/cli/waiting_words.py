"""What waits for a broker, in the words of `relay brokers` and `relay broker show`."""

from __future__ import annotations

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
