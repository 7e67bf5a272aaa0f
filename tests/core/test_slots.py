"""Slots: who needs which, and when there is none."""

from __future__ import annotations

import pytest

from relay.core.slots import Occupancy, is_slot_name, needs

SLOTS = {"claude": 2, "label:gpu": 1, "label:queue=nightly": 1}


def test_a_spawn_needs_one_of_each_sort_that_it_is_of() -> None:
    assert needs("claude", {"gpu": "a100", "queue": "nightly"}, SLOTS) == ["claude", "label:gpu", "label:queue=nightly"]
    assert needs("shell", {"queue": "daily"}, SLOTS) == []


def test_what_is_full_is_told_by_its_sort() -> None:
    in_hand = [("claude", {"gpu": "x"}), ("claude", {}), ("shell", {})]
    busy = Occupancy.of(8, SLOTS, in_hand)
    assert busy.full_sort("claude", {}) == "claude"
    assert busy.full_sort("shell", {"gpu": "y"}) == "label:gpu"
    assert busy.full_sort("shell", {"queue": "nightly"}) is None and not busy.is_full
    assert busy.busy("claude") == "2 of 2 claude slots busy"
    assert busy.busy("label:gpu") == "1 of 1 gpu slots busy"
    assert busy.busy(None) == "3 of 8 slots busy"
    assert Occupancy.of(3, {}, in_hand).is_full


@pytest.mark.parametrize(
    ("name", "may"),
    [
        ("claude", True),
        ("label:gpu", True),
        ("label:queue=nightly run", True),
        ("label:", False),
        ('label:a"b', False),
        ("Claude", False),
        ("label:k=a\nb", False),
    ],
)
def test_the_names_of_slots(name: str, may: bool) -> None:
    assert is_slot_name(name) is may
