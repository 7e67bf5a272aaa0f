"""`relay trust test`: what would happen, and what each field of the grant says to it."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relay.api.durations import rfc3339
from relay.cli import members, speech
from relay.cli.clean import clean
from relay.core.allowlist import DEFAULT_MODE, VERBS
from relay.core.errors import Misuse
from relay.core.grants import STARTING, Asked, Denied, Waiting, judge
from relay.core.place_rights import lack_of_place
from relay.core.sources import read_source, split_ref
from relay.core.spawning import FRESH_DIRECTORY, MODES
from relay.core.weighing import weigh
from relay.core.workplaces import ORIGIN, Workplace
from relay.trust import grants

if TYPE_CHECKING:
    from relay.cli.invocation import Invocation
    from relay.core.grants import Verdict
    from relay.core.weighing import Finding

NO = 1


def run(
    invocation: Invocation,
    *,
    broker: str,
    verb_: str,
    agent: str | None,
    directory: str | None,
    mode: str | None,
    repo: str | None,
    push: bool,
) -> int:
    """Judge a request that nobody made, by the grants as they are now."""
    _require_known(verb_, VERBS, "verb")
    _require_known(mode or DEFAULT_MODE, MODES, "mode")
    place = _place(repo, push, directory)
    home = invocation.home
    member = members.meant(home, broker)
    grant = grants.load(Path(home.trust)).get(member.id)
    name = member.name or member.id
    asked = _asked(verb_, agent, directory if place is None else FRESH_DIRECTORY, mode or DEFAULT_MODE, grant)
    now = time.time_ns() // 1_000_000
    verdict = judge(grant, asked, now, name)
    if grant is not None and place is not None and not isinstance(verdict, Denied):
        verdict = lack_of_place(grant, place, name, os.path.realpath) or verdict
    fields = weigh(grant, asked, now, name, rfc3339) if grant else []
    if invocation.json:
        there = {"directory": asked.directory, "directory_exists": _exists(asked)}
        speech.document(_shape(verdict) | there | {"fields": [asdict(each) for each in fields]})
    else:
        _say(verdict, name, asked)
        _say_fields(fields, asked)
    return NO if isinstance(verdict, Denied) else 0


def _place(repo: str | None, push: bool, directory: str | None) -> Workplace | None:
    if repo is None:
        if push:
            raise Misuse("what would it push?", why="--push goes with --repo", hint="add --repo URL")
        return None
    if directory is not None:
        why = "a repository is worked on in a fresh folder"
        raise Misuse("--dir does not go with --repo", why=why, hint="give one of them")
    url, _ = split_ref(repo)
    read_source(url)
    return Workplace(repo=url, push=ORIGIN if push else None)


def _require_known(text: str, known: tuple[str, ...], what: str) -> None:
    if text not in known:
        raise Misuse(
            f"there is no {what} {text[:40]!r}", why=f"known: {', '.join(known)}", hint="relay trust test --help"
        )


def _asked(verb: str, agent: str | None, directory: str | None, mode: str, grant: Any) -> Asked:
    """What is not said is taken from the grant itself, so that only what is said is tested."""
    local = time.localtime()
    minute = local.tm_wday * 1440 + local.tm_hour * 60 + local.tm_min
    if verb not in STARTING:
        return Asked(verb=verb, minute=minute)
    first_agent = next((each for each in grant.agents if each != "*"), "claude") if grant else "claude"
    wanted = directory or next(iter(grant.dirs if grant else ()), FRESH_DIRECTORY)
    real = None if wanted == FRESH_DIRECTORY else os.path.realpath(os.path.expanduser(wanted))
    chosen = agent or first_agent
    return Asked(verb=verb, agent=chosen, directory=real, wanted_cwd=wanted, mode=mode, minute=minute)


def _exists(asked: Asked) -> bool | None:
    """Whether its folder is there; None where it is a fresh one, or where the verb starts nothing."""
    return None if asked.directory is None else os.path.isdir(asked.directory)


def _shape(verdict: Verdict) -> dict[str, Any]:
    if isinstance(verdict, Denied):
        return {"allowed": False, "held": False, "waits": None, "error": {**_error(verdict)}}
    waits = verdict.why if isinstance(verdict, Waiting) else None
    return {"allowed": True, "held": verdict.hold, "waits": waits, "error": None}


def _error(verdict: Denied) -> dict[str, str]:
    return {"code": str(verdict.code), "message": verdict.message, "why": verdict.why, "hint": verdict.hint}


def _say(verdict: Verdict, name: str, asked: Asked) -> None:
    if isinstance(verdict, Denied):
        speech.say(f"no: {clean(verdict.message)} [{verdict.code}]")
        speech.note(f"why:   {clean(verdict.why)}\ntry:   {clean(verdict.hint)}   (on this machine)")
        return
    where = f" with {asked.agent} in {asked.wanted_cwd}, mode {asked.mode}" if asked.agent else ""
    held = "; each is held until a person says yes" if verdict.hold else ""
    waits = f"; it waits: {verdict.why}" if isinstance(verdict, Waiting) else ""
    speech.say(clean(f"yes: {name} may {asked.verb} here{where}{held}{waits}"))


def _say_fields(fields: list[Finding], asked: Asked) -> None:
    if asked.directory is not None and asked.directory != asked.wanted_cwd:
        speech.say(clean(f"  {asked.wanted_cwd} is {asked.directory} here"))
    if _exists(asked) is False:
        speech.say(clean(f"  there is no folder {asked.directory} yet: a spawn in it would be refused"))
    for each in fields:
        why = f"  ({each.why})" if each.why else ""
        speech.say(clean(f"  {each.verdict:5}  {each.field:12}  {each.granted}{why}"))
