"""Each field of a grant by itself, next to a request: what `relay trust test` explains.

A field is judged by `relay.core.grants.judge` with every other field as wide as it can be, so that what is explained
is what would happen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from relay.core.allowlist import ANY_AGENT, VERBS, Grant
from relay.core.grants import BY_NAME_ONLY, STARTING, Asked, Denied, Waiting, judge
from relay.core.spawning import FRESH_DIRECTORY, MODES
from relay.core.values import frozen

_WIDE: dict[str, Any] = {
    "verbs": VERBS,
    "dirs": ("/", FRESH_DIRECTORY),
    "mode": MODES[-1],
    "max_parallel": 1 << 31,
    "ask": False,
    "expires": None,
    "frozen": False,
    "rate": None,
    "hours": (),
}
OF_STARTING = ("agents", "dirs", "mode", "max_parallel", "rate", "ask")


@frozen
class Finding:
    """What one field of a grant says to a request.

    Attributes:
        field: its key in trust.toml.
        granted: what stands there, for people.
        verdict: `yes`, `no`, `waits` or `held`.
        why: the reason, empty for a plain yes.
    """

    field: str
    granted: str
    verdict: str
    why: str = ""


def weigh(grant: Grant, asked: Asked, now: int, label: str, moment: Callable[[int], str]) -> list[Finding]:
    """A finding for each field that has a say in the request, in the order of trust.toml.

    Args:
        grant: the requester's.
        asked: the request.
        now: milliseconds since 1970.
        label: the requester's name, for the sentences.
        moment: a moment (milliseconds since 1970) for people.
    """
    fields = [field for field in ("verbs", "agents", *_WIDE) if asked.verb in STARTING or field not in OF_STARTING]
    return [_finding(field, grant, asked, now, label, moment) for field in dict.fromkeys(fields)]


def _finding(
    field: str, grant: Grant, asked: Asked, now: int, label: str, moment: Callable[[int], str]
) -> Finding:
    wide = _WIDE | {"agents": (ANY_AGENT, *BY_NAME_ONLY)}
    alone = dataclasses.replace(grant, **{name: value for name, value in wide.items() if name != field})
    found = judge(alone, asked, now, label)
    shown = _shown(field, getattr(grant, field), moment)
    if isinstance(found, Denied):
        return Finding(field, shown, "no", f"{found.message}: {found.why}")
    if isinstance(found, Waiting):
        return Finding(field, shown, "waits", found.why)
    return Finding(field, shown, "held", "a person here has to say yes to each") if found.hold else Finding(
        field, shown, "yes"
    )


def _shown(field: str, value: Any, moment: Callable[[int], str]) -> str:
    match field:
        case "verbs" | "agents" | "dirs":
            return ", ".join(value) or "(none)"
        case "hours":
            return ", ".join(value) or "always"
        case "rate":
            return value.text if value else "any"
        case "expires":
            return "never" if value is None else moment(value)
        case "ask" | "frozen":
            return "yes" if value else "no"
        case _:
            return str(value)
