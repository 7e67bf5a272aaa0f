"""The strict reader of trust.toml: each fault names the line it is in."""

from __future__ import annotations

import datetime
import os
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from relay.core import ids
from relay.core.allowlist import ANY_AGENT, VERBS, Grant
from relay.core.errors import Code, LocalFault, Misuse
from relay.core.hours import Rate, rate_from_text, spans_of
from relay.core.ids import BrokerId
from relay.core.spawning import FRESH_DIRECTORY, MODES
from relay.core.toml_faults import line_of_fault, why_of_fault

BROKERS = "brokers"
LISTS = ("verbs", "agents", "dirs")
MAX_PARALLEL = 1_000
MAX_ENTRIES = 1_000
_HEADER = re.compile(r"\s*\[\s*(.+?)\s*\]\s*(?:#.*)?$")
_KEY = re.compile(r"\s*([A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')\s*=")


class _Fault(Exception):
    def __init__(self, why: str, *keys: str) -> None:
        super().__init__(why)
        self.why = why
        self.keys = keys


def _bare(text: str) -> str:
    return re.sub(r"[\"'\s]", "", text)


def _table_line(lines: list[str], table: str) -> int | None:
    headers = [(number, _bare(match[1])) for number, line in enumerate(lines, 1) if (match := _HEADER.match(line))]
    below = [number for number, name in headers if name.startswith(f"{table}.")]
    return next((number for number, name in headers if name == table), below[0] if below else None)


def line_of(text: str, *keys: str) -> int:
    """The line where a key stands, or its table's, or 1 where it cannot be found.

    Args:
        text: the file.
        keys: the path to it: table names, then the key.
    """
    lines = text.splitlines()
    names = [*map(_bare, keys)]
    whole = _table_line(lines, ".".join(names))
    if whole is not None:
        return whole
    start = (_table_line(lines, ".".join(names[:-1])) or 0) if len(names) > 1 else 0
    return _key_line(lines, start, names[-1]) or start or 1


def _key_line(lines: list[str], start: int, name: str) -> int | None:
    for number, line in enumerate(lines[start:], start + 1):
        if _HEADER.match(line):
            return None
        if (match := _KEY.match(line)) and _bare(match[1]) == name:
            return number
    return None


def _broken(path: Path, line: int, why: str) -> LocalFault:
    return LocalFault(
        "trust.toml is broken, so every remote request is denied",
        code=Code.BAD_TRUST_FILE,
        why=f"{path}, line {line}: {why}",
        hint=f"mend line {line} of {path}, then: relay trust list",
    )


def _one_of(*allowed: str) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(f"{_shown(value)} is none of {', '.join(allowed)}")
        return value

    return check


def _shown(value: Any) -> str:
    return repr(value)[:80]


def _agent(value: Any) -> str:
    if value != ANY_AGENT and not ids.is_name(value):
        raise ValueError(f"{_shown(value)} cannot be an agent's name")
    return str(value)


def plain_directory(value: str) -> str:
    """A directory of trust.toml as it is compared: `~` spelled out, links followed; `new` stays."""
    return value if value == FRESH_DIRECTORY else os.path.realpath(os.path.expanduser(value))


def _directory(value: Any) -> str:
    whole = isinstance(value, str) and (value == FRESH_DIRECTORY or value[:1] == "/" or value[:2] in ("~", "~/"))
    if not whole or "\0" in value or ".." in Path(value).parts:
        raise ValueError(f'{_shown(value)} is no directory: write a whole path, ~/… or "new"')
    return plain_directory(value)


def _list_of(check: Callable[[Any], str]) -> Callable[[Any], tuple[str, ...]]:
    def whole(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or len(value) > MAX_ENTRIES:
            raise ValueError("it must be a list of texts")
        return tuple(dict.fromkeys(map(check, value)))

    return whole


def _verbs(value: Any) -> tuple[str, ...]:
    # in their own order, whatever order they were typed in: two grants of the same rights read the same
    given = _list_of(_one_of(*VERBS))(value)
    return tuple(verb for verb in VERBS if verb in given)


def _parallel(value: Any) -> int:
    if type(value) is not int or not 0 < value <= MAX_PARALLEL:
        raise ValueError(f"it must be a whole number from 1 to {MAX_PARALLEL}")
    return value


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError("it must be true or false")
    return value


def _expiry(value: Any) -> int:
    if not isinstance(value, datetime.datetime) or value.tzinfo is None:
        raise ValueError("it must be a time with a zone, as in 2027-01-01T00:00:00Z")
    return int(value.timestamp() * 1000)


def _label(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("it must be a text")
    return value


def _rate(value: Any) -> Rate:
    if not isinstance(value, str):
        raise ValueError('it must be a text such as "20/1h"')
    return rate_from_text(value)


def _hours(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError('a span is a text such as "mon-fri 08:00-18:00"')
    spans_of(value)
    return value


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "name": _label,
    "verbs": _verbs,
    "agents": _list_of(_agent),
    "dirs": _list_of(_directory),
    "mode": _one_of(*MODES),
    "max_parallel": _parallel,
    "ask": _flag,
    "expires": _expiry,
    "frozen": _flag,
    "rate": _rate,
    "hours": _list_of(_hours),
}


def _checked(key: str, entry: dict[str, Any]) -> dict[str, Any]:
    values = {}
    for name, value in entry.items():
        if name not in _CHECKS:
            raise _Fault(f"{name!r} is no key of a grant; the keys are {', '.join(_CHECKS)}", BROKERS, key, name)
        try:
            values[name] = _CHECKS[name](value)
        except ValueError as error:
            raise _Fault(f"{name}: {error}", BROKERS, key, name) from None
    return values


def _broker(key: str) -> BrokerId:
    try:
        return ids.parse_broker_id(key)
    except Misuse as error:
        raise _Fault(f"{key[:80]!r} is no broker id: {error.why}", BROKERS, key) from None


def _grants(document: dict[str, Any]) -> dict[BrokerId, Grant]:
    unknown = next((key for key in document if key != BROKERS), None)
    if unknown is not None:
        raise _Fault(f"{unknown!r} is not known here; grants stand under [{BROKERS}.ID]", unknown)
    entries = document.get(BROKERS, {})
    if not isinstance(entries, dict):
        raise _Fault(f"{BROKERS} must be tables: [{BROKERS}.ID]", BROKERS)
    found: dict[BrokerId, Grant] = {}
    for key, entry in entries.items():
        broker = _broker(key)
        if not isinstance(entry, dict):
            raise _Fault(f"a grant is a table: [{BROKERS}.{key}]", BROKERS, key)
        if broker in found:
            raise _Fault("that broker has a grant already", BROKERS, key)
        values = _checked(key, entry)
        values.pop("name", None)
        found[broker] = Grant(broker, **values)
    return found


def parse(path: Path, text: str) -> dict[BrokerId, Grant]:
    """The grants in the text of trust.toml.

    Args:
        path: for the fault's text.
        text: the whole file.

    Raises:
        LocalFault: `bad_trust_file`, with the line.
    """
    try:
        return _grants(tomllib.loads(text))
    except ValueError as error:  # TOMLDecodeError, and plain for a number of 5,000 digits
        raise _broken(path, line_of_fault(text, error), why_of_fault(error)) from None
    except _Fault as fault:
        raise _broken(path, line_of(text, *fault.keys), fault.why) from None
    except RecursionError:
        raise _broken(path, 1, "it is nested too deep") from None
