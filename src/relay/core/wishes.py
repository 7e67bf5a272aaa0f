"""How a spawn is to be queued and run, beyond what it runs: priority, predecessors, retries, limits.

All of it is optional. On the wire and in the store only what differs from the default is written, and an older
broker that does not know it refuses the request instead of running it otherwise than it was meant.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from relay.core import ids
from relay.core.errors import Code, PeerFault
from relay.core.values import frozen
from relay.core.workplaces import Workplace, is_place, place_from_content

MAX_PRIORITY = 1_000
MAX_AFTER = 16
MAX_RETRIES = 100
MAX_COLLECT = 16
MAX_GLOB = 256
MIN_CPUS, MAX_CPUS = 0.01, 4_096.0
MIN_MEMORY, MAX_MEMORY = 1 << 20, 1 << 50
_LAST_MOMENT = 253_402_300_799_999  # the last of the year 9999: later ones no calendar can show

LIMIT_FAILS, LIMIT_WAITS = "fail", "wait"
MAX_TURNS = 10_000
AFTER_SUCCESS, AFTER_ANY = "success", "any"
CONDITIONS = (AFTER_SUCCESS, AFTER_ANY)


@frozen
class After:
    """A predecessor on the same broker.

    Attributes:
        spawn: its id.
        condition: `success`: it has to complete; `any`: however it ends.
    """

    spawn: str
    condition: str = AFTER_SUCCESS


@frozen
class Wishes:
    """How a spawn is to be queued and run.

    Attributes:
        priority: -1000 to 1000; the higher one starts first, equals in order of arrival.
        after: what has to end before it starts; at most 16.
        retries: how often it is tried again after a failure that another try may mend.
        not_before: milliseconds since 1970; not to be started earlier.
        collect: patterns of files in its directory that its origin wants back; at most 16.
        tty: it runs on a terminal of its own.
        stdin: its standard input stays open for `relay send`.
        memory: bytes that its whole tree may use, or None.
        cpus: processors that its whole tree may use, or None.
        keep_awake: the machine is kept from sleeping while it runs.
        place: the repository or the sent tree that it works in, or None.
        max_turns: how often the agent may ask its model, or None for as often as it likes.
        on_limit: what a usage limit that is reached means: `fail`, or `wait` for its reset.
    """

    priority: int = 0
    after: tuple[After, ...] = ()
    retries: int = 0
    not_before: int | None = None
    collect: tuple[str, ...] = ()
    tty: bool = False
    stdin: bool = False
    memory: int | None = None
    cpus: float | None = None
    keep_awake: bool = False
    place: Workplace | None = None
    max_turns: int | None = None
    on_limit: str = LIMIT_FAILS

    def to_content(self) -> dict[str, Any]:
        """What differs from the default, as plain values."""
        content = {name: value for name in _NAMES if (value := getattr(self, name)) != _DEFAULTS[name]}
        if self.after:
            content["after"] = [[each.spawn, each.condition] for each in self.after]
        if self.collect:
            content["collect"] = list(self.collect)
        if self.place is not None:
            content["place"] = self.place.to_content()
        return content


_NAMES = tuple(item.name for item in dataclasses.fields(Wishes))
NONE = Wishes()
_DEFAULTS = {name: getattr(NONE, name) for name in _NAMES}


def _whole(least: int, most: int) -> Callable[[object], bool]:
    return lambda value: type(value) is int and least <= value <= most


def _is_after(value: object) -> bool:
    return type(value) is list and len(value) <= MAX_AFTER and all(map(_is_predecessor, value))


def _is_predecessor(value: object) -> bool:
    return type(value) is list and len(value) == 2 and ids.is_spawn_id(value[0]) and value[1] in CONDITIONS


def _is_collect(value: object) -> bool:
    return type(value) is list and len(value) <= MAX_COLLECT and all(map(_is_glob, value))


def _is_glob(value: object) -> bool:
    if type(value) is not str or not 0 < len(value) <= MAX_GLOB or "\0" in value or value.startswith("/"):
        return False
    return ".." not in value.split("/") and value.isprintable()


def _is_share(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and MIN_CPUS <= value <= MAX_CPUS  # type: ignore[arg-type,operator]


def _is_flag(value: object) -> bool:
    return type(value) is bool


_CHECKS: dict[str, Callable[[object], bool]] = {
    "priority": _whole(-MAX_PRIORITY, MAX_PRIORITY),
    "after": _is_after,
    "retries": _whole(0, MAX_RETRIES),
    "not_before": _whole(0, _LAST_MOMENT),
    "collect": _is_collect,
    "tty": _is_flag,
    "stdin": _is_flag,
    "memory": _whole(MIN_MEMORY, MAX_MEMORY),
    "cpus": _is_share,
    "keep_awake": _is_flag,
    "place": is_place,
    "max_turns": _whole(1, MAX_TURNS),
    "on_limit": lambda value: value in (LIMIT_FAILS, LIMIT_WAITS),
}


def first_bad_wish(content: object) -> str | None:
    """The name of the first wish that is not known or has another form, or None; `wishes` where it is no map."""
    if type(content) is not dict:
        return "wishes"
    return next((str(key) for key, value in content.items() if key not in _CHECKS or not _CHECKS[key](value)), None)


def wishes_from_content(content: object) -> Wishes:
    """The wishes in a request's body; None means none.

    Raises:
        PeerFault: one of them is not known here, or has another form.
    """
    if content is None or content == {}:
        return NONE
    bad = first_bad_wish(content)
    if bad is not None:
        why = f"its wish {bad[:40]!r} is wrong, or not known to this version"
        raise PeerFault("a spawn request was refused", code=Code.BAD_ENVELOPE, why=why)
    assert isinstance(content, dict)
    known = dict(content)
    known["after"] = tuple(After(*each) for each in content.get("after", ()))
    known["collect"] = tuple(content.get("collect", ()))
    if "place" in content:
        known["place"] = place_from_content(content["place"])
    return Wishes(**known)
