"""What is visible where, what fits a catalogue, and which JSON is carried."""

from __future__ import annotations

import json

import pytest

from relay.core import json_values
from relay.core.calls import PIECE, pieces_of, read_arguments
from relay.core.errors import Misuse
from relay.core.ids import BrokerId
from relay.core.offers import (
    MAX_DEFINITION,
    Catalogue,
    Offer,
    catalogue_from_content,
    clashes,
    fitting,
    read_offer,
    visible,
)

A, B = BrokerId("a" * 56), BrokerId("b" * 56)
NAMES = {A: "mac", B: "vps"}


def offer(name: str, size: int = 0) -> Offer:
    return Offer(name, json.dumps({"name": name, "description": "x" * size}))


def test_what_a_broker_offers_itself_or_has_hidden_is_not_seen_and_a_clash_names_its_broker() -> None:
    told = [(A, offer("own")), (A, offer("read")), (B, offer("read")), (B, offer("list")), (A, offer("gone"))]
    seen = visible(told, ["own"], [("gone", None)], NAMES)
    assert [(each.name, each.broker) for each in seen] == [("list", B), ("read@mac", A), ("read@vps", B)]
    assert all(each.offer.name in each.name for each in seen) and clashes(told) == ["read"]
    # a name that is hidden of one broker is no clash any more
    assert [each.name for each in visible(told, ["own"], [("read", A), ("gone", A)], NAMES)] == ["list", "read"]


def test_what_is_too_much_for_a_catalogue_is_left_out_from_the_largest() -> None:
    few = [offer(f"t{n}", 100) for n in range(20)]
    assert fitting(few) == tuple(sorted(few, key=lambda each: each.name))
    many = [offer(f"t{n}", 60_000) for n in range(60)]
    chosen = fitting([*many, offer("small")])
    assert "small" in {each.name for each in chosen} and 0 < len(chosen) < 60
    assert catalogue_from_content(Catalogue(1, chosen).to_content()).offers == chosen


@pytest.mark.parametrize(
    "document",
    [
        None,
        {"name": "a b", "definition": {"name": "a b"}},
        {"name": "a", "definition": {"name": "b"}},
        {"name": "a", "definition": {"name": "a", "x": "y" * MAX_DEFINITION}},
        {"name": "a", "definition": {"name": "a", "x": float("nan")}},
        {"name": "a", "definition": {"name": "a"}, "share": "../x"},
    ],
)
def test_an_offer_that_cannot_be_told_is_refused(document: object) -> None:
    with pytest.raises(Misuse):
        read_offer(document, "runner")


def test_json_is_carried_as_it_is_or_refused_with_the_reason() -> None:
    value = {"a": [1, -(2**63), 2**63 - 1, 0.1, True, None, "é\u202e"], "b": {"c": {}}}
    assert json.loads(read_arguments(value)) == value
    deep: object = {}
    for _ in range(json_values.MAX_DEPTH + 1):
        deep = [deep]
    odd = (2**63, float("inf"), "\ud800", {1: 2}, b"x", deep, [0] * (json_values.MAX_PARTS + 1))
    assert all(json_values.fault_of(each) for each in odd)
    with pytest.raises(ValueError, match="more than 3 bytes"):
        json_values.read(b"[1, 2]", 3)


def test_a_long_result_is_cut_without_loss() -> None:
    assert pieces_of(b"x" * PIECE) == []
    data = bytes(range(256)) * 3_000
    assert b"".join(pieces_of(data)) == data and len(pieces_of(data)) == 4
