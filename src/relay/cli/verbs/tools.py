"""`relay tools`, `tools list`, `tools shares` and `tools calls`."""

from __future__ import annotations

import shlex

from relay.api import routes, tool_routes
from relay.cli import ages, speech, table
from relay.cli.blanks import refuse_blank
from relay.cli.call_lines import has_ended
from relay.cli.clean import brief, clean
from relay.dashboard.words import word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.tool_shapes import Share, Tool, ToolCall
    from relay.cli.invocation import Invocation

CALLS = ("ID", "TOOL", "BROKER", "STATE", "TIME", "WHAT")
SHARES = ("NAME", "STATE", "TOOLS", "WHAT", "WHY")
HEADINGS = ("NAME", "BROKER", "SHARE", "STATE", "WHAT")
_NEXT = 'tools share NAME --mcp "COMMAND"'


def run(invocation: Invocation, *, broker: str | None, everything: bool) -> int:
    """List the tools of others, what is offered here, and the shares that have none."""
    refuse_blank(broker=broker)
    client = invocation.client()
    of = None if broker is None else client.ask(routes.broker(broker))["id"]
    found = client.ask(tool_routes.tools())
    seen = [each for each in found["tools"] if everything or not each["hidden"]]
    tools = [each for each in seen if of in (None, each["broker"]["id"])]
    if invocation.json:
        speech.document({"tools": tools, "clashes": found["clashes"]})
        return 0
    nothing = f"no tool is known; to share some: {invocation.home.command(_NEXT)}"
    if broker is not None:
        nothing = f"no tool of {clean(broker)} is known here"
    table.show(HEADINGS, [_row(each) for each in tools], nothing)
    _say_clashes(invocation, tools, found["clashes"])
    for share in client.ask(tool_routes.shares()) if broker is None else ():
        _say_share(invocation, share)
    return 0


def _row(tool: Tool) -> list[str]:
    about = tool["definition"].get("description")
    what = tool["reason"] or brief(about if isinstance(about, str) else "")
    return [tool["name"], tool["broker"]["name"], tool["share"] or "", _state(tool), what]


def _state(tool: Tool) -> str:
    if tool["hidden"]:
        return "hidden"
    if not tool["here"]:
        return "offered"
    served = "" if tool["served"] else ", not served"
    return ("shared" if tool["shared"] else "not shared") + served


def _say_clashes(invocation: Invocation, tools: list[Tool], clashes: list[str]) -> None:
    seen = {each["name"] for each in tools}
    for name in clashes:
        if name in seen:
            speech.note(clean(f"{name} is offered by more than one machine: call it with --broker"))


def _say_share(invocation: Invocation, share: Share) -> None:
    if share["reason"]:
        how = "is shared, with this reserve" if share["running"] else "is shared and does not run"
        speech.note(clean(f"{share['name']} {how}: {share['reason']}"))


def shares(invocation: Invocation) -> int:
    """List what is shared here."""
    client = invocation.client()
    found = client.ask(tool_routes.shares())
    if invocation.json:
        speech.document(found)
        return 0
    named = {each["name"] for each in found}
    offered = [each for each in client.ask(tool_routes.tools())["tools"] if each["here"] and each["shared"]]
    others = [each["name"] for each in offered if each["share"] not in named]
    if found or not others:
        nothing = f"nothing is shared here; to share tools: {invocation.home.command(_NEXT)}"
        table.show(SHARES, [_share_row(each) for each in found], nothing)
    if others:
        speech.note(clean(f"shared by the programs that serve them: {', '.join(others)}"))
    return 0


def _share_row(share: Share) -> list[str]:
    what = f"runner {share['runner']}" if share["runner"] else shlex.join(share["command"] or [])
    state = "running" if share["running"] else "not running"
    return [share["name"], state, str(len(share["tools"])), what, share["reason"]]


def calls(invocation: Invocation, *, limit: int | None) -> int:
    """List the calls that are known here."""
    found = invocation.client().ask(tool_routes.calls(limit))
    if invocation.json:
        speech.document(found)
    else:
        table.show(CALLS, [_call_row(each) for each in found], "no tool was called, here or from here")
    return 0


def _call_row(call: ToolCall) -> list[str]:
    never_ran = has_ended(call) and not call["started"]
    took = "" if never_ran else ages.between(call["started"], call["ended"]) or ages.since(call["created"])
    return [call["id"], call["tool"], call["broker"]["name"], word(call["state"]), took, brief(call["reason"])]
