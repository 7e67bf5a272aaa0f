"""`@relay.runner`: an async function of a program, as a broker can offer it to the mesh."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from relay.core import json_values
from relay.core.errors import Code, Misuse
from relay.core.offers import is_runner_name
from relay.library.given import text, unfit
from relay.library.schemas import checked_schema, schema_of, signature_of, unusable

Function = Callable[..., Awaitable[Any]]
Tell = Callable[[float, float | None, str], None]

AT_ONCE = 8
MOST_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Origin:
    """The broker that a call comes from.

    Attributes:
        id, name: its own.
    """

    id: str
    name: str


class Call:
    """One call, as its runner sees it: a parameter that is annotated `relay.Call` gets it.

    Attributes:
        id: the call's, for logs, and to act only once on what else the runner asks for.
        origin: the broker that it comes from.
        requested_by: the person or client there, by their own word; it grants nothing.
        timeout: seconds after which it is ended; None for none.
        cancelled: why it is to end now; empty while it is not. Its task is cancelled by then.
    """

    __slots__ = ("_tell", "cancelled", "id", "origin", "requested_by", "timeout")

    def __init__(self, id: str, origin: Origin, requested_by: str, timeout: float | None, tell: Tell) -> None:
        self.id = id
        self.origin = origin
        self.requested_by = requested_by
        self.timeout = timeout
        self.cancelled = ""
        self._tell = tell

    def progress(self, done: float, of: float | None = None, words: str = "") -> None:
        """Tell who waits how far it is. As often as you like: a few a second are passed on.

        Args:
            done: how much is done.
            of: of how much; None where that is not known.
            words: what is being done.
        """
        self._tell(float(done), None if of is None else float(of), str(words))


@dataclass(frozen=True, slots=True)
class Runner:
    """A function that a broker can offer. `relay.runner` makes one; it can be called as the function it was.

    Attributes:
        name: what it is called by.
        function: what is run.
        description: what it is for, for people and models.
        schema: JSON Schema of its arguments.
        at_once: how many of its calls run at the same time; the others wait in their order.
        share: whether other brokers may call it, those that have the verb `tool` here.
        context: the parameter that gets the `Call`; None for none.
    """

    name: str
    function: Function
    description: str
    schema: Mapping[str, Any]
    at_once: int
    share: bool
    context: str | None

    def __call__(self, *words: Any, **named: Any) -> Awaitable[Any]:
        """The function itself."""
        return self.function(*words, **named)

    @property
    def definition(self) -> dict[str, Any]:
        """The definition of an MCP tool."""
        return {"name": self.name, "description": self.description, "inputSchema": dict(self.schema)}

    def offer(self) -> dict[str, Any]:
        """As the broker is told of it."""
        return {"name": self.name, "definition": self.definition, "share": self.name if self.share else None}


DECLARED: dict[str, Runner] = {}
"""What was declared in this process, by name; of two of one name the later, as a module that is loaded again has it."""


def runner(
    name: str,
    *,
    schema: Mapping[str, Any] | None = None,
    description: str | None = None,
    at_once: int = AT_ONCE,
    share: bool = False,
) -> Callable[[Function], Runner]:
    """Make an async function a runner.

        @relay.runner("review")
        async def review(path: str, strict: bool = False) -> dict:
            \"\"\"Review a file and say what is wrong with it.\"\"\"

    Args:
        name: what the mesh calls it by: 1 to 64 letters, digits, `.`, `_` and `-`.
        schema: JSON Schema of its arguments; None to make it of the annotations.
        description: what it is for; None for the function's docstring.
        at_once: how many of its calls run at the same time.
        share: let other brokers call it, those that were granted the verb `tool` on this machine; `relay tools share`
            says the same from outside of the program.

    Raises:
        Misuse: it cannot be one, and why.
    """
    if not is_runner_name(name):
        why = "a runner's name has 1 to 64 letters, digits, '.', '_' and '-'"
        raise Misuse(f"{str(name)[:64]!r} cannot name a runner", code=Code.BAD_NAME, why=why, hint='"review.file"')
    if type(at_once) is not int or not 0 < at_once <= MOST_AT_ONCE:
        raise unusable(name, f"at_once lies between 1 and {MOST_AT_ONCE}", "at_once=1")

    def declare(function: Function) -> Runner:
        made = _made(name, function, schema, description, at_once, share)
        DECLARED[name] = made
        return made

    return declare


def _made(
    name: str, function: Function, schema: Mapping[str, Any] | None, description: str | None, at_once: int, share: bool
) -> Runner:
    if not asyncio.iscoroutinefunction(function):
        raise unusable(name, "it is no async function", "async def …; what blocks goes to asyncio.to_thread")
    parameters = list(signature_of(function).parameters.values())
    context = next((each.name for each in parameters if each.annotation is Call), None)
    given = [each for each in parameters if each.name != context]
    takes = schema_of(name, given) if schema is None else checked_schema(name, schema, given)
    about = inspect.getdoc(function) if description is None else text("its description", description)
    if (fault := json_values.fault_of(takes)) is not None:
        raise unusable(name, f"its schema cannot be carried: {fault}", "give it what JSON can carry")
    return Runner(name, function, about or "", takes, at_once, share, context)


def chosen(runners: tuple[Runner, ...]) -> dict[str, Runner]:
    """The runners to serve, by name; all that were declared where none is named.

    Raises:
        Misuse: there is none, or two have one name.
    """
    for each in runners:
        if not isinstance(each, Runner):
            raise unfit("what is to be served", "made by @relay.runner", each, '@relay.runner("NAME")')
    found = {each.name: each for each in runners or tuple(DECLARED.values())}
    if not found:
        raise Misuse("there is nothing to serve", why="no runner was declared", hint='@relay.runner("NAME")')
    if runners and len(found) < len(runners):
        why = "each name stands for one runner"
        raise Misuse("two runners have one name", code=Code.NAME_IN_USE, why=why, hint="name one otherwise")
    return found
