"""How a spawn reads: its title, its row in a table, and what became of it."""

from __future__ import annotations

import sys

from relay.cli import speech, table
from relay.cli.clean import brief, clean, clean_lines
from relay.dashboard.words import ENDED, UNREACHABLE, last_word, word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.api.home import Home
    from relay.api.shapes import Spawn
    from relay.api.view_shapes import Listing

HEADINGS = ("NAME", "ID", "BROKER", "AGENT", "STATE", "TIME", "WHAT")
FIRST_TO_GO = ("AGENT", "ID", "BROKER", "TIME")
TAKES_COMMANDS = ("shell", "exec", "python")
SHORT = 8
LONGEST_REASON = 200  # a terminal cuts it to what it has room for; cut twice, a wide one would not say why


def ref(spawn: Spawn) -> str:
    """What a person types to name this spawn: its id once it has ended, when another may have its name."""
    if has_ended(spawn):
        return spawn["id"][:SHORT]
    return f"{clean(spawn['name'])}@{clean(spawn['broker']['name'])}"


def title(spawn: Spawn) -> str:
    """`coder on vps`."""
    return f"{clean(spawn['name'])} on {clean(spawn['broker']['name'])}"


def has_ended(spawn: Spawn) -> bool:
    """Whether nothing more will happen to it."""
    return spawn["state"] in ENDED


def never_ran(spawn: Spawn) -> bool:
    """Whether it has ended and nothing of it ever ran: there is no output, and no result but why."""
    return has_ended(spawn) and not spawn["attempt"]


def show_table(spawns: Sequence[Spawn], nothing: str) -> None:
    """Print spawns as a table."""
    table.show(HEADINGS, [row(each) for each in spawns], nothing, FIRST_TO_GO)


def row(spawn: Spawn) -> list[str]:
    """The texts under `HEADINGS`; not yet cleaned."""
    from relay.cli import ages

    never_ran = has_ended(spawn) and not spawn["started"]
    took = "" if never_ran else ages.between(spawn["started"], spawn["ended"]) or ages.since(spawn["created"])
    resolved = f"[{spawn['resolved']['as']}] " if spawn["resolved"] else ""
    what = resolved + (brief(spawn["reason"], LONGEST_REASON) if spawn["reason"] else brief(spawn["task"]))
    state = word(spawn["state"])
    if is_out_of_reach(spawn) and spawn["truth"]:
        state, what = UNREACHABLE, f"{state} {ages.since(spawn['truth']['at'])} ago; {what}"
    name, broker = spawn["name"], spawn["broker"]["name"]
    return [name, spawn["id"][:SHORT], broker, spawn["agent"], state, took, what]


def is_out_of_reach(spawn: Spawn) -> bool:
    """Whether this is only the last word of a target that cannot be asked now."""
    truth = spawn["truth"]
    is_told = truth is not None and truth["from"] == spawn["broker"]["id"]
    return is_told and not spawn.get("in_reach", True) and not has_ended(spawn)


def standing(spawn: Spawn) -> str:
    """How it stands, in a word; `Unreachable (Working 3 min ago)` where that is only a last word."""
    if is_out_of_reach(spawn) and spawn["truth"]:
        from relay.cli import ages

        return last_word(spawn["state"], ages.since(spawn["truth"]["at"]))
    return word(spawn["state"])


def result_text(spawn: Spawn) -> str:
    """What it came to, as text: a command's output, an agent's own summary."""
    result = spawn["result"]
    if not result:
        return ""
    parts = [result["summary"], result["output_tail"]]
    first, second = reversed(parts) if spawn["agent"] in TAKES_COMMANDS else parts
    return first or second


def print_result(spawn: Spawn) -> None:
    """Print the result on stdout, safe for a terminal."""
    text = result_text(spawn)
    if text:
        speech.say((clean_lines(text) if speech.is_terminal(sys.stdout) else text).rstrip("\n"))


def say_notes(spawn: Spawn, home: Home) -> None:
    """Say on stderr what a person should know of its run beside its end."""
    for text in spawn["result"].get("notes", ()) if spawn["result"] else ():
        speech.note(f"note:  {clean(text)}")
    if spawn["result"] and (branch := spawn["result"].get("branch")):
        last = (spawn["result"].get("diffstat") or "").rstrip().rpartition("\n")[2].strip()
        speech.note(f"branch: {clean(branch)}: {clean(last)}; to have it: {home.command(f'pull {ref(spawn)}')}")


def outcome(spawn: Spawn) -> str:
    """`coder on vps failed with exit status 3`."""
    nothing = never_ran(spawn)
    endings = {
        "completed": "is done",
        "failed": f"failed{_cause(spawn)}",
        "timed_out": "was ended: its time was over",
        "cancelled": "was stopped before it started; nothing ran" if nothing else "was stopped",
        "rejected": "was refused; nothing ran" if nothing else "was refused another attempt",
        "expired": f"expired before {'it could start; nothing ran' if nothing else 'its next attempt could start'}",
        "lost": "was lost: it may have acted, and nobody knows how it ended",
    }
    return f"{title(spawn)} {endings.get(spawn['state'], 'is ' + word(spawn['state']))}"


def _cause(spawn: Spawn) -> str:
    """` with exit status 3`, `: ended by signal 9`; empty where neither is known."""
    if spawn["signal"]:
        return f": ended by signal {spawn['signal']}"
    return f" with exit status {spawn['exit_code']}" if spawn["exit_code"] is not None else ""


def say_failure(spawn: Spawn, home: Home, what: str = "") -> None:
    """Say on stderr why a spawn that has ended is not completed, in the form of an error.

    Args:
        spawn: as it ended.
        home: for the command to go on with.
        what: what is said of it; how it ended where it is empty.
    """
    error = spawn["error"]
    why = [error["message"], error.get("why", "")] if error else [spawn["reason"]]
    from relay.cli.hints import for_home

    hint = for_home(error["hint"] if error else "", home) or _next_step(spawn, home)
    lines = [f"{speech.coloured('error:', speech.RED, sys.stderr)} {what or outcome(spawn)}"]
    lines += [f"why:   {clean('. '.join(part for part in why if part)).replace('?.', '?')}"] if any(why) else []
    speech.note("\n".join([*lines, f"try:   {clean(hint)}"]))


def _next_step(spawn: Spawn, home: Home) -> str:
    if never_ran(spawn):  # there is nothing to read: what is known of it, or, of what its machine knows, once more
        is_known_there = spawn["truth"] is not None and spawn["truth"]["from"] == spawn["broker"]["id"]
        again = f"   or: {home.command(f'retry {ref(spawn)}')}" if is_known_there else ""
        return home.command(f"show {ref(spawn)}") + again
    return home.command(f"logs {ref(spawn)}")


def status_of(spawn: Spawn) -> int:
    """The exit status of a command that waited for this spawn."""
    from relay.core.states import State, exit_status

    error = spawn["error"]
    cause = error["code"] if error else ""
    return exit_status(State(spawn["state"]), spawn["exit_code"], spawn["signal"], cause)


def say_what_is_missing(found: Listing) -> None:
    """Say how many more there are, and which machines told nothing of theirs."""
    shown, matched = len(found["spawns"]), found["matched"]
    if shown < matched or not found["exact"]:
        speech.note(f"{shown:,} of {'' if found['exact'] else 'more than '}{matched:,} are shown")
    for each in found.get("silent", ()):  # a broker that was not restarted since an upgrade tells none
        speech.note(f"what {clean(each['name'])} runs for others is not shown: {clean(each['why'])}")
