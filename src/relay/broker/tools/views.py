"""Calls, tools and shares as JSON answers show them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from relay.broker.members import Members
from relay.broker.tools.hosting import Hosting
from relay.broker.tools.line import Line
from relay.broker.tools.programs import Programs
from relay.broker.tools.progress import Progress
from relay.broker.tools.rights import is_shared
from relay.broker.words import rfc3339
from relay.core.ids import BrokerId
from relay.core.offers import Offer, clashes, fitting
from relay.core.states import IN_HAND, State
from relay.store import call_rows, offers
from relay.store.call_rows import CallRow
from relay.store.engine import Store
from relay.store.offers import Offered, Share

LEFT_OUT = "told to nobody: one list cannot carry all that is shared here; share fewer with --only"
_PHRASES: dict[State, str] = {
    State.DELIVERED: "{target} has it and has not said more yet.",
    State.WAITING: "Waiting on {target}: {reason}.",
    State.STARTING: "Given to its program on {target}.",
    State.RUNNING: "Running on {target}.",
    State.COMPLETED: "Done on {target}.",
    State.FAILED: "Failed on {target}: {reason}.",
    State.TIMED_OUT: "Timed out on {target}: {reason}.",
    State.CANCELLED: "Stopped: {reason}.",
    State.REJECTED: "Refused by {target}: {reason}.",
    State.EXPIRED: "Expired: {reason}.",
    State.LOST: "Lost on {target}: {reason}.",
}


class ToolViews:
    """Makes the documents.

    Args:
        members: names.
        store: what is read.
        programs, progress, line, hosting: as in `room`.
        absence: why a broker cannot be reached, in words; empty where it can.
    """

    def __init__(
        self,
        members: Members,
        store: Store,
        programs: Programs,
        progress: Progress,
        line: Line,
        hosting: Hosting,
        absence: Callable[[BrokerId], str],
    ) -> None:
        self._members = members
        self._store = store
        self._programs = programs
        self._progress = progress
        self._line = line
        self.hosting = hosting
        self._absence = absence

    # calls

    async def listed(self, limit: int) -> list[dict[str, Any]]:
        """The calls that are known here, newest first, without their results."""
        rows = await self._store.all(call_rows.NEWEST, limit=limit)
        return [self.call(row) | {"result": None} for row in rows]

    def call(self, row: CallRow) -> dict[str, Any]:
        """One call."""
        told = row.at is not None or row.target == self._members.own
        reason = self._reason(row)
        return {
            "id": row.id,
            "tool": row.tool,
            "broker": self._members.label(row.target),
            "origin": self._members.label(row.origin),
            "requested_by": row.requested_by,
            "chain": list(row.chain),
            "state": str(row.state),
            "reason": reason,
            "since": rfc3339(row.since),
            "created": rfc3339(row.created),
            "started": rfc3339(row.started),
            "ended": rfc3339(row.ended),
            "stop_requested": rfc3339(row.stop_requested),
            "timeout_s": row.timeout_s,
            "progress": self._progress.of(row),
            "outcome": None if row.outcome is None or row.state is State.CANCELLED else str(row.outcome),
            "result": None if row.result is None else json.loads(row.result),
            "error": row.error,
            "truth": {
                "from": row.target if told else self._members.own,
                "at": rfc3339(row.at if row.at is not None else row.since),
            },
            "spoken": self._spoken(row, reason),
        }

    def _reason(self, row: CallRow) -> str:
        if row.state is State.QUEUED and not row.reason:
            return self._absence(row.target) or f"on its way to {self._members.name(row.target)}"
        return row.reason

    def _spoken(self, row: CallRow, reason: str) -> str:
        target = self._members.name(row.target)
        if row.is_live and row.stop_requested is not None:
            absence = self._absence(row.target)
            return f"Stop queued: {absence}." if absence else f"Being stopped on {target}."
        if row.state is State.QUEUED:
            if absence := self._absence(row.target):
                return f"Queued: {absence}; it starts when {target} is back."
            return f"Sent to {target}; no word yet."
        absent = row.state in IN_HAND and reason
        text = _PHRASES[row.state].format(target=target, reason=reason.rstrip(".") or "no reason was given")
        return f"{text[:-1]}: {reason}." if absent else text

    # tools

    async def tools(self) -> dict[str, Any]:
        """The runners of this broker, and what others offer."""
        shares, hidden = await self._store.all(offers.SHARES), set(await self._store.all(offers.HIDDEN))
        own = await self._store.all(offers.ALL)
        heard = [each for each in await self._store.all(offers.HEARD) if self._members.keys(each.broker) is not None]
        told = [(each.broker, offer) for each in heard for offer in each.offers]
        visible = [each.offer for each in own if is_shared(each, shares)]
        fit = {offer.name for offer in await asyncio.to_thread(fitting, visible)}
        listed = [self._own(each, shares, fit) for each in own]
        listed += [self._told(broker, offer, hidden) for broker, offer in told]
        seen = [(broker, offer) for broker, offer in told if not _is_hidden(broker, offer, hidden)]
        return {"tools": listed, "clashes": clashes(seen)}

    def _own(self, offered: Offered, shares: list[Share], fit: set[str]) -> dict[str, Any]:
        by = offered.share if offered.kind == "mcp" else None
        # a host that is connected may have lost the server of one of its shares
        served = self._programs.get(offered.program) is not None and (by is None or self.hosting.serves(by))
        trouble = "" if served or by is None else self.hosting.trouble(by)
        shared = is_shared(offered, shares)
        left_out = shared and offered.name not in fit
        return self._tool(self._members.own, offered.offer) | {
            "here": True,
            "shared": shared,
            "served": served,
            "hidden": False,
            "reason": (LEFT_OUT if left_out else "") if served else trouble or self._line.absence(offered),
        }

    def _told(self, broker: BrokerId, offer: Offer, hidden: set[tuple[str, BrokerId | None]]) -> dict[str, Any]:
        return self._tool(broker, offer) | {
            "here": False,
            "shared": True,
            "served": None,
            "hidden": _is_hidden(broker, offer, hidden),
            "reason": self._absence(broker),
        }

    def _tool(self, broker: BrokerId, offer: Offer) -> dict[str, Any]:
        told = {"name": offer.name, "broker": self._members.label(broker), "kind": offer.kind, "share": offer.share}
        return told | {"definition": json.loads(offer.definition)}

    # shares

    async def shares(self) -> list[dict[str, Any]]:
        """What is shared here."""
        own = await self._store.all(offers.ALL)
        return [self.share(each, own) for each in await self._store.all(offers.SHARES)]

    def share(self, share: Share, own: list[Offered]) -> dict[str, Any]:
        """One share, with what it offers; of its environment the names alone."""
        mine = [each for each in own if each.name == share.runner or (share.command and each.share == share.name)]
        connected = any(self._programs.get(each.program) is not None for each in mine)
        running = self.hosting.serves(share.name) if share.command else connected
        trouble = self.hosting.trouble(share.name) if share.command else ""
        absent = "it has not offered anything yet" if not mine else self._line.absence(mine[0])
        return {
            "name": share.name,
            "command": None if share.command is None else list(share.command),
            "runner": share.runner,
            "only": list(share.chosen),
            "env": sorted(share.env),
            "created": rfc3339(share.created),
            "tools": [each.name for each in mine if is_shared(each, [share])],
            "running": running,
            "reason": trouble or ("" if running else absent),
        }


def _is_hidden(broker: BrokerId, offer: Offer, hidden: set[tuple[str, BrokerId | None]]) -> bool:
    return bool(hidden & {(offer.name, None), (offer.name, broker)})
