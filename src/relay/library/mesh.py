"""What a program asks of the mesh, by the broker of its machine."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal

from relay.api import made_up, routes, tool_routes
from relay.api.person import person
from relay.core.errors import Code, Misuse
from relay.library import given
from relay.library.answers import Answer, Called, Tool
from relay.library.asking import Asking
from relay.library.places import place
from relay.library.seen import Broker, Event, Standing, order_of
from relay.library.spawns import STREAM_PAUSE_S, Spawn
from relay.library.tickets import Ticket

if TYPE_CHECKING:
    from relay.api.aclient import AsyncClient
    from relay.api.tool_shapes import CallOrder

Mode = Literal["plan", "edit", "full"]
MS = 1000


class Mesh:
    """The mesh as the broker of this machine sees it. `relay.connect` makes one.

    Args:
        client: asks the broker.
        patience_s: for how long a broker that is away is waited for; None for ever.
    """

    def __init__(self, client: AsyncClient, patience_s: float | None) -> None:
        self._asking = Asking(client, patience_s)

    async def spawn(
        self,
        name: str,
        agent: str,
        task: str | Sequence[str],
        *,
        broker: str | None = None,
        cwd: str | None = None,
        repo: str | None = None,
        push: bool = False,
        push_to: str | None = None,
        mode: Mode | None = None,
        model: str | None = None,
        timeout: float | None = None,
        ttl: float | None = None,
        labels: Mapping[str, str] | None = None,
        after: Collection[str | Spawn] = (),
        after_any: Collection[str | Spawn] = (),
        not_before: float | None = None,
        priority: int | None = None,
        retries: int | None = None,
        collect: Collection[str] = (),
        memory: int | None = None,
        cpus: float | None = None,
        max_turns: int | None = None,
        stdin: bool = False,
        keep_awake: bool = False,
        notify: bool = False,
        operation: str | None = None,
    ) -> Spawn:
        """Have something run; returns once the request is durable, however far away its broker is.

        Args:
            name: what to call it; `-` has one made up.
            agent: what runs it, such as `claude`, `shell`, `exec`, or a runner of that broker.
            task: the words it gets; for `exec` the program and its arguments, one word each.
            broker: on which broker, by name or the beginning of its id; None for this machine.
            cwd: in which folder there; `new` for a fresh one. Here None is the folder that this program stands in.
            repo: in a fresh working tree of this repository, `URL[@REF]`, instead of a folder.
            push, push_to: push what it changed to that repository, or to another.
            mode: how much the agent may do: `plan`, `edit` or `full`.
            model: which model, by the agent's own name of it.
            timeout: seconds until it is ended.
            ttl: seconds until it need not be started any more.
            labels: at most 32 short texts by name.
            after: only when these have completed.
            after_any: only when these have ended, however.
            not_before: not before this moment, in seconds since 1970.
            priority: the higher starts first.
            retries: how often it is tried again where it failed.
            collect: patterns of files that it gives back.
            memory, cpus: limits, in bytes and in processors.
            max_turns: a limit of the agent's turns.
            stdin: keep its standard input open, for `send`.
            keep_awake: keep its machine from sleeping meanwhile.
            notify: have its end told to the channels of notifications.
            operation: names this request: the same one sent twice runs once. None for a fresh one.

        Raises:
            RelayError: it cannot be asked for, or was refused here.
        """
        named = routes.new_operation() if operation is None else given.text("the operation", operation)
        words = task if isinstance(task, str) and agent != "exec" else _words([task] if isinstance(task, str) else task)
        cwd, moment = given.maybe_text("the cwd", cwd), given.number("not_before", not_before)
        order = order_of(
            operation=named,
            name=made_up.name_of(agent, named) if name == "-" else name,
            agent=agent,
            task=words if isinstance(words, str) else " ".join(words),
            argv=[] if isinstance(words, str) else list(words),
            broker=broker,
            cwd=_folder(cwd, broker),
            caller_cwd=None if cwd else os.getcwd(),
            place=place(repo, push, push_to, cwd, broker),
            mode=mode,
            model=model,
            timeout_s=timeout,
            ttl_s=ttl,
            labels=given.table("the labels", labels),
            after=[_ref(each) for each in given.several("after", after)] or None,
            after_any=[_ref(each) for each in given.several("after_any", after_any)] or None,
            not_before=None if moment is None else _milliseconds(moment),
            priority=priority,
            retries=retries,
            collect=given.several("collect", collect) or None,
            memory=memory,
            cpus=cpus,
            max_turns=max_turns,
            stdin=stdin or None,
            keep_awake=keep_awake or None,
            notify=notify or None,
            requested_by=person(),
        )
        return self._handle(await self._asking.ask(routes.spawn(order)))

    def _handle(self, spawn: Any) -> Spawn:
        return Spawn(self._asking, Standing.of(spawn))

    async def get(self, ref: str) -> Spawn:
        """A spawn by its id, the beginning of it, its name, or `NAME@BROKER`.

        Raises:
            RelayError: there is none, or more than one.
        """
        return self._handle(await self._asking.ask(routes.show(given.text("the reference", ref, "relay ps"))))

    async def spawns(
        self,
        *,
        states: Collection[str] = (),
        broker: str | None = None,
        agent: str | None = None,
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
        limit: int | None = None,
    ) -> list[Spawn]:
        """Spawns, newest first; of each `last` is how it stands, without its result.

        Args:
            states: only those in one of these states or groups: `live`, `ended`, `failed`, `needs_you`. None for those
                that live and the last that ended.
            broker, agent: only theirs.
            name: only of this name; `*` stands for any letters.
            labels: only those that have all of these.
            limit: at most so many.

        Raises:
            RelayError: a filter cannot be used, or the broker is away.
        """
        import json

        words = {"broker": broker, "agent": agent, "name": name}
        filters: dict[str, object] = {key: given.maybe_text(f"the {key}", each) for key, each in words.items()}
        chosen, wanted = given.texts("the states", states), given.table("the labels", labels)
        filters |= {"states": ",".join(chosen) or None, "all": True if chosen else None}
        filters |= {"limit": given.whole("the limit", limit)}
        texts = {key: given.text("a label", each) for key, each in wanted.items()}
        filters["labels"] = json.dumps(texts) if texts else None
        found = await self._asking.ask(routes.listing(filters))
        return [self._handle(each) for each in found["spawns"]]

    async def call(
        self,
        tool: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        broker: str | None = None,
        timeout: float | None = None,
        ttl: float | None = None,
        operation: str | None = None,
    ) -> Answer:
        """Run a tool or runner once, and wait for what it comes to: `raise_for_state()` makes a failure an error.

        Arguments and errors as of `begin`.
        """
        named = {"broker": broker, "timeout": timeout, "ttl": ttl, "operation": operation}
        return await (await self.begin(tool, arguments, **named)).wait()  # type: ignore[arg-type]

    async def begin(
        self,
        tool: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        broker: str | None = None,
        timeout: float | None = None,
        ttl: float | None = None,
        operation: str | None = None,
    ) -> Ticket:
        """Have a tool or runner run once; returns once the call is durable, however far away its broker is.

        Args:
            tool: its name.
            arguments: a JSON object, at most 240 KiB.
            broker: which broker's, by name or the beginning of its id; None for this machine's where it has one of
                that name, or else for the one other's.
            timeout: seconds from its start until it is ended.
            ttl: seconds until it need not be started any more.
            operation: names this call: the same one made twice runs once. None for a fresh one.

        Raises:
            RelayError: it cannot be called, or was refused here.
        """
        order: CallOrder = {
            "tool": tool,
            "broker": broker,
            "arguments": given.table("the arguments", arguments, "give a dict; what is in it: relay tools"),
            "timeout_s": timeout,
            "ttl_s": ttl,
            "requested_by": person(),
        }
        return Ticket(self._asking, Called.of(await self._asking.ask(tool_routes.call(order, operation))))

    async def ticket(self, id: str) -> Ticket:
        """A call that was made before, by its id.

        Raises:
            RelayError: there is none.
        """
        known = given.text("the id", id, "relay tools calls")
        return Ticket(self._asking, Called.of(await self._asking.ask(tool_routes.call_shown(known))))

    async def tools(self) -> list[Tool]:
        """The tools and runners that can be called from here, this broker's own among them.

        Raises:
            RelayError: the broker of this machine is away.
        """
        return [Tool.of(each) for each in (await self._asking.ask(tool_routes.tools()))["tools"]]

    async def brokers(self) -> list[Broker]:
        """The members of the workspace, this machine's first.

        Raises:
            RelayError: the broker of this machine is away.
        """
        return [Broker.of(each) for each in await self._asking.ask(routes.brokers())]

    async def last_event(self) -> int:
        """The number of the last event: `events` goes on behind it.

        Raises:
            RelayError: the broker of this machine is away.
        """
        return (await self._asking.ask(routes.listing({"limit": 1})))["seq"]

    async def events(self, since: int | None = None, kinds: Collection[str] = ()) -> AsyncGenerator[Event, None]:
        """What happens, for ever; over a restart of the broker it goes on behind the last one that was given out.

        Args:
            since: behind this number; None for what happens from the first `anext` on.
            kinds: only these, such as `spawn.state`; and `reset`, where events are no longer kept. None for all.

        Raises:
            RelayError: the broker of this machine is away for too long.
        """
        wanted = given.texts("the kinds", kinds)
        at = await self.last_event() if since is None else given.whole("since", since)
        while True:
            async with aclosing(self._asking.lines(lambda at: routes.events(at, follow=True), at, "seq")) as lines:
                async for line in lines:
                    at = line.get("seq", at)
                    if not wanted or line["kind"] in wanted or line["kind"] == "reset":
                        yield Event.of(line)
            await asyncio.sleep(STREAM_PAUSE_S)  # the broker that told them was stopped


def _folder(cwd: str | None, broker: str | None) -> str | None:
    """A folder of this machine becomes absolute; one of another machine is that machine's to resolve."""
    if cwd is None or broker is not None or cwd == "new":
        return cwd
    return os.path.abspath(os.path.expanduser(cwd))


def _words(task: Sequence[str]) -> list[str]:
    if isinstance(task, bytes) or not isinstance(task, Iterable):
        raise given.unfit("the task", "a text, or a list of words", task, "make it a text: str(...)", Code.BAD_TASK)
    words = list(task)
    odd = next((each for each in words if not isinstance(each, str)), None)
    if odd is None:
        return words
    why = f"each word is a text, and one is of the type {type(odd).__name__}"
    raise Misuse("the task cannot be used", code=Code.BAD_TASK, why=why, hint="make it a text: str(...)")


def _milliseconds(moment: float) -> int:
    if math.isfinite(moment):
        return int(moment * MS)
    raise Misuse("not_before cannot be used", why="it is a moment, in seconds since 1970", hint="time.time() + 60")


def _ref(spawn: str | Spawn) -> str:
    if isinstance(spawn, Spawn):
        return spawn.id
    if given.text("a reference to a spawn", spawn, "relay ps"):
        return spawn
    raise Misuse("it comes after no spawn", code=Code.BAD_AFTER, why="a reference is empty", hint="relay ps")
