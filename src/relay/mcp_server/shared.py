"""The tools that other brokers share, as a client sees them here: under their own names, in their own words."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relay.api import tool_routes
from relay.core.errors import RelayError
from relay.mcp_server.offered import named

if TYPE_CHECKING:
    from relay.api.aclient import AsyncClient
    from relay.api.tool_shapes import Tool

JSON = dict[str, Any]
AT = {"dots": "@", "underscore": "__"}


@dataclass(frozen=True, slots=True)
class Shared:
    """One of them.

    Attributes:
        broker: the id of whose it is.
        tool: its name there.
        definition: as its server words it; `name` is what it is called here.
    """

    broker: str
    tool: str
    definition: JSON

    @property
    def promises_structure(self) -> bool:
        """Whether a client expects structured content of a certain form of it."""
        return self.definition.get("outputSchema") is not None


class SharedTools:
    """All of them, as the broker last told.

    Args:
        client: the broker's.
        style: of names, `dots` or `underscore`.
        taken: the names that are this server's own.

    Attributes:
        known: by name.
    """

    def __init__(self, client: AsyncClient, style: str, taken: Iterable[str]) -> None:
        self.known: dict[str, Shared] = {}
        self._client = client
        self._style = style
        self._taken = frozenset(taken)
        self._one = asyncio.Lock()

    async def look(self) -> bool:
        """Ask the broker; whether it says something else than before. Without a broker all is as it was."""
        async with self._one:
            try:
                listed = (await self._client.ask(tool_routes.tools()))["tools"]
            except RelayError:
                return False
            before, self.known = self.known, exposed(listed, self._style, self._taken)
            return list(before.items()) != list(self.known.items())

    async def find(self, name: str) -> Shared | None:
        """The tool of a name, which may have come only now."""
        if name not in self.known:
            await self.look()
        return self.known.get(name)


def exposed(listed: Iterable[Tool], style: str, taken: frozenset[str]) -> dict[str, Shared]:
    """The tools of others that a client is shown, by the names that it is shown.

    Args:
        listed: all that are known here.
        style: of names.
        taken: the server's own names, which keep their meaning.
    """
    every = list(listed)
    own = {each["name"] for each in every if each["here"]}
    others = [each for each in every if not each["here"] and not each["hidden"] and each["name"] not in own]
    times = Counter(named(each["name"], style) for each in others)

    def says_whose(tool: Tool) -> bool:
        name = named(tool["name"], style)
        return times[name] > 1 or name in taken

    found: dict[str, Shared] = {}
    # first those that say whose they are: what another machine calls its own tools takes no such name away
    for each in sorted(others, key=lambda tool: (not says_whose(tool), tool["name"], tool["broker"]["id"])):
        name = named(each["name"], style)
        if says_whose(each):
            name += AT[style] + named(each["broker"]["name"], style)
        found |= {(free := _free(name, found)): Shared(each["broker"]["id"], each["name"], _as(each, free))}
    return found


def _free(name: str, found: Mapping[str, Shared]) -> str:
    """The name, with a number where another tool has it: with underscores `a.b` and `a_b` are one."""
    numbered = (f"{name}_{number}" for number in itertools.count(2))
    return next(each for each in itertools.chain([name], numbered) if each not in found)


def _as(tool: Tool, name: str) -> JSON:
    definition = tool["definition"]
    if definition.get("name") == name:
        return definition
    return {key: name if key == "name" else value for key, value in definition.items()}
