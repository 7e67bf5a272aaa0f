"""The routes of the queue: what a person does with what waits, or has ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from relay.broker.control.answers import body_of, json_answer
from relay.broker.orders import check_operation, read_change
from relay.broker.steer_following import as_asked
from relay.broker.steering import Steered
from relay.broker.words import rfc3339
from relay.core.errors import Code, Misuse
from relay.store import queueing, steers
from relay.store.engine import Store
from relay.store.schedules import Schedule
from relay.store.spawn_rows import BY_ID, SpawnRow

if TYPE_CHECKING:
    from relay.broker.broker import Broker

Endpoint = Callable[[Request], Awaitable[Response]]
Show = Callable[[SpawnRow], Awaitable[dict[str, Any]]]


class QueueControl:
    """The endpoints over one broker's queue.

    Args:
        broker: carries out what is asked.
        show: one spawn as clients see it.
    """

    def __init__(self, broker: Broker, show: Show) -> None:
        self._broker = broker
        self._show = show

    @property
    def routes(self) -> list[tuple[str, str, Endpoint]]:
        """Method, path and endpoint of each."""
        return [
            *(("POST", f"spawns/{{ref}}/{verb}", self._marking(verb)) for verb in ("pause", "resume", "retry", "take")),
            ("POST", "spawns/{ref}/edit", self.edit),
            ("POST", "spawns/{ref}/continue", self.go_on),
            ("POST", "queue/pause", self._resting("pause_queue")),
            ("POST", "queue/resume", self._resting("resume_queue")),
            ("GET", "schedules", self.schedules),
            ("POST", "schedules", self.schedule),
            ("POST", "schedules/{ref}/remove", self.unschedule),
        ]

    def _marking(self, verb: str) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            return await self._steer(request, await body_of(request), verb, {})

        return endpoint

    async def edit(self, request: Request) -> Response:
        """`relay edit`."""
        body = await body_of(request)
        row = await self._broker.queueing.elsewhere.kept(request.path_params["ref"], "edit")
        body = await self._broker.queueing.predecessors.resolved(body, row.target)
        asked = await self._broker.store.all(steers.UNANSWERED, spawn=row.id)
        change = read_change(body, as_asked(row, asked), self._broker.journal.clock())
        return await self._steer(request, body, "edit", {"change": change})

    async def go_on(self, request: Request) -> Response:
        """`relay continue`."""
        body = await body_of(request)
        task = body.get("task")
        if not isinstance(task, str) or not task.strip():
            raise Misuse("go on with what?", code=Code.BAD_TASK, hint='relay continue ID "now fix the tests"')
        return await self._steer(request, body, "continue", {"task": task})

    async def _steer(self, request: Request, body: dict[str, Any], verb: str, content: dict[str, Any]) -> Response:
        operation, by = check_operation(body), _by(body)
        done = await self._broker.queueing.steering.spawn(request.path_params["ref"], verb, content, operation, by)
        assert done.row is not None
        return json_answer(await self._show(done.row) | {"steer": self._told(done, verb)})

    def _resting(self, verb: str) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            body = await body_of(request)
            broker = body.get("broker")
            if broker is not None and not isinstance(broker, str):
                raise Misuse(
                    "the broker cannot be read", why="it is a name, or the beginning of an id", hint="relay brokers"
                )
            done = await self._broker.queueing.steering.queue(broker, verb, check_operation(body), _by(body))
            return json_answer({"broker": self._broker.members.label(done.target)} | self._told(done, verb))

        return endpoint

    async def schedules(self, request: Request) -> Response:
        """`relay schedule list`."""
        everything = request.query_params.get("all", "0") in ("1", "true")
        found = await self._broker.queueing.scheduling.listing(everything, self._broker.journal.clock())
        return json_answer([self._schedule(each) for each in found])

    async def schedule(self, request: Request) -> Response:
        """`relay spawn --every`."""
        body = await body_of(request)
        every = body.get("every")
        if not isinstance(every, str):
            raise Misuse("how often?", code=Code.BAD_TIME, hint="--every 6h   or   --every '30 2 * * *'")
        order = await self._broker.ordered(body)
        made = await self._broker.queueing.steering.schedule(order, " ".join(every.split()))
        return json_answer(self._schedule(made), 201)

    async def unschedule(self, request: Request) -> Response:
        """`relay schedule remove`."""
        body = await body_of(request)
        ref = request.path_params["ref"]
        removed = await self._broker.queueing.steering.unschedule(ref, check_operation(body), _by(body))
        return json_answer(self._schedule(removed))

    def _schedule(self, schedule: Schedule) -> dict[str, Any]:
        label = self._broker.members.label
        following = schedule.next if schedule.state in ("asked", "active") else None
        times = {key: rfc3339(getattr(schedule, key)) for key in ("created", "last")} | {"next": rfc3339(following)}
        named = ("id", "name", "every", "state", "last_spawn", "runs", "skipped")
        plain = {key: getattr(schedule, key) for key in named}
        asked = {key: schedule.request[key] for key in ("agent", "task", "cwd", "labels")}
        ends = {"broker": label(schedule.target), "origin": label(schedule.origin)}
        return plain | ends | asked | times | {"error": schedule.error}

    def _told(self, done: Steered, verb: str) -> dict[str, Any]:
        return {"verb": verb, "state": done.state, "broker": self._broker.members.label(done.target)}


def _by(body: dict[str, Any]) -> str:
    return str(body.get("requested_by") or "somebody")[:100]


async def attempts_and_asked(store: Store, row: SpawnRow) -> dict[str, Any]:
    """What only `show` tells: earlier attempts, what was asked of the target, how its predecessors stand."""
    tries = await store.all(queueing.TRIES, spawn=row.id)
    asked = await store.all(steers.OF_SPAWN, spawn=row.id)
    return {
        "attempts": [_attempt(each) for each in tries],
        "asked": [
            {"verb": each.verb, "at": rfc3339(each.at), "error": each.error} for each in asked if each.error != {}
        ],
        "after": await _before(store, row),
    }


async def _before(store: Store, row: SpawnRow) -> list[dict[str, Any]]:
    """What it was to come after, as that stands: also where it ended before it was to wait for anything."""
    found = []
    for each in row.wishes.after:
        before = await store.one(BY_ID, id=each.spawn)
        stands = {"name": None, "state": None} if before is None else {"name": before.name, "state": before.state}
        found.append({"id": each.spawn, "condition": each.condition} | stands)
    return found


def _attempt(tried: queueing.Try) -> dict[str, Any]:
    times = {key: rfc3339(tried.outcome.get(key)) for key in ("started", "ended")}
    return {"attempt": tried.n, "again": tried.asked or "retry", **tried.outcome, **times}

