"""What a program gives, checked before it goes into a request: of a wrong type an error says what was to be given."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from typing import Any

from relay.api.home import Home
from relay.core.errors import Code, Misuse


def unfit(what: str, is_what: str, value: object, hint: str, code: Code = Code.USAGE) -> Misuse:
    """The error for a value of another type than is taken."""
    why = f"it is {is_what}, and not of the type {type(value).__name__}"
    return Misuse(f"{what} cannot be used", code=code, why=why, hint=hint)


def text(what: str, value: object, hint: str = "str(...)") -> str:
    """A text that can be carried.

    Raises:
        Misuse: it is none.
    """
    if not isinstance(value, str):
        raise unfit(what, "a text", value, hint)
    if not _encodes(value):
        raise Misuse(f"{what} cannot be used", why="it has half of a pair of surrogates in it", hint=hint)
    return value


def maybe_text(what: str, value: object) -> str | None:
    """As `text`; None stays None."""
    return None if value is None else text(what, value)


def _encodes(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def several(what: str, value: object) -> list[Any]:
    """A list of something: a text alone is none, though it can be gone through.

    Raises:
        Misuse: it is none.
    """
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise unfit(what, "a list", value, "[...]")
    return list(value)


def texts(what: str, value: object) -> list[str]:
    """A list of texts.

    Raises:
        Misuse: it is none.
    """
    return [text(f"one of {what}", each) for each in several(what, value)]


def table(what: str, value: object, hint: str = '{"name": "value"}') -> dict[str, Any]:
    """What is given by name; None is nothing. What is in it is judged by the broker.

    Raises:
        Misuse: it is no mapping, or a name is no text.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise unfit(what, "a JSON object", value, hint)
    return {text(f"a name in {what}", name): each for name, each in value.items()}


def number(what: str, value: object) -> float | None:
    """A number, such as of seconds; None stays None.

    Raises:
        Misuse: it is none.
    """
    if value is None:
        return None
    if not isinstance(value, (int, float)):
        raise unfit(what, "a number", value, "30.0")
    try:
        found = float(value)
    except OverflowError:
        found = math.nan
    if math.isnan(found):
        raise Misuse(f"{what} cannot be used", why="no such number can be counted with", hint="30.0")
    return found


def whole(what: str, value: object) -> int | None:
    """A whole number; None stays None.

    Raises:
        Misuse: it is none.
    """
    if value is None or type(value) is int:
        return value
    raise unfit(what, "a whole number", value, "100")


def home(value: object) -> Home:
    """The home of a broker: a path, None for the usual one, or what is one already.

    Raises:
        Misuse: it is no path.
    """
    if isinstance(value, Home):
        return value
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if path is not None and "\0" in text("the home", path, '"/home/me/relay"'):
        raise Misuse("the home cannot be used", why="no path has a zero in it", hint='"/home/me/relay"')
    return Home(path)  # type: ignore[arg-type]
