"""What a person shares and hides here, as clients ask for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from relay.broker.auditor import Auditor, Decision
from relay.broker.members import Members
from relay.broker.orders import check_operation
from relay.broker.tools.programs import SHARE, Programs
from relay.broker.tools.views import ToolViews
from relay.core import json_values
from relay.core.errors import Code, Misuse
from relay.core.offers import is_runner_name, named_at
from relay.store import offers
from relay.store.journal import Entry, Journal
from relay.store.offers import Share

MOST_SHARES, MOST_CHOSEN, MOST_WORDS, MOST_ENV = 128, 512, 256, 128
MAX_WORD = 8_192
ACTION = "share"


class Sharing:
    """Carries out what a person decides of shares and hidden names.

    Args:
        members: names.
        journal: where it becomes durable.
        auditor: the audit log.
        programs, views: as in `room`.
        changed: called in the transaction in which what is offered here has changed.
    """

    def __init__(
        self,
        members: Members,
        journal: Journal,
        auditor: Auditor,
        programs: Programs,
        views: ToolViews,
        changed: Callable[[Entry], None],
    ) -> None:
        self._members = members
        self._journal = journal
        self._auditor = auditor
        self._programs = programs
        self._views = views
        self._changed = changed

    async def share(self, body: dict[str, Any]) -> dict[str, Any]:
        """Share an MCP server or a runner, in place of what was shared under that name.

        Raises:
            Misuse: a field is missing or wrong.
        """
        check_operation(body)
        share = read_share(body, self._journal.clock())

        def decide(entry: Entry) -> None:
            before = offers.SHARE.one(entry.tx, name=share.name)
            if before is None and len(offers.SHARES.all(entry.tx)) >= MOST_SHARES:
                raise Misuse("too much is shared", why=f"there are {MOST_SHARES} shares", hint="relay tools shares")
            # the same server with other values of its environment is started again: what waits for it waits on
            if before is not None and before.command != share.command:
                self._drop_offers(entry, before)
                entry.then(lambda: self._end_programs(share.name, "it is shared otherwise now"))
            created = share.created if before is None else before.created
            offers.put_share(entry.tx, replace(share, created=created))
            what = f"the runner {share.runner}" if share.runner else "the tools of an MCP server"
            self._auditor.write(entry, Decision("local", ACTION, detail=f"{share.name}: {what}"))
            self._changed(entry)

        await self._journal.commit(decide)
        await self._views.hosting.changed(await self._journal.store.all(offers.SHARES))
        return self._views.share(share, await self._journal.store.all(offers.ALL))

    async def remove(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """Share it no more: whoever was told of its tools is told that there are none, and its program goes.

        Raises:
            Misuse: `unknown_share`.
        """
        check_operation(body)
        share = await self._journal.store.one(offers.SHARE, name=name)
        if share is None:
            raise Misuse(f"nothing is shared as {name[:64]!r}", code=Code.UNKNOWN_SHARE, hint="relay tools shares")
        shown = self._views.share(share, await self._journal.store.all(offers.ALL))

        def decide(entry: Entry) -> None:
            if offers.drop_share(entry.tx, name):
                self._drop_offers(entry, share)
                self._auditor.write(entry, Decision("local", ACTION, detail=f"{name}: shared no more"))
                self._changed(entry)

        await self._journal.commit(decide)
        self._end_programs(name, "it is shared no more")
        await self._views.hosting.changed(await self._journal.store.all(offers.SHARES))
        return shown

    def _end_programs(self, name: str, why: str) -> None:
        for program in self._programs:
            if program.hello.kind == SHARE and {each.share for each in program.hello.offers} == {name}:
                program.say({"end": why})

    def _drop_offers(self, entry: Entry, share: Share) -> None:
        if share.command is not None:
            mine = [each.name for each in offers.ALL.all(entry.tx) if each.share == share.name and each.kind == "mcp"]
            offers.drop(entry.tx, mine)

    async def hide(self, body: dict[str, Any], *, hidden: bool) -> dict[str, Any]:
        """Show a tool to no client of this broker, or again; the tools as they are then.

        Raises:
            Misuse: a field is missing or wrong.
        """
        check_operation(body)
        name, broker = named_at(body.get("name"), body.get("broker"))
        if not is_runner_name(name) or not (broker is None or isinstance(broker, str)):
            raise Misuse("which tool?", code=Code.BAD_NAME, why="no tool can have that name", hint="relay tools")
        whose = None if broker is None else self._members.resolve(broker)

        def decide(entry: Entry) -> None:
            (offers.hide if hidden else offers.unhide)(entry.tx, str(name), whose)
            entry.event("tool.changed", {"broker": whose or self._members.own})

        await self._journal.commit(decide)
        return await self._views.tools()


def read_share(body: dict[str, Any], now: int) -> Share:
    """The share in a client's JSON; `now` in milliseconds.

    Raises:
        Misuse: a field is missing or wrong.
    """
    name, command, runner = body.get("name"), body.get("command"), body.get("runner")
    chosen, env = body.get("only") or [], body.get("env") or {}
    if not is_runner_name(name):
        why = "it has 1 to 64 letters, digits, '.', '_' and '-'"
        raise Misuse("what is the share called?", code=Code.BAD_NAME, why=why, hint="relay tools share --help")
    if (command is None) == (runner is None):
        raise _bad("it is either an MCP server, by its command, or one runner")
    if command is not None and not (_is_texts(command, MOST_WORDS) and command):
        raise _bad("its command is a list of words")
    if runner is not None and not is_runner_name(runner):
        raise _bad("a runner is named as it was offered")
    if not _is_texts(chosen, MOST_CHOSEN) or not all(map(is_runner_name, chosen)):
        raise _bad("what is chosen of it is a list of names")
    if not isinstance(env, dict) or not _is_texts([*env, *env.values()], 2 * MOST_ENV) or not all(map(_is_key, env)):
        raise _bad("its environment is an object of texts")
    return Share(str(name), None if command is None else tuple(command), runner, tuple(chosen), env, now)


def _is_texts(value: object, most: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= most
        and all(isinstance(each, str) and len(each) <= MAX_WORD and "\0" not in each for each in value)
        and json_values.fault_of(value) is None
    )


def _is_key(text: str) -> bool:
    return bool(text) and "=" not in text


def _bad(why: str) -> Misuse:
    return Misuse("that cannot be shared", why=why, hint="relay tools share --help")
