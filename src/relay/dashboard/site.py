"""What a request is for, once it is known to be for us."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from starlette.requests import Request

from relay.api.neighbours import comes_from_another_user
from relay.broker.control.answers import OTHER_VERSION, json_answer
from relay.broker.control.failing import error_answer
from relay.core.errors import Misuse, RelayError
from relay.core.scopes import TERMINAL, VIEW
from relay.dashboard.armour import FRAME, NOTHING, WORKER, WORKERS, armoured, policy
from relay.dashboard.hosts import Hosts, require_origin
from relay.dashboard.openapi import document
from relay.dashboard.terminal import Terminal, spawn_of

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from relay.dashboard.feed import Feed
    from relay.dashboard.frame import Frame
    from relay.dashboard.pages import Pages
    from relay.dashboard.session import Sessions
    from relay.dashboard.sockets import Sockets

API, EVENTS, SESSION, DESCRIPTION = "/api/", "/events", "/session", "/openapi.json"
LOOKING = ("GET", "HEAD")
NOT_FOUND = 404


class Site:
    """The dashboard's server as one application.

    Args:
        hosts: the names that it goes by.
        pages: the files of the page.
        sessions: makes devices.
        api: the control API, guarded.
        sockets: lets devices talk.
        feed: the socket of events.
        terminal: the sockets of tasks.
        frame: what shows them on the page.
    """

    def __init__(
        self,
        hosts: Hosts,
        pages: Pages,
        sessions: Sessions,
        api: ASGIApp,
        sockets: Sockets,
        feed: Feed,
        terminal: Terminal,
        frame: Frame,
    ) -> None:
        self._hosts = hosts
        self._pages = pages
        self._sessions = sessions
        self._api = api
        self._sockets = sockets
        self._feed = feed
        self._terminal = terminal
        self._frame = frame

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or one socket."""
        try:
            origin = self._hosts.origin_of(scope["headers"])
        except RelayError as error:
            await _refuse(error, scope, receive, armoured(send, NOTHING))
            return
        if scope["type"] == "http" and scope["path"] == FRAME and scope["method"] in LOOKING:
            await self._show_frame(origin, scope, receive, send)
            return
        sending = armoured(send, WORKERS if scope["path"] == WORKER else policy(origin))
        try:
            await self._serve(origin, scope, receive, sending)
        except (RelayError, _Nothing) as error:
            await _refuse(error, scope, receive, sending)

    async def _serve(self, origin: str, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            require_origin(scope["headers"], origin, given=True)
            await self._talk(scope, receive, send)
            return
        if scope["method"] not in LOOKING:
            require_origin(scope["headers"], origin, given=False)
        if scope["path"].startswith(API):
            await self._api(scope, receive, send)
            return
        answer = await self._answer(Request(scope, receive))
        await answer(scope, receive, send)

    async def _show_frame(self, origin: str, scope: Scope, receive: Receive, send: Send) -> None:
        """The one document with a policy of its own."""
        made = self._frame.made(origin)
        if made is None:
            await _refuse(_Nothing(scope), scope, receive, armoured(send, policy(origin)))
            return
        document, security = made
        await document(scope, receive, armoured(send, security))

    async def _talk(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_another_s = partial(comes_from_another_user, scope)
        if scope["path"] == EVENTS:
            listening = partial(self._feed.talk, receive=receive, send=send)
            await self._sockets.serve(VIEW, receive, send, listening, is_another_s)
        elif spawn := spawn_of(scope["path"]):
            attached = partial(self._terminal.talk, spawn, receive=receive, send=send)
            await self._sockets.serve(TERMINAL, receive, send, attached, is_another_s)
        else:
            raise _Nothing(scope)

    async def _answer(self, request: Request) -> Response:
        if request.url.path == SESSION and request.method == "POST":
            return await self._sessions.begin(request)
        if request.method in LOOKING:
            if request.url.path == DESCRIPTION:
                return json_answer(document())
            if (file := self._pages.answer(request)) is not None:
                return file
        raise _Nothing(request.scope)


class _Nothing(Exception):
    """There is nothing at that path.

    Args:
        scope: of the request.
    """

    def __init__(self, scope: Scope) -> None:
        super().__init__(f"{scope.get('method', 'WS')} {scope['path'][:80]}")


async def _refuse(error: RelayError | _Nothing, scope: Scope, receive: Receive, send: Send) -> None:
    if isinstance(error, _Nothing):
        nothing = Misuse("there is nothing of that name to ask for", why=str(error), hint=OTHER_VERSION)
        answer = error_answer(nothing, NOT_FOUND)
    else:
        answer = error_answer(error)
    await answer(scope, receive, send)
