"""`relay spawn --dry-run`: what would become of it, by the word of the machine that would run it."""

from __future__ import annotations

from relay.api import ending_routes
from relay.api.durations import spoken
from relay.cli import ages, speech
from relay.cli.clean import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.shapes import Fault, SpawnOrder
    from relay.api.tree_shapes import WorkPlace
    from relay.api.trial_shapes import Earlier, KnownHere, Trial, TrialAgent, TrialFacts, TrialMeans
    from relay.cli.invocation import Invocation

UNKNOWN, REFUSED = 1, 125
COLUMN = 11
LOGIN = {True: "logged in", False: "NOT logged in", None: "nobody can say whether it is logged in"}


def run(invocation: Invocation, order: SpawnOrder) -> int:
    """Ask, and say it: 0 where it would run or wait, or was made before; 125 where it would not; 1: nobody can say."""
    trial = invocation.client().ask(ending_routes.trial(order))
    if invocation.json:
        speech.document(trial)
    elif trial["verdict"] == "unknown":
        _say_unknown(invocation, trial)
    elif earlier := trial.get("earlier"):
        _say_earlier(invocation, trial, earlier)
    else:
        _say(invocation, trial)
    return {"unknown": UNKNOWN, "refuse": REFUSED, "fail": REFUSED}.get(trial["verdict"], 0)


def _say(invocation: Invocation, trial: Trial) -> None:
    name, broker = clean(trial["name"]), clean(trial["broker"]["name"])
    reason = clean(trial["reason"])
    verdicts = {
        "start": f"yes: {name} would start on {broker} now",
        "wait": f"yes: {name} would wait on {broker}: {reason}",
        "hold": f"yes, but: {name} would be held on {broker}: {reason}",
        "fail": f"no: {name} would fail on {broker} at its start",
        "refuse": f"no: {broker} would refuse {name}",
    }
    said = verdicts.get(trial["verdict"], f"{broker} says {clean(trial['verdict'])}: {reason}")
    speech.say(f"as a run of a schedule: {said}" if trial["next"] else said)
    if trial["facts"]:
        _say_facts(trial, trial["facts"])
    if trial["error"]:
        _say_error(invocation, trial["error"])
    truth = trial["truth"]
    said = f"{_whose(trial)} said so at {ages.clock(truth['at'])}; " if truth else ""
    speech.note(f"{said}nothing was started or queued")


def _say_earlier(invocation: Invocation, trial: Trial, earlier: Earlier) -> None:
    from relay.dashboard.words import word

    name, broker = clean(earlier["name"]), clean(trial["broker"]["name"])
    is_spawn = earlier["kind"] == "spawn"
    stands = word(earlier["state"]) if is_spawn else earlier["state"]
    speech.say(f"nothing new: this key has made the {earlier['kind']} {name} on {broker}, {earlier['id']}: {stands}")
    look = f"show {earlier['id']}" if is_spawn else "schedule list --all"
    speech.note(f"sent again it is given back and runs no second time: {invocation.home.command(look)}")
    speech.note("nothing was started or queued")


def _whose(trial: Trial) -> str:
    truth = trial["truth"]
    is_target = truth is not None and truth["from"] == trial["broker"]["id"]
    return clean(trial["broker"]["name"]) if is_target else "the broker of this machine"


def _say_error(invocation: Invocation, error: Fault) -> None:
    from relay.cli.hints import for_home

    why = ". ".join(part for part in (error["message"], error["why"]) if part)
    speech.note(f"why:   {clean(why).replace('?.', '?')} [{clean(error['code'])}]")
    if error["hint"]:
        speech.note(f"try:   {clean(for_home(error['hint'], invocation.home))}")


def _row(title: str, text: str) -> None:
    speech.say(f"  {title:<{COLUMN}} {clean(text)}")


def _say_facts(trial: Trial, facts: TrialFacts) -> None:
    _row("agent", _agent(facts["agent"]))
    if facts["agent"]["logged_in"] is False and facts["agent"]["log_in"]:
        _row("", f"log in there: {facts['agent']['log_in']}")
    if facts["agent"]["note"]:
        _row("", facts["agent"]["note"])
    directory = facts["directory"]
    asked = f"   (asked for as {directory['asked']})" if directory["asked"] != directory["path"] else ""
    _row("directory", "a fresh one" if directory["fresh"] else directory["path"] + asked)
    _row("mode", facts["mode"])
    _row("slots", _slots(facts))
    _row("time", f"ended after {spoken(facts['timeout_s'])}" if facts["timeout_s"] else "no limit")
    _say_means("limits", facts["limits"], "by a scope of its own; whether that keeps them shows when it runs")
    _say_means("keep awake", facts["keep_awake"], "there is a program for it; whether it is let shows when it runs")
    _say_wishes(trial)


def _place(place: WorkPlace) -> str:
    to = f"; pushed to {place['push']}" if place["push"] else ""
    if place["repo"] is None:
        return f"this {'folder' if place['kind'] == 'folder' else 'tree'} as it is{to}"
    return f"a worktree of {place['repo']}{' at ' + place['ref'] if place['ref'] else ''}{to}"


def _agent(agent: TrialAgent) -> str:
    if agent["path"] is None:
        return f"{agent['name']}: its program is not there"
    version = f" {agent['version']}" if agent["version"] else ""
    # what every machine has needs no login, and nobody can say it of the others
    login = f", {LOGIN[agent['logged_in']]}" if version or agent["logged_in"] is not None else ""
    return f"{agent['name']}: {agent['path']}{version}{login}"


def _slots(facts: TrialFacts) -> str:
    slots = facts["slots"]
    sorts = "".join(f", {each['used']} of {each['of']} {each['name']}" for each in slots["sorts"])
    ahead = f"; {slots['ahead']} ahead of it" if slots["ahead"] else ""
    return f"{slots['used']} of {slots['of']} in use{sorts}{ahead}"


def _say_means(title: str, means: TrialMeans, can: str) -> None:
    if means["asked"]:
        _row(title, can if means["possible"] else f"cannot be: {means['why']}")


def _say_wishes(trial: Trial) -> None:
    if trial["not_before"]:
        _row("not before", ages.day_clock(trial["not_before"]))
    if trial["next"]:
        _row("first run", ages.day_clock(trial["next"]))
    if trial["after"]:
        _row("after", ", ".join(f"{each['id'][:8]} ({each['condition']})" for each in trial["after"]))
    if trial["priority"]:
        _row("priority", str(trial["priority"]))
    if trial["retries"]:
        _row("retries", f"up to {trial['retries']}")
    if place := trial.get("place"):
        _row("place", _place(place))
    if trial["collect"]:
        _row("collect", ", ".join(trial["collect"]))
    _row("expires", f"not started later than {ages.day_clock(trial['expires'])}")


def _say_unknown(invocation: Invocation, trial: Trial) -> None:
    known, error = trial["known_here"], trial["error"]
    if error:
        from relay.core.errors import from_json

        error["hint"] = _for_home(invocation, error["hint"])
        speech.error(from_json(dict(error)))
    if known:
        _say_known(trial, known)
    speech.note("nothing was started or queued")


def _for_home(invocation: Invocation, hint: str) -> str:
    from relay.cli.hints import for_home

    return for_home(hint, invocation.home)


def _say_known(trial: Trial, known: KnownHere) -> None:
    speech.say(f"known here of {clean(trial['broker']['name'])}, by what it said earlier:")
    seen = f"{ages.day_clock(known['last_seen'])} ({ages.since(known['last_seen'])} ago)" if known["last_seen"] else ""
    _row("last seen", seen or "never")
    _row("version", known["version"] or "not said")
    _row("agents", ", ".join(known["agents"]) or "not said")
    grants = "not said" if known["grants"] is None else ", ".join(known["grants"]) or "nothing"
    _row("we may", grants)
