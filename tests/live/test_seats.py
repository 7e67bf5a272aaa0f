"""Who drives: one of several, each known over its connections by a source of its own."""

from __future__ import annotations

from dataclasses import dataclass, field

from relay.broker.seats import Seats
from relay.core.ids import BrokerId

SPAWN = "s"
LAPTOP, PHONE = BrokerId("l" * 56), BrokerId("p" * 56)


@dataclass(eq=False)
class Person:
    """Someone attached, over one connection."""

    title: str
    origin: BrokerId = LAPTOP
    source: bytes = b""
    goes_on: bool = False
    granted: bool = True
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.source = self.source or self.title.encode()

    def may_drive(self) -> bool:
        return self.granted

    def replaced_by(self, title: str) -> None:
        self.told.append(f"replaced by {title}")

    def given_back(self) -> None:
        self.told.append("given back")

    def superseded(self) -> None:
        self.told.append("superseded")

    def again(self, origin: BrokerId | None = None) -> Person:
        """The same one over another connection."""
        return Person(self.title, origin or self.origin, self.source, goes_on=True)


def test_who_comes_takes_over_and_who_drove_drives_again_when_that_one_leaves() -> None:
    seats, ann, bob, cay = Seats(), Person("ann"), Person("bob"), Person("cay")
    assert [seats.come(SPAWN, each) for each in (ann, bob, cay)] == [True, True, True]
    assert (ann.told, bob.told) == (["replaced by bob"], ["replaced by cay"])
    seats.leave(SPAWN, cay, is_over=False)
    assert seats.driver(SPAWN) is bob and bob.told[-1] == "given back"
    seats.leave(SPAWN, bob, is_over=False)
    assert seats.driver(SPAWN) is ann and ann.told[-1] == "given back"
    seats.leave(SPAWN, ann, is_over=False)
    assert seats.driver(SPAWN) is None


def test_who_goes_on_takes_over_from_what_is_left_of_itself() -> None:
    seats, ann = Seats(), Person("ann")
    seats.come(SPAWN, ann)
    back = ann.again()
    assert seats.come(SPAWN, back) and seats.driver(SPAWN) is back
    assert ann.told == ["superseded"]
    seats.leave(SPAWN, ann, is_over=False)  # its connection is noticed to be dead
    assert seats.driver(SPAWN) is back and back.told == []


def test_who_goes_on_waits_for_another_who_drives() -> None:
    seats, ann, bob = Seats(), Person("ann"), Person("bob")
    seats.come(SPAWN, ann)
    seats.come(SPAWN, bob)
    back = ann.again()
    assert not seats.come(SPAWN, back) and seats.driver(SPAWN) is bob
    assert ann.told == ["replaced by bob", "superseded"]
    seats.leave(SPAWN, bob, is_over=False)
    assert seats.driver(SPAWN) is back and back.told == ["given back"]


def test_another_broker_cannot_pass_for_somebody_with_its_source() -> None:
    seats, ann = Seats(), Person("ann")
    seats.come(SPAWN, ann)
    assert not seats.come(SPAWN, ann.again(PHONE)) and seats.driver(SPAWN) is ann and ann.told == []


def test_who_may_no_longer_drive_is_passed_over_and_a_task_that_is_over_is_offered_to_nobody() -> None:
    seats, ann, bob, cay = Seats(), Person("ann"), Person("bob", granted=False), Person("cay")
    for each in (ann, bob, cay):
        seats.come(SPAWN, each)
    seats.leave(SPAWN, cay, is_over=False)
    assert seats.driver(SPAWN) is ann and bob.told == ["replaced by cay"]
    other = Person("dan")
    seats.come(SPAWN, other)
    seats.leave(SPAWN, other, is_over=True)
    assert seats.driver(SPAWN) is None and ann.told == ["replaced by bob", "given back", "replaced by dan"]
