"""The audit log for clients: its latest entries, all of it as lines, and whether it is whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from relay.broker.control.answers import json_answer, line, stream
from relay.broker.views import audit_lines
from relay.broker.words import rfc3339
from relay.core.errors import Misuse
from relay.store import audit, events

if TYPE_CHECKING:
    from relay.broker.broker import Broker

Endpoint = Callable[[Request], Awaitable[Response]]
PAGE = 500
LATEST = 100
ENTRY = "audit.entry"


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name) or None
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise Misuse(f"{name} is no number", hint="relay audit show --help")
    return int(text)


class AuditControl:
    """The endpoints over one broker.

    Args:
        broker: whose log.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    @property
    def routes(self) -> list[tuple[str, str, Endpoint]]:
        """Method, path and endpoint of each."""
        return [("GET", "audit", self.latest), ("GET", "audit/lines", self.lines), ("GET", "audit/verify", self.verify)]

    async def latest(self, request: Request) -> Response:
        """The last entries, oldest first."""
        limit = _number(request, "limit")
        rows = await self._broker.store.all(audit.NEWEST, limit=LATEST if limit is None else limit)
        return json_answer(audit_lines(rows, self._broker.members))

    async def lines(self, request: Request) -> Response:
        """Entries after a number, one a line; with `follow` those to come as well, and without a number only those."""
        since, follow = _number(request, "since"), request.query_params.get("follow", "0") in ("1", "true")
        if since is None:
            since = self._broker.auditor.head.seq if follow else 0
        return await stream(self._lines(since, follow), at_once=follow)

    async def _lines(self, since: int, follow: bool) -> AsyncIterator[bytes]:
        newest = await self._broker.store.one(events.HIGHEST) or 0  # before the entries: none falls in between
        async for seq, each in self._pages(since):
            since = seq
            yield each
        if not follow:
            return
        async for event in self._broker.events(newest, True):
            if event.kind not in (ENTRY, "reset"):
                continue
            async for seq, each in self._pages(since):
                since = seq
                yield each

    async def _pages(self, since: int) -> AsyncIterator[tuple[int, bytes]]:
        while rows := await self._broker.store.all(audit.SINCE, seq=since, limit=PAGE):
            for shown in audit_lines(rows, self._broker.members):
                yield shown["seq"], line(shown)
            since = rows[-1].seq

    async def verify(self, request: Request) -> Response:
        """Whether the chain holds, and whether it has all that other brokers saw of it."""
        auditor, label = self._broker.auditor, self._broker.members.label
        entries, head, bad = await auditor.verify()
        held = [{"broker": label(peer), "seq": seq, "ok": ok} for peer, seq, ok in auditor.heads.held]
        cut: list[dict[str, Any]] = [
            {"broker": label(peer), "seq": known.seq, "found": rfc3339(known.cut)}
            for peer, known in auditor.heads.cut_elsewhere.items()
        ]
        whole = bad is None and all(each["ok"] for each in held)
        chain = {"ok": whole, "entries": entries, "head": head.hash.hex(), "bad_seq": bad}
        return json_answer(chain | {"held_by": held, "cut_elsewhere": cut})
