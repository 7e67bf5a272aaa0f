"""`relay tools share` and `tools unshare`."""

from __future__ import annotations

import os
import shlex

from relay.api import tool_routes
from relay.cli import speech
from relay.cli.blanks import refuse_blank
from relay.cli.clean import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.tool_shapes import Share
    from relay.cli.invocation import Invocation
    from relay.core.errors import Misuse

EXAMPLE = 'relay tools share NAME --mcp "COMMAND"   or: relay tools share --runner NAME'
MAX_VALUE = 32 * 1024


def run(
    invocation: Invocation, *, name: str | None, mcp: str | None, runner: str | None, only: list[str], env: list[str]
) -> int:
    """Share an MCP server's tools, or a runner."""
    refuse_blank(mcp=mcp, runner=runner, only=only, env=env)
    command = _command(mcp, runner, only, env)
    shared = invocation.client().ask(
        tool_routes.share(
            {
                "name": _name(name, runner),
                "command": command,
                "runner": runner,
                "only": only,
                "env": {variable: _value(variable) for variable in env},
            }
        )
    )
    if invocation.json:
        speech.document(shared)
    else:
        _tell(invocation, shared)
    return 0


def _name(name: str | None, runner: str | None) -> str:
    if name is None and runner is None:
        raise _misuse("what is the share called?", "an MCP server's share has a name, by which it is unshared again")
    return name or runner or ""


def _command(mcp: str | None, runner: str | None, only: list[str], env: list[str]) -> list[str] | None:
    if (mcp is None) == (runner is None):
        why = "it is the tools of an MCP server (--mcp), or one runner (--runner)"
        raise _misuse("what is to be shared?", why)
    if mcp is None:
        if only or env:
            why = "a runner is one tool, and its program has an environment of its own"
            raise _misuse("--only and --env go with --mcp", why)
        return None
    try:
        words = shlex.split(mcp)
    except ValueError as fault:
        raise _misuse("the command cannot be read", f"{fault} in {mcp[:100]!r}") from None
    if not words:
        raise _misuse("the command is empty", "it is started by this machine's broker, again whenever it ends")
    # the broker starts it elsewhere than here
    return [os.path.abspath(words[0]) if "/" in words[0] else words[0], *words[1:]]


def _value(variable: str) -> str:
    """A variable's value: of this environment, or typed unseen. Never a word of the command."""
    if "=" in variable:
        why = "what stands on the command line is seen by every program of this machine, and kept by the shell"
        hint = f"relay tools share … --env {variable.partition('=')[0]}, with the value in your environment or typed"
        raise _misuse("a value does not belong on the command line", why, hint)
    if variable in os.environ:
        return os.environ[variable]
    from relay.cli import unseen

    value = unseen.line(f"{variable} (it is not shown): ").rstrip("\n")
    if not value:
        raise _misuse(f"{variable} has no value", "it is not in your environment, and none was typed")
    return value


def _misuse(what: str, why: str, hint: str = EXAMPLE) -> Misuse:
    from relay.core.errors import Misuse

    return Misuse(what, why=why, hint=hint)


def _tell(invocation: Invocation, shared: Share) -> None:
    command = shlex.join(shared["command"] or [])
    what = f"the runner {shared['runner']}" if shared["runner"] else f"the tools of {command}"
    speech.say(clean(f"Shared as {shared['name']}: {what}."))
    speech.note(f"who may use it: {invocation.home.command('trust allow BROKER --verb tool')}")
    speech.note(f"how it does: {invocation.home.command('tools')}")


def unshare(invocation: Invocation, *, name: str) -> int:
    """Share it no more."""
    gone = invocation.client().ask(tool_routes.unshare(name))
    if invocation.json:
        speech.document(gone)
    else:
        speech.say(clean(f"{gone['name']} is shared no more."))
    return 0
