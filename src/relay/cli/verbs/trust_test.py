"""`relay trust test`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relay.cli import members, speech
from relay.cli.clean import clean
from relay.core.allowlist import DEFAULT_MODE, VERBS
from relay.core.errors import Misuse
from relay.core.grants import STARTING, Asked, Denied, judge
from relay.core.spawning import FRESH_DIRECTORY, MODES
from relay.trust import grants

if TYPE_CHECKING:
    from relay.cli.invocation import Invocation
    from relay.core.grants import Verdict

NO = 1


def run(
    invocation: Invocation, *, broker: str, verb_: str, agent: str | None, directory: str | None, mode: str | None
) -> int:
    """Judge a request that nobody made, by the grants as they are now."""
    _require_known(verb_, VERBS, "verb")
    _require_known(mode or DEFAULT_MODE, MODES, "mode")
    home = invocation.home
    member = members.meant(home, broker)
    grant = grants.load(Path(home.trust)).get(member.id)
    name = member.name or member.id
    asked = _asked(verb_, agent, directory, mode or DEFAULT_MODE, grant)
    verdict = judge(grant, asked, time.time_ns() // 1_000_000, name)
    if invocation.json:
        speech.document(_shape(verdict))
    else:
        _say(verdict, name, asked)
    return NO if isinstance(verdict, Denied) else 0


def _require_known(text: str, known: tuple[str, ...], what: str) -> None:
    if text not in known:
        raise Misuse(
            f"there is no {what} {text[:40]!r}", why=f"known: {', '.join(known)}", hint="relay trust test --help"
        )


def _asked(verb: str, agent: str | None, directory: str | None, mode: str, grant: Any) -> Asked:
    """What is not said is taken from the grant itself, so that only what is said is tested."""
    if verb not in STARTING:
        return Asked(verb=verb)
    first_agent = next((each for each in grant.agents if each != "*"), "claude") if grant else "claude"
    wanted = directory or next(iter(grant.dirs if grant else ()), FRESH_DIRECTORY)
    real = None if wanted == FRESH_DIRECTORY else os.path.realpath(os.path.expanduser(wanted))
    return Asked(verb=verb, agent=agent or first_agent, directory=real, wanted_cwd=wanted, mode=mode)


def _shape(verdict: Verdict) -> dict[str, Any]:
    if isinstance(verdict, Denied):
        return {"allowed": False, "held": False, "error": {**_error(verdict)}}
    return {"allowed": True, "held": verdict.hold, "error": None}


def _error(verdict: Denied) -> dict[str, str]:
    return {"code": str(verdict.code), "message": verdict.message, "why": verdict.why, "hint": verdict.hint}


def _say(verdict: Verdict, name: str, asked: Asked) -> None:
    if isinstance(verdict, Denied):
        speech.say(f"no: {clean(verdict.message)} [{verdict.code}]")
        speech.note(f"why:   {clean(verdict.why)}\ntry:   {clean(verdict.hint)}   (on this machine)")
        return
    where = f" with {asked.agent} in {asked.wanted_cwd}, mode {asked.mode}" if asked.agent else ""
    held = "; each is held until a person says yes" if verdict.hold else ""
    speech.say(clean(f"yes: {name} may {asked.verb} here{where}{held}"))
