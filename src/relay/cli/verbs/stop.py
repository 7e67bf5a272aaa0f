"""`relay stop`."""

from __future__ import annotations

import time

from relay.api import ending_routes, routes
from relay.cli import ages, speech
from relay.cli.clean import clean
from relay.cli.spawn_lines import has_ended, outcome, ref, title
from relay.dashboard.words import word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from relay.api.shapes import Spawn, StoppedSpawn
    from relay.cli.invocation import Invocation
    from relay.cli.patient import PatientClient
    from relay.core.errors import RelayError

INTERRUPTED = 130
WITHIN_S = 12.0
"""A task and its tree are gone within 5 s of a stop; its machine has to hear of it, and to say so."""


def run(invocation: Invocation, *, spawns: list[str]) -> int:
    """Ask for the end of spawns, wait for what their machines say of it, and tell what they left."""
    client = invocation.client()
    # all of them are looked up before one is stopped: a slip in the last word stops nothing
    ids = dict.fromkeys(client.ask(routes.show(spawn))["id"] for spawn in spawns)
    stopped, refused = _stopped(client, list(ids))
    status = _waited(client, stopped)
    told = list(stopped.values())
    if refused is not None and (invocation.json or not told):
        raise refused
    if invocation.json:
        speech.document(told[0] if len(spawns) == 1 else told)
        return status
    for each in told:
        speech.say(_told(each))
        if each["stop"]["state"] in ("queued", "asked"):
            back = f"it is stopped when {clean(each['broker']['name'])} is back"
            what = back if each["stop"]["state"] == "queued" else "it is still asked to"
            speech.note(f"{what}: {invocation.home.command(f'show {ref(each)}')}")
    if refused is not None:
        raise refused
    return status


def _stopped(client: PatientClient, spawns: Sequence[str]) -> tuple[dict[str, StoppedSpawn], RelayError | None]:
    """What became of each that could be asked to end, and why the first of the others could not: they keep none up."""
    from relay.core.errors import Misuse, Refused

    stopped: dict[str, StoppedSpawn] = {}
    first: RelayError | None = None
    for spawn in spawns:
        try:
            stopped[spawn] = client.ask(routes.stop(spawn))
        except (Misuse, Refused) as fault:
            first = first or fault
    return stopped, first


def _waited(client: PatientClient, stopped: dict[str, StoppedSpawn]) -> int:
    """Wait for the ends; the exit status. What breaks that off leaves what was asked for as it is, and that is said."""
    from relay.core.errors import RelayError

    try:
        _wait(client, stopped)
    except KeyboardInterrupt:
        speech.note("\nthe stop is under way all the same")
        return INTERRUPTED
    except RelayError:
        speech.note("the stop is under way all the same")
        raise
    return 0


def _wait(client: PatientClient, stopped: dict[str, StoppedSpawn]) -> None:
    until = time.monotonic() + WITHIN_S
    while (left := until - time.monotonic()) > 0 and (going := _going(stopped)):
        client.says = f"waiting for {_where(going)} to have ended {_named(going)}"
        for now in client.ask(ending_routes.first_end([each["id"] for each in going], left)):
            before = stopped[now["id"]]["stop"]["before"]
            stopped[now["id"]] = {**now, "stop": {"state": _became(now), "before": before}}  # type: ignore[typeddict-item]
    if silent := _asked(stopped):
        # a machine that fell asleep under its link is known to be away by now
        there = {each["id"] for each in client.ask(routes.brokers()) if each["online"]}
        for each in silent:
            each["stop"]["state"] = "asked" if each["broker"]["id"] in there else "queued"


def _became(spawn: Spawn) -> str:
    if not has_ended(spawn):
        return "asked"
    if spawn["state"] != "cancelled":
        return "ended"
    return "stopped" if spawn["attempt"] else "not_started"


def _asked(stopped: dict[str, StoppedSpawn]) -> list[StoppedSpawn]:
    return [each for each in stopped.values() if each["stop"]["state"] == "asked"]


def _going(stopped: dict[str, StoppedSpawn]) -> list[StoppedSpawn]:
    """What is to be seen ending; of what was to run once more its machine has not said whether it does."""
    return [each for each in _asked(stopped) if not has_ended(each)][: ending_routes.MOST_AWAITED]


def _where(going: Sequence[Spawn]) -> str:
    return ", ".join(dict.fromkeys(each["broker"]["name"] for each in going))


def _named(going: Sequence[Spawn]) -> str:
    return going[0]["name"] if len(going) == 1 else f"{len(going)} spawns"


def _told(spawn: StoppedSpawn) -> str:
    state = spawn["stop"]["state"]
    if state == "ended_before":
        when = f" ({ages.day_clock(spawn['ended'])})" if spawn["ended"] else ""
        return f"{outcome(spawn)}{when}; there was nothing left to stop"
    if state == "not_started" and has_ended(spawn) and spawn["stop"]["before"] == spawn["state"]:
        return f"{outcome(spawn)}; that it was to run once more is taken back"
    if state == "not_started":
        return f"{clean(spawn['name'])}: it had not started; nothing ran"
    if state == "stopped":
        return f"{clean(spawn['name'])}: stopped on {clean(spawn['broker']['name'])}{_left(spawn)}"
    if state == "ended":
        return f"{outcome(spawn)} before the stop reached it{_left(spawn)}"
    said = "stop queued" if state == "queued" else f"asked to stop; {clean(spawn['broker']['name'])} has not said more"
    return f"{title(spawn)}: {said}; {_last_seen(spawn)}"


def _left(spawn: Spawn) -> str:
    """What a stopped task left, as far as its machine told it."""
    result: dict[str, Any] = dict(spawn["result"] or {})
    left = result.get("processes_left")
    parts = [] if left is None else [f"{left} process{'' if left == 1 else 'es'} left"]
    parts += [f"branch {clean(str(result['branch']))} kept"] if result.get("branch") else []
    # what was stopped as it started has not been seen to run either, but has left a record
    if spawn["state"] == "cancelled" and spawn["attempt"] and not spawn["started"] and left is None:
        # nor has what was to start and was not begun (`spawn/fencing.py`), which waited for no other attempt
        is_unbegun = spawn["reason"] == "stopped before it started"
        parts += ["it had not begun" if is_unbegun else f"it was waiting for attempt {spawn['attempt'] + 1}"]
    elif spawn["attempt"] > 1:
        parts += [f"it was in attempt {spawn['attempt']}"]
    parts += [_how(spawn)] if spawn["state"] == "cancelled" and spawn["started"] else []
    return "".join(f"; {part}" for part in parts)


def _how(spawn: Spawn) -> str:
    if spawn["signal"]:
        return f"it ended by signal {spawn['signal']}"
    return f"it ended with exit status {spawn['exit_code']}"


def _last_seen(spawn: Spawn) -> str:
    if spawn["state"] == "queued":
        return f"not taken by {clean(spawn['broker']['name'])} yet, as far as is known here"
    truth = spawn["truth"]
    at = truth["at"] if truth else spawn["since"]
    stood = spawn["state"] if spawn["state"] in ("running", "starting") else word(spawn["state"]).lower()
    return f"last seen {stood} {ages.day_clock(at)}"
