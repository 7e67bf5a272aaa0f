"""How many envelopes wait for each broker, and where: here, with holders, or kept here for others."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from relay.broker.members import Members
from relay.core.ids import BrokerId
from relay.store import held, outbox
from relay.store.engine import Store

NOTHING: dict[str, Any] = {"outbox": 0, "outbox_at": [], "held_for_it": 0}


async def waiting_rows(store: Store, members: Members) -> dict[BrokerId, dict[str, Any]]:
    """What waits, by the broker it waits for; of one that is not named nothing does (`NOTHING`).

    Args:
        store: the outbox, and what is kept for others.
        members: names of the holders.

    Returns:
        `outbox`: this broker's own that have no receipt yet, wherever they are; `outbox_at`: how many of these each
        holder keeps; `held_for_it`: how many of others this broker keeps for it.
    """
    found: dict[BrokerId, dict[str, Any]] = defaultdict(lambda: NOTHING | {"outbox_at": []})
    for recipient, count in await store.all(outbox.WAITING):
        found[recipient]["outbox"] = count
    for recipient, holder, count in await store.all(outbox.WAITING_AT):
        found[recipient]["outbox_at"].append(members.label(holder) | {"envelopes": count})
    for recipient, count in await store.all(held.KEPT_FOR):
        found[recipient]["held_for_it"] = count
    return dict(found)
