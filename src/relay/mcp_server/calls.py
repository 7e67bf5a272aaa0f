"""What the tools do: requests to the broker of this machine, and its answers as the schemas have them."""

from __future__ import annotations

import base64
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from relay.api import person_routes, queue_routes, routes
from relay.api.durations import parse
from relay.api.person import person
from relay.core.errors import Code, Misuse, Unreachable
from relay.core.plain import Plain
from relay.core.states import TERMINAL, State
from relay.library.asking import Asking
from relay.mcp_server.shared_calls import AWAY_S
from relay.mcp_server.spoken import next_step, spoken
from relay.mcp_server.waits import Waits

if TYPE_CHECKING:
    from relay.api.aclient import AsyncClient
    from relay.api.broker_shapes import Broker
    from relay.api.person_shapes import AnswerOrder
    from relay.api.shapes import LogLine, Spawn, SpawnOrder

Tell = Callable[[float, float | None, str], Awaitable[None]]
"""Tells the client of progress: how far, of how much, in words."""
ONE_WAIT_S = 2.0
TAIL = 100
MAX_TEXT = 100_000
LIST = 50
ANSWER_S = 10.0
Arguments = dict[str, Any]


def _place(repo: str | None, cwd: str | None, broker: str | None) -> Any:
    if repo is None:
        return None
    from relay.library.places import place  # at the first of its kind: the client waits for our start

    return place(repo, False, None, cwd, broker)


def agent(spawn: Spawn) -> dict[str, Any]:
    """A spawn as the tools give it."""
    state, needs, result, error = State(spawn["state"]), spawn["needs"], spawn["result"], spawn["error"]
    truth = spawn["truth"]
    given: dict[str, Any] = {
        "id": spawn["id"],
        "name": spawn["name"],
        "broker": spawn["broker"]["name"],
        "cli": spawn["agent"],
        "state": str(state),
        "ended": state in TERMINAL,
        "spoken": spoken(spawn),
        "next": next_step(spawn),
        "reason": spawn["reason"],
        "truth_at": truth["at"] if truth else None,
    }
    if needs:
        given |= {"question": needs["text"], "request": needs["request"]}
    if result:
        given |= {"summary": result["summary"], "exit_code": spawn["exit_code"], "branch": result.get("branch")}
    if error:
        given["error"] = f"{error['message']} Try: {error['hint']}" if error.get("hint") else error["message"]
    return given


class Calls:
    """The tools over one broker.

    Args:
        client: the broker's.
        folder: where the client of the tools stands: what is local starts there unless it says otherwise.

    Attributes:
        waits: shares the client's connections.
    """

    def __init__(self, client: AsyncClient, folder: str | None) -> None:
        self._client = client
        self._asking = Asking(client, AWAY_S)
        self.waits = Waits()
        self._folder = folder
        self._by_name: dict[str, Callable[[Arguments, Tell], Awaitable[dict[str, Any]]]] = {
            "agent.add": self._add,
            "agent.list": self._list,
            "agent.get": self._get,
            "agent.wait": self._wait,
            "agent.logs": self._logs,
            "agent.result": self._result,
            "agent.send": self._send,
            "agent.approve": self._approve,
            "agent.continue": self._continue,
            "agent.stop": self._stop,
            "broker.list": self._brokers,
        }

    async def call(self, name: str, arguments: Arguments, tell: Tell) -> dict[str, Any]:
        """What a tool gives; the arguments fit its schema.

        Raises:
            RelayError: why there is nothing.
        """
        return await self._by_name[name](arguments, tell)

    async def _add(self, given: Arguments, tell: Tell) -> dict[str, Any]:
        operation, cli = routes.new_operation(), given["cli"]
        if cli == "exec":
            why = "exec takes words, and this tool has a text"
            raise Misuse("exec cannot be started by this tool", code=Code.BAD_TASK, why=why, hint="take cli shell")
        cwd, broker = given.get("cwd"), given.get("broker")
        found = _place(given.get("repo"), cwd, broker)
        order: SpawnOrder = {
            "operation": operation,
            "name": f"{cli}-{operation[:8]}" if given["name"] == "-" else given["name"],
            "agent": cli,
            "task": given["task"],
            "argv": [],
            "broker": broker,
            "cwd": cwd,
            "caller_cwd": None if cwd or found else self._folder,
            "mode": given.get("mode"),
            "model": given.get("model"),
            "timeout_s": parse(given["timeout"]) if given.get("timeout") else None,
            "labels": {},
            "requested_by": person(),
        }
        if found is not None:
            order["place"] = found
        spawn = await self._asking.ask(routes.spawn(order))
        return agent(await self._until_ended(spawn, given.get("wait", 0), tell))

    async def _until_ended(self, asked: Spawn, seconds: float, tell: Tell) -> Spawn:
        """The spawn once it has ended or needs a person, or after so many seconds; each change is told."""
        began, spawn = time.monotonic(), asked
        said = ""
        while not _is_decided(spawn) and (left := began + seconds - time.monotonic()) > 0:
            if (now := spoken(spawn)) != said:
                said = now
                await tell(time.monotonic() - began, seconds, said)
            try:
                spawn = await self._looked(spawn["id"], min(ONE_WAIT_S, left))
            except Unreachable as fault:
                if fault.code is not Code.NOT_RUNNING:
                    raise
                return spawn  # it is durable: an error would read as if it had not been asked for
        return spawn

    async def _looked(self, spawn: str, wait_s: float) -> Spawn:
        return await self.waits.look(self._asking, lambda seconds: routes.wait(spawn, seconds), wait_s)

    async def _list(self, given: Arguments, tell: Tell) -> dict[str, Any]:
        limit = given.get("limit", LIST)
        filters: dict[str, object] = {"broker": given.get("broker"), "limit": limit}
        if given.get("states"):
            filters |= {"states": ",".join(given["states"]), "all": True}
        found = await self._asking.ask(routes.listing(filters))
        more = max(0, found["matched"] - len(found["spawns"]))
        return {"agents": [agent(each) for each in found["spawns"]], "more": more}

    async def _get(self, given: Arguments, tell: Tell) -> dict[str, Any]:
        return agent(await self._shown(given["id"]))

    async def _wait(self, given: Arguments, tell: Tell) -> dict[str, Any]:
        spawn = await self._shown(given["id"])
        return agent(await self._until_ended(spawn, given.get("seconds", 60), tell))

    async def _shown(self, ref: str) -> Spawn:
        shown: Any = await self._asking.ask(routes.show(ref))
        spawn: Spawn = shown
        return spawn

    async def _logs(self, given: Arguments, tell: Tell) -> dict[str, Any]:
        spawn = await self._shown(given["id"])
        plain, text, cut = Plain(), b"", False
        async for line in self._client.lines(routes.log(spawn["id"], tail=given.get("tail", TAIL))):
            if line["stream"] in ("out", "err"):
                text += plain.feed(_bytes_of(line))
                # a line has no longest length: only the end of it all is kept
                text, cut = text[-MAX_TEXT:], cut or len(text) > MAX_TEXT
        return {"id": spawn["id"], "text": (text + plain.end()).decode("utf-8", "replace"), "cut": cut}

    async def _result(self, given: Arguments, tell: Tell) -> dict[str, Any]:
        spawn = await self._shown(given["id"])
        result: dict[str, Any] = dict(spawn["result"] or {})
        nothing = {"output_tail": "", "usage": {}, "files": []}
        return {"agent": agent(spawn)} | {key: result.get(key) or nothing[key] for key in nothing}

    async def _send(self, given: Arguments, tell: Tell) -> dict[str, Any]:
        return await self._answer(given, "send", given["text"])

    async def _approve(self, given: Arguments, tell: Tell) -> dict[str, Any]:
        return await self._answer(given, "approve" if given["allow"] else "deny", given.get("reason", ""))

    async def _answer(self, given: Arguments, verb: str, text: str) -> dict[str, Any]:
        order: AnswerOrder = {"spawn": given["id"], "verb": verb, "text": text, "wait_s": ANSWER_S}
        order["requested_by"] = person()
        if given.get("request") is not None:
            order["request"] = given["request"]
        done = await self._asking.ask(person_routes.answer(order))
        return {"spoken": done["said"] or "Asked; no answer yet.", "accepted": done["accepted"]}

    async def _continue(self, given: Arguments, tell: Tell) -> dict[str, Any]:
        spawn = await self._asking.ask(queue_routes.go_on(given["id"], given["task"]))
        if spawn["steer"]["state"] != "done":
            broker = spawn["steer"]["broker"]["name"]
            return agent(spawn) | {"spoken": f"Asked of {broker}, which has not answered yet: it goes on when it has."}
        return agent(await self._until_ended(spawn, given.get("wait", 0), tell))

    async def _stop(self, given: Arguments, tell: Tell) -> dict[str, Any]:
        stopped = await self._asking.ask(routes.stop(given["id"]))
        waits = stopped["stop"]["state"] in ("stopped", "asked")
        return agent(await self._until_ended(stopped, ANSWER_S, tell) if waits else stopped)

    async def _brokers(self, given: Arguments, tell: Tell) -> dict[str, Any]:
        return {"brokers": [_broker(each) for each in await self._asking.ask(routes.brokers())]}


def _is_decided(spawn: Spawn) -> bool:
    state = State(spawn["state"])
    return state in TERMINAL or state in (State.HELD, State.NEEDS_INPUT)


def _bytes_of(line: LogLine) -> bytes:
    raw = line.get("raw")
    return line["data"].encode("utf-8", "surrogateescape") if raw is None else base64.b64decode(raw)


def _broker(found: Broker) -> dict[str, Any]:
    name = found["name"]
    if found["self"]:
        said, may = f"{name} is this machine.", None
    else:
        may = found["grants"]["to_us"]
        allowed = "nothing is known of what it allows" if may is None else f"it allows {', '.join(may) or 'nothing'}"
        said = f"{name} {_presence(found)}; {allowed}."
    return {
        "name": name,
        "self": found["self"],
        "online": found["online"],
        "agents": found["agents"],
        "may": may,
        "spoken": said,
    }


def _presence(found: Broker) -> str:
    if found["online"]:
        return "is online"
    seen = f", last seen {found['last_seen']}" if found["last_seen"] else ""
    return f"{ {'asleep': 'is asleep', 'down': 'is stopped'}.get(found.get('presence') or '', 'is out of reach')}{seen}"
