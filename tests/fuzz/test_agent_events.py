"""What agents print, with any one value of it replaced by an odd one: of another kind, without end, half a letter."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fuzz.specimens import Form
from tests.fuzz.specimens_of_agents import forms

ODD: tuple[Any, ...] = (
    None, True, 0, -1, 2**70, 1e308, float("inf"), float("nan"), "", "\ud83d", "x" * 5_000, [], [None], [[]], {},
    {"": None}, {"type": []},
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a document, its own first."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from _places(each, (*path, key))


def _replaced(value: Any, path: tuple[Any, ...], odd: Any) -> Any:
    if not path:
        return odd
    key, *rest = path
    if isinstance(value, dict):
        return {**value, key: _replaced(value[key], tuple(rest), odd)}
    return [_replaced(each, tuple(rest), odd) if at == key else each for at, each in enumerate(value)]


def _cases(form: Form) -> Iterator[bytes]:
    events = [json.loads(line) for line in form.specimen.splitlines()]
    for path in _places(events):
        for odd in ODD:
            changed = _replaced(events, path, odd)
            lines = changed if isinstance(changed, list) else [changed]
            yield b"".join(json.dumps(each).encode() + b"\n" for each in lines)


@pytest.mark.parametrize("form", forms(), ids=lambda form: form.name.replace(" ", "-"))
def test_any_value_may_be_an_odd_one(form: Form) -> None:
    for data in _cases(form):
        try:
            assert form.decode(data) is not None
        except Exception as error:
            raise AssertionError(f"{form.name}: {error!r} for {data!r}") from error
