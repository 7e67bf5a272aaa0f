"""What the machine of a task may say to who attaches: each message has one form, and what is beside it is dropped."""

from __future__ import annotations

from typing import Any

from relay.core.field_checks import Check, is_count, optional

MOST_DATA = 1 << 20
_HEX = frozenset("0123456789abcdef")


def _is_text(value: object) -> bool:
    return type(value) is str and len(value) <= MOST_DATA


def _is_flag(value: object) -> bool:
    return type(value) is bool


def _is_data(value: object) -> bool:
    return type(value) is bytes and len(value) <= MOST_DATA


def _is_port(value: object) -> bool:
    return type(value) is int and 0 < value < 1 << 16


def _is_hex(value: object) -> bool:
    """Whether it is 32 bytes in hexadecimal."""
    return type(value) is str and len(value) == 64 and set(value) <= _HEX


_OUT: dict[str, Check] = {"data": _is_data, "next": is_count, "stream": is_count}
_HELLO: dict[str, Check] = {
    "terminal": _is_flag,
    "input": _is_flag,
    "drives": _is_flag,
    "driver": optional(_is_text),
    "state": _is_text,
    "reason": _is_text,
}
_OFFER: dict[str, Check] = {
    "host": _is_text,
    "port": _is_port,
    "pin": _is_hex,
    "secret": _is_hex,
    "start": is_count,
    "types": _is_flag,
}
FORMS: dict[str, tuple[dict[str, Check], dict[str, Check]]] = {
    "hello": (_HELLO, {}),
    "out": (_OUT, {"typed": is_count}),
    "typed": ({"n": is_count, "taken": _is_flag}, {}),
    "direct": (_OFFER, {}),
    "direct_over": ({}, {}),
    "show": ({"next": is_count}, {}),
    "driver": ({"driver": optional(_is_text)}, {"drives": _is_flag}),
}
"""Of each kind what it has, and what it may have beside that."""


def in_form(message: dict[str, Any]) -> dict[str, Any] | None:
    """A message with what is known of its kind; None where it has another form.

    Args:
        message: as the other machine said it.
    """
    kind = message.get("k")
    if type(kind) is not str or kind not in FORMS:
        return None
    needed, further = FORMS[kind]
    if not all(name in message and check(message[name]) for name, check in needed.items()):
        return None
    if not all(check(message[name]) for name, check in further.items() if name in message):
        return None
    return {name: message[name] for name in ("k", *needed, *further) if name in message}
