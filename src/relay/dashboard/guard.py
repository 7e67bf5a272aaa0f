"""The control API as a device may use it: who asks by token, what it may by the scope of the route."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from starlette.routing import BaseRoute, Match, Route

from relay.broker.auditor import ALLOWED, REFUSED, Auditor, Decision
from relay.broker.control.catalogue import LIVE, PREFIX, SCOPE_OF
from relay.broker.control.failing import error_answer
from relay.broker.control.push import DEVICE
from relay.broker.devices import Devices, actor
from relay.core.errors import Code, Refused
from relay.store.devices import Device
from relay.store.journal import Journal

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

BEARER = "Bearer "
_log = logging.getLogger(__name__)


def no_token(why: str) -> Refused:
    """The error for who shows no token that is good."""
    hint = "on the machine of this broker: relay dashboard"
    return Refused("this browser may not open the dashboard", code=Code.NO_TOKEN, why=why, hint=hint)


def bearer(scope: Scope) -> str:
    """The token that a request shows; empty for none."""
    shown = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
    return shown[0].removeprefix(BEARER) if len(shown) == 1 and shown[0].startswith(BEARER) else ""


class Guard:
    """Lets devices have of the control API what they may.

    Args:
        routes: the routes of the API, by which is found which one a request means.
        application: the API.
        devices: who may ask.
        journal, auditor: write down what was asked for.
    """

    def __init__(
        self, routes: Starlette, application: ASGIApp, devices: Devices, journal: Journal, auditor: Auditor
    ) -> None:
        self._routes = routes.routes
        self._application = application
        self._devices = devices
        self._journal = journal
        self._auditor = auditor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        try:
            device = self._device(scope)
            name = await self._require(device, scope)
        except Refused as refusal:
            await error_answer(refusal)(scope, receive, send)
            return
        await self._devices.note_use(device)
        scope = {**scope, DEVICE: device}
        if name[0] != "GET" and name not in LIVE:
            # begun, it is carried out: what it has done cannot be cut off. It begins once all of it is there
            await self._application(scope, self._while_allowed(device, receive), send)
            return
        await self._until_revoked(device, scope, receive, send)

    def _device(self, scope: Scope) -> Device:
        device = self._devices.of_token(bearer(scope))
        if device is None:
            raise no_token("it showed no token, or one that was revoked")
        return device

    async def _require(self, device: Device, scope: Scope) -> tuple[str, str]:
        name = route_of(self._routes, scope)
        needed = SCOPE_OF.get(name) if name else None
        asked = f"{scope['method']} {scope['path']}"[:200]
        if name is None or needed is None or needed not in device.scopes:
            why = f"it needs the scope {needed}" if needed else "it is not asked for by a browser"
            hint = f"relay dashboard --scopes {','.join((*device.scopes, needed or ''))}".rstrip(",")
            refusal = Refused("this device may not do that", code=Code.NO_SCOPE, why=why, hint=hint)
            await self._note(Decision(actor(device), "dashboard", REFUSED, str(refusal.code), asked))
            raise refusal
        if name[0] != "GET":
            await self._note(Decision(actor(device), "dashboard", ALLOWED, "", asked))
        return name

    async def _note(self, decision: Decision) -> None:
        await self._journal.commit(lambda entry: self._auditor.write(entry, decision))

    def _while_allowed(self, device: Device, receive: Receive) -> Receive:
        """What a device sends, unless it is revoked before it has sent it all: an order half said is none."""

        async def receiving() -> Message:
            with self._devices.watching(device) as gone:
                message = await receive()
            if gone.is_set() and message["type"] == "http.request":
                raise no_token("it was revoked")
            return message

        return receiving

    async def _until_revoked(self, device: Device, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer until the end, or until the device may see no more."""
        sent = _Sent(send)
        with self._devices.watching(device) as gone:
            answering = asyncio.ensure_future(self._application(scope, receive, sent))
            leaving = asyncio.ensure_future(gone.wait())
            try:
                await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
            finally:
                was_cut = not answering.done()
                leaving.cancel()
                answering.cancel() if was_cut else None
                await asyncio.gather(answering, leaving, return_exceptions=True)
        if was_cut:
            await sent.end(scope, receive)
        elif not answering.cancelled() and (fault := answering.exception()):
            raise fault


class _Sent:
    """Remembers how far an answer has come, so that one that is cut off ends as answers do."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = self._ended = False

    async def __call__(self, message: Message) -> None:
        self._begun = True
        self._ended = message["type"] == "http.response.body" and not message.get("more_body", False)
        await self._send(message)

    async def end(self, scope: Scope, receive: Receive) -> None:
        """End it now."""
        if not self._begun:
            await error_answer(no_token("it was revoked"))(scope, receive, self._send)
        elif not self._ended:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def route_of(routes: Sequence[BaseRoute], scope: Scope) -> tuple[str, str] | None:
    """Method and path, as the catalogue has them, of the route that a request would be given to; None for none."""
    for route in routes:
        match, _ = route.matches(scope)
        if match is Match.FULL and isinstance(route, Route):
            return "GET" if scope["method"] == "HEAD" else scope["method"], route.path.removeprefix(PREFIX)
    return None
