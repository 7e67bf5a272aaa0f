"""A function as an offer: its schema by its annotations, and what cannot be one."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import pytest

import relay
from relay.core.errors import Code, Misuse
from relay.library.arguments import checks_of
from relay.library.runners import DECLARED, chosen
from relay.library.schemas import spelled_type


class _Colour(enum.Enum):
    RED = 1


@pytest.fixture(autouse=True)
def _declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.library.runners.DECLARED", {})


def test_an_offer_is_made_of_the_function() -> None:
    """Its description is the docstring, its schema the annotations; the context is no argument."""

    @relay.runner("review.file", at_once=2)
    async def review(path: str, call: relay.Call, strict: bool = False, tags: list[str] | None = None) -> str:
        """Review a file.

        Slowly.
        """
        return path

    assert review.offer() == {
        "name": "review.file",
        "share": None,
        "definition": {
            "name": "review.file",
            "description": "Review a file.\n\nSlowly.",
            "inputSchema": {
                "type": "object",
                "properties": {
                    "path": {"type": "string"},
                    "strict": {"type": "boolean", "default": False},
                    "tags": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
                },
                "required": ["path"],
                "additionalProperties": False,
            },
        },
    }
    assert (review.context, review.at_once) == ("call", 2)
    assert inspect.isawaitable(made := review("a", None)) and made.close() is None  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (int, {"type": "integer"}),
        (Any, {}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (Mapping[str, float], {"type": "object", "additionalProperties": {"type": "number"}}),
        (Sequence[bool], {"type": "array", "items": {"type": "boolean"}}),
        (Literal["a", 1], {"enum": ["a", 1]}),
        (Annotated[str, "which one"], {"type": "string", "description": "which one"}),
        (dict, {"type": "object"}),
    ],
)
def test_types(annotation: Any, schema: dict[str, Any]) -> None:
    """Those that JSON has."""
    assert spelled_type(annotation) == schema


def _plain(path: str) -> str:
    return path


async def _colour(colour: _Colour) -> None: ...
async def _positional(path: str, /) -> None: ...
async def _words(*path: str) -> None: ...
async def _unknown(path: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821
async def _bytes(path: dict[str, bytes]) -> None: ...
async def _path(path: str) -> None: ...


@pytest.mark.parametrize(
    ("function", "schema", "why"),
    [
        (_plain, None, "no async function"),
        (_colour, None, "'colour' is _Colour"),
        (_positional, None, "by name"),
        (_words, None, "by name"),
        (_unknown, None, "Nowhere"),
        (_bytes, None, "bytes"),
        (_path, {"type": "string"}, "none of an object"),
        (_path, {"type": "object", "properties": {"file": {}}, "required": ["path"]}, "names 'file'"),
        (_path, {"type": "object", "properties": {"path": {}}}, "needs 'path'"),
    ],
)
def test_what_cannot_be_a_runner_says_why(function: Any, schema: Any, why: str) -> None:
    """At the line that declares it."""
    with pytest.raises(Misuse) as raised:
        relay.runner("odd", schema=schema)(function)
    assert why in raised.value.why and raised.value.hint


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "ä", "a/b"])
def test_names(name: str) -> None:
    """As the mesh has them."""
    with pytest.raises(Misuse) as raised:
        relay.runner(name)
    assert raised.value.code is Code.BAD_NAME


@pytest.fixture
def _undeclared() -> Iterator[None]:
    """Nothing is declared yet: what other tests declare in this process stays."""
    before = dict(DECLARED)
    DECLARED.clear()
    yield
    DECLARED.update(before)


@pytest.mark.usefixtures("_undeclared")
def test_which_runners_are_served() -> None:
    """Those that are named, or all that were declared; none at all is an error, and so are two of one name."""
    with pytest.raises(Misuse):
        chosen(())
    first, second = relay.runner("one")(_path), relay.runner("two")(_path)
    assert DECLARED == {} and set(chosen((first,))) == {"one"}
    twin = relay.runner("two")(_path)
    with pytest.raises(Misuse) as raised:
        chosen((second, twin))
    assert raised.value.code is Code.NAME_IN_USE


def test_arguments_are_checked() -> None:
    """What does not fit is said by its place; a schema that is none is refused before anything is served."""
    check = checks_of({"one": relay.runner("one")(_path)})["one"]
    assert check({"path": "a"}) is None
    assert check({"path": 3}) == "path: 3 is not of type 'string'"
    assert "required" in (check({}) or "") and "no object" in (check([]) or "")
    wrong = relay.runner("one", schema={"type": "object", "properties": {"path": {"type": 3}}, "required": ["path"]})
    with pytest.raises(Misuse):
        checks_of({"one": wrong(_path)})
