"""How a spawn stands, in a sentence that a model may say to a person as it is: true, and no more than that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.core.states import TERMINAL, State

if TYPE_CHECKING:
    from relay.api.shapes import Spawn

MOST = 300


def spoken(spawn: Spawn) -> str:
    """How it stands."""
    name, broker, state = spawn["name"], spawn["broker"]["name"], State(spawn["state"])
    if state in TERMINAL:
        return _ended(spawn, f"{name} on {broker}", state)
    if state is State.QUEUED:
        return spawn["ack"] or f"Queued for {broker}."
    if state in (State.HELD, State.NEEDS_INPUT):
        what = spawn["needs"]["text"] if spawn["needs"] else spawn["reason"]
        return f"{name} on {broker} waits for a person: {_short(what)}"
    if not spawn.get("in_reach", True) and spawn["truth"]:
        return f"{broker} is out of reach; at {spawn['truth']['at']} it said that {name} was {state}."
    if state is State.RUNNING:
        said = f": {_short(spawn['reason'])}" if spawn["reason"] else ""
        return f"{name} is running on {broker}{said}."
    if state is State.STARTING:
        return f"On it: starting on {broker}."
    return f"{name} waits on {broker}: {_short(spawn['reason'] or 'its turn')}."


def _ended(spawn: Spawn, who: str, state: State) -> str:
    if state is State.COMPLETED:
        waits = spawn["result"] is not None and spawn["result"]["outcome"] == "awaiting_approval"
        return f"{who} finished, and waits for your approval." if waits else f"{who} finished."
    why = f": {_short(spawn['reason'])}" if spawn["reason"] else ""
    if state in (State.REJECTED, State.EXPIRED):
        return f"{who} was not run{' again' if spawn['attempt'] else ''}{why}."
    if state is State.CANCELLED:
        return f"{who} was stopped{why}."
    if state is State.LOST:
        return f"{who} was lost: nobody saw its end, and it may have acted."
    return f"{who} ran into trouble{why or f': it {state}'}."


def next_step(spawn: Spawn) -> str:
    """What a model does next about it, in the words of the tools; empty for nothing."""
    state = State(spawn["state"])
    if state in (State.HELD, State.NEEDS_INPUT):
        return "ask the person; then agent.approve, or agent.send with the answer"
    if state in TERMINAL:
        goes_on = "; agent.continue has it go on" if spawn["result"] and spawn["result"].get("session") else ""
        return f"{'agent.result has all of it' if state is State.COMPLETED else 'agent.logs says more'}{goes_on}"
    return "agent.wait until it has ended; agent.get to look"


def _short(words: str) -> str:
    plain = " ".join(words.split()).rstrip(".")
    return plain if len(plain) <= MOST else plain[: MOST - 1] + "…"
