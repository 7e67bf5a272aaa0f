"""The routes of the control API, as `relay.api.routes` calls them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from relay.api.raw_lines import MEDIA_TYPE
from relay.broker.control.answers import OTHER_VERSION
from relay.broker.control.answers import body_of as _body
from relay.broker.control.answers import json_answer as _json
from relay.broker.control.answers import line as _line
from relay.broker.control.answers import stream as _stream
from relay.broker.control.auditing import AuditControl
from relay.broker.control.blobs import BlobControl
from relay.broker.control.dashboard import DashboardControl
from relay.broker.control.ending import EndingControl
from relay.broker.control.failing import error_answer, on_no_text
from relay.broker.control.granting import GrantControl
from relay.broker.control.live import LiveControl
from relay.broker.control.looking import LookingControl
from relay.broker.control.notify import NotifyControl
from relay.broker.control.persons import PersonsControl
from relay.broker.control.push import PushControl
from relay.broker.control.qr import drawn
from relay.broker.control.queue import QueueControl, attempts_and_asked
from relay.broker.control.results import ResultControl, log_lines
from relay.broker.control.roster import RosterControl
from relay.broker.control.tasks import TaskScope, caller_of
from relay.broker.control.tools import ToolControl
from relay.broker.control.trees import TreeControl
from relay.broker.control.trials import TrialControl
from relay.broker.granting import Granting
from relay.broker.hub import DECISIVE
from relay.broker.orders import check_operation
from relay.broker.timeline import timeline
from relay.broker.views import result_view
from relay.broker.words import rfc3339
from relay.core.errors import Code, LocalFault, Misuse, RelayError
from relay.core.states import State
from relay.store.events import Event
from relay.store.outbox import KEEPER
from relay.store.spawn_rows import BY_ID, SpawnRow

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from relay.broker.broker import Broker

SPAWNS = "/api/v1/spawns/"
MAX_WAIT_S = 300.0
Endpoint = Callable[[Request], Awaitable[Response]]


async def _on_relay_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RelayError)
    return error_answer(error)


async def _on_no_route(request: Request, error: Exception) -> Response:
    """A path that is not ours: mostly a spawn's name that is empty or has a slash in it."""
    path = request.url.path
    ref = path.removeprefix(SPAWNS)
    if path.startswith(SPAWNS):
        return error_answer(Misuse(f"there is no spawn {ref[:80]!r}", code=Code.UNKNOWN_SPAWN, hint="relay ps --all"))
    return error_answer(
        Misuse("there is nothing of that name to ask for", why=f"{request.method} {path[:80]}", hint=OTHER_VERSION)
    )


async def _on_left(request: Request, error: Exception) -> Response:
    """Nobody reads this any more; it is no fault of ours that would belong into the log."""
    return error_answer(Misuse("the request is not whole", why="who sent it has left", hint=OTHER_VERSION))


async def _on_any_error(request: Request, error: Exception) -> Response:
    fault = LocalFault(
        "the broker met a fault of its own",
        code=Code.INTERNAL,
        why=type(error).__name__,
        hint="its log says more: broker.log in the home folder",
    )
    return error_answer(fault)


def _number(request: Request, name: str, default: float | None, most: float = 2**53) -> float | None:
    text = request.query_params.get(name)
    if text is None or text == "":
        return default
    try:
        value = float(text)
    except ValueError:
        raise Misuse(f"{name} is no number", hint=OTHER_VERSION) from None
    if not 0 <= value <= most:
        raise Misuse(f"{name} is out of range", why=f"it lies between 0 and {most:g}", hint=OTHER_VERSION)
    return value


def _count(request: Request, name: str, default: int | None) -> int | None:
    value = _number(request, name, default)
    return None if value is None else int(value)


def _flag(request: Request, name: str) -> bool:
    return request.query_params.get(name, "0") in ("1", "true")


def _seconds_to_wait(body: dict[str, Any]) -> float:
    seconds = body.get("wait_s") or 0
    if not isinstance(seconds, (int, float)) or not 0 <= seconds <= MAX_WAIT_S:
        raise Misuse("wait_s is out of range", why=f"it lies between 0 and {MAX_WAIT_S:g} seconds", hint=OTHER_VERSION)
    return float(seconds)


class Control:
    """The endpoints over one broker."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    # this broker

    async def status(self, request: Request) -> Response:
        return _json(await self._broker.status())

    async def settings(self, request: Request) -> Response:
        return _json(self._broker.settings())

    async def doctor(self, request: Request) -> Response:
        return _json(await self._broker.examine())

    async def identity_keep(self, request: Request) -> Response:
        check_operation(await _body(request))
        return _json({"was_stopped": await self._broker.keep_identity()})

    async def down(self, request: Request) -> Response:
        check_operation(await _body(request))
        self._broker.ask_to_stop()
        return _json({"stopping": True})

    async def brokers(self, request: Request) -> Response:
        return _json(await self._broker.brokers())

    async def broker_show(self, request: Request) -> Response:
        return _json(await self._broker.acquaintances.show(request.path_params["ref"]))

    async def broker_ping(self, request: Request) -> Response:
        check_operation(await _body(request))
        return _json(await self._broker.acquaintances.ping(request.path_params["ref"]))

    async def broker_rename(self, request: Request) -> Response:
        body = await _body(request)
        check_operation(body)
        return _json(await self._broker.acquaintances.rename(request.path_params["ref"], str(body.get("name", ""))))

    async def broker_forget(self, request: Request) -> Response:
        check_operation(await _body(request))
        return _json(await self._broker.acquaintances.forget(request.path_params["ref"]))

    # spawns

    async def spawn(self, request: Request) -> Response:
        body = await _body(request)
        seconds = _seconds_to_wait(body)
        caller = caller_of(request)
        order = await self._broker.ordered(body, caller)
        # watched before it is accepted, so that no end of it can be missed
        with self._broker.hub.watching(order.request.id) as watch:
            row = await self._broker.results.trees.spawn(self._broker.requests, order, caller)
            if seconds and row.id == order.request.id and row.state not in DECISIVE:
                row = await watch.next(seconds) or await self._now(row)
        if seconds and row.id != order.request.id:
            row = await self._decided(row, seconds)
        return _json(await self.shown(row), 201)

    async def shown(self, row: SpawnRow) -> dict[str, Any]:
        """One spawn as clients see it."""
        keeper = await self._broker.store.one(KEEPER, spawn=row.id) if row.state is State.QUEUED else None
        shown = self._broker.views.spawn(row, keeper, (await self._broker.queueing.reasons.of([row])).get(row.id, ""))
        return shown | {"result": result_view(await self._broker.results.files.shown(row))} if row.result else shown

    async def show(self, request: Request) -> Response:
        row = await self._found(request)
        beside = await attempts_and_asked(self._broker.store, row) | await self._broker.results.told(row)
        course = await timeline(self._broker.store, self._broker.members, row)
        return _json(await self.shown(row) | beside | course)

    async def _found(self, request: Request) -> SpawnRow:
        return await self._broker.queueing.elsewhere.find(request.path_params["ref"])

    async def wait(self, request: Request) -> Response:
        row = await self._found(request)
        seconds = _number(request, "seconds", 30.0, MAX_WAIT_S) or 0.0
        row = await self._decided(row, seconds)
        return _json(await self.shown(row))

    async def _decided(self, row: SpawnRow, seconds: float) -> SpawnRow:
        elsewhere = self._broker.queueing.elsewhere
        if not await elsewhere.is_known(row):
            return await elsewhere.until(row, DECISIVE, seconds)
        with self._broker.hub.watching(row.id) as watch:
            now = await self._now(row)
            return now if now.state in DECISIVE else await watch.next(seconds) or await self._now(row)

    async def _now(self, row: SpawnRow) -> SpawnRow:
        return await self._broker.store.one(BY_ID, id=row.id) or row

    async def log(self, request: Request) -> Response:
        offset, tail = _count(request, "offset", 0) or 0, _count(request, "tail", None)
        follow, since = _flag(request, "follow"), _count(request, "since", None)
        # whoever says where it stands has asked before, and waits for the task's broker to be back
        goes_on = follow and "offset" in request.query_params
        elsewhere, ref = self._broker.queueing.elsewhere, request.path_params["ref"]
        row = await (elsewhere.find_again(ref) if goes_on else elsewhere.find(ref))
        found = self._broker.results.transcripts.read(row, offset, tail, follow, since)
        if _flag(request, "bytes"):
            return await _stream(log_lines(found, as_bytes=True), reader=request, media_type=MEDIA_TYPE)
        return await _stream(log_lines(found), reader=request)

    # the mesh

    async def outbox(self, request: Request) -> Response:
        return _json(await self._broker.envelopes.listing())

    async def outbox_retry(self, request: Request) -> Response:
        body = await _body(request)
        return _json(await self._broker.envelopes.retry(body, check_operation(body)))

    async def outbox_drop(self, request: Request) -> Response:
        body = await _body(request)
        return _json(await self._broker.envelopes.drop(body, check_operation(body)))

    async def invites(self, request: Request) -> Response:
        body = await _body(request)
        ttl = body.get("ttl_s")
        # what is too long for an invite is refused with the most it may be; this is what cannot be counted at all
        if ttl is not None and (type(ttl) not in (int, float) or not 0 < ttl < 2**53):
            raise Misuse(
                "the ttl cannot be used", code=Code.BAD_DURATION, why="it is more than 0, in seconds", hint="--ttl 1h"
            )
        made = await self._broker.invite(check_operation(body), ttl, by_code=bool(body.get("code")))
        if body.get("qr") is True:
            words = made["link"] if "link" in made else f"{made['code']} {made['address']}"
            made |= {"qr": drawn(f"relay join {words}")}
        return _json(made)

    async def joins(self, request: Request) -> Response:
        body = await _body(request)
        check_operation(body)
        address, name = (body.get(key) if isinstance(body.get(key), str) else None for key in ("address", "name"))
        return _json(await self._broker.join(str(body.get("link", "")), address, name))

    async def person(self, request: Request) -> Response:
        """Nothing is done: a task has been refused before (`control/tasks.py`)."""
        check_operation(await _body(request))
        return _json({"person": True})

    async def grants_changed(self, request: Request) -> Response:
        check_operation(await _body(request))
        return _json(await self._broker.grants_changed())

    # what happened

    async def events(self, request: Request) -> Response:
        since = _count(request, "since", None)
        follow = _flag(request, "follow")
        found = self._broker.events(since, follow)
        return await _stream((_line(event_document(event)) async for event in found), at_once=follow)


def event_document(event: Event) -> dict[str, Any]:
    """An event as clients see it."""
    return event.data | {"seq": event.seq, "at": rfc3339(event.at), "kind": event.kind}


def application(broker: Broker) -> ASGIApp:
    """The control API of a broker, for persons and for its tasks."""
    return scoped(everything(broker), broker)


def scoped(routes: Starlette, broker: Broker) -> ASGIApp:
    """These routes, with what tasks ask for told apart from what persons do."""
    tools = broker.tools
    return TaskScope(routes, broker.tasks, broker.requests, tools.asking, tools.hosting, error_answer)


def everything(broker: Broker) -> Starlette:
    """Every route, for who judges by them before."""
    control = Control(broker)
    routes: list[tuple[str, str, Endpoint]] = [
        ("POST", "spawns", control.spawn),  # they are tried in this order
        ("GET", "status", control.status),
        ("GET", "settings", control.settings),
        ("GET", "doctor", control.doctor),
        ("POST", "down", control.down),
        ("POST", "identity/keep", control.identity_keep),
        ("GET", "brokers", control.brokers),
        ("GET", "brokers/{ref}", control.broker_show),
        ("POST", "brokers/{ref}/ping", control.broker_ping),
        ("POST", "brokers/{ref}/rename", control.broker_rename),
        ("POST", "brokers/{ref}/forget", control.broker_forget),
        ("GET", "spawns/{ref}", control.show),
        ("GET", "spawns/{ref}/wait", control.wait),
        ("GET", "spawns/{ref}/log", control.log),
        ("GET", "outbox", control.outbox),
        ("POST", "outbox/retry", control.outbox_retry),
        ("POST", "outbox/drop", control.outbox_drop),
        ("POST", "invites", control.invites),
        ("POST", "joins", control.joins),
        ("POST", "person", control.person),
        ("POST", "grants/changed", control.grants_changed),
        ("GET", "events", control.events),
        *LookingControl(broker).routes,
        *AuditControl(broker).routes,
        *BlobControl(broker.blobs.orders).routes,
        *ResultControl(broker).routes,
        *PersonsControl(broker.persons).routes,
        *QueueControl(broker, control.shown).routes,
        *EndingControl(broker, control.shown).routes,
        *TrialControl(broker).routes,
        *TreeControl(broker).routes,
        *RosterControl(broker.belonging).routes,
        *DashboardControl(broker).routes,
        *PushControl(broker).routes,
        *GrantControl(Granting(broker)).routes,
        *NotifyControl(broker).routes,
        *ToolControl(broker).routes,
    ]
    made = Starlette(
        routes=[
            *(Route(f"/api/v1/{path}", endpoint, methods=[method]) for method, path, endpoint in routes),
            *LiveControl(broker).routes,
            *ToolControl(broker).live,
        ],
        exception_handlers={
            RelayError: _on_relay_error,
            HTTPException: _on_no_route,
            ClientDisconnect: _on_left,
            UnicodeEncodeError: on_no_text,
            Exception: _on_any_error,
        },
    )
    made.router.redirect_slashes = False  # a spawn without a name is not the list of all
    return made
