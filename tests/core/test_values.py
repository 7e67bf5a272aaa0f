"""`frozen` makes what the library's decorator makes: each case is put to both."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from relay.core.values import frozen

Decorator = Callable[[type], type]


@frozen
class Ours:
    """A value of each sort of field."""

    name: str
    secret: bytes = field(repr=False)
    at: int = 3
    words: list[str] = field(default_factory=list)
    seen: int = field(default=0, compare=False)
    length: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "length", len(self.name))


@dataclass(frozen=True, slots=True)
class Theirs:
    """A value of each sort of field."""

    name: str
    secret: bytes = field(repr=False)
    at: int = 3
    words: list[str] = field(default_factory=list)
    seen: int = field(default=0, compare=False)
    length: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "length", len(self.name))


@frozen
class Small:
    """Two that may be told apart."""

    x: int
    y: str = "y"


@frozen
class Empty:
    """Of nothing."""


BOTH = pytest.mark.parametrize("kind", [Ours, Theirs])


@BOTH
def test_it_is_made_shown_and_compared_alike(kind: Any) -> None:
    one = kind("name", b"key", words=["a"])
    assert repr(one) == f"{kind.__name__}(name='name', at=3, words=['a'], seen=0, length=4)", "no secret is shown"
    assert one == kind("name", b"key", 3, ["a"], seen=9)
    assert one != kind("name", b"other", words=["a"]) and one != "name"
    assert kind("a", b"").words is not kind("a", b"").words
    assert not hasattr(one, "__dict__")


@BOTH
def test_it_stays_as_it_is(kind: Any) -> None:
    one = kind("name", b"key")
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.at = 4
    with pytest.raises(dataclasses.FrozenInstanceError):
        del one.at
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):  # the library's own trips over it
        one.new = 4
    assert one.at == 3


@BOTH
def test_what_the_library_does_with_values_it_does_with_these(kind: Any) -> None:
    one = kind("name", b"key")
    assert dataclasses.replace(one, name="longer").length == 6
    assert dataclasses.asdict(one)["length"] == 4
    assert [each.name for each in dataclasses.fields(kind)] == ["name", "secret", "at", "words", "seen", "length"]
    for again in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert again == one and again.seen == one.seen and again.length == 4
    match one:
        case Ours(name, secret) | Theirs(name, secret):
            assert (name, secret) == ("name", b"key")
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'secret'"):
        kind("name")
    with pytest.raises(TypeError, match="unexpected keyword argument 'other'"):
        kind("name", b"", other=1)


def test_equal_ones_are_one_in_a_set() -> None:
    assert len({Small(1), Small(1, "y"), Small(2), Empty(), Empty()}) == 3
    others: list[object] = [Ours("a", b""), Empty(), (1, "y")]
    assert all(Small(1) != other for other in others)


def test_what_a_class_says_for_itself_stands() -> None:
    def defined(decorate: Decorator) -> Any:
        class Kind:
            x: int
            y: int

            def __eq__(self, other: object) -> bool:
                return isinstance(other, type(self)) and self.x == other.x

            def __repr__(self) -> str:
                return f"x={self.x}"

        Kind.__annotations__ = {"x": int, "y": int}
        return decorate(Kind)

    for kind in (defined(frozen), defined(dataclass(frozen=True, slots=True))):
        assert kind(1, 2) == kind(1, 3) != kind(2, 2) and repr(kind(1, 2)) == "x=1"
        assert hash(kind(1, 2)) == hash((1, 2))


def test_one_that_adds_to_another_is_one_as_well() -> None:
    @frozen
    class More(Small):
        z: int = 0

    assert More(1, z=2) != More(1) and More(1).y == "y" and hash(More(1)) == hash(More(1))
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(More(1), "z", 3)  # noqa: B010 - the checker forbids it in words
