"""More questions than one look can tell: what is told then."""

from __future__ import annotations

import dataclasses

from relay.broker.reviewing import MAX_TOLD, MOST_TOLD, that_fit
from relay.core.wire import pack
from tests.fuzz.specimens import ITEM


def test_of_too_many_questions_the_first_of_each_spawn_are_told() -> None:
    spawns = [letter * 16 for letter in "abcdefghijklmnop"]
    asked = [(spawn, n) for spawn in spawns for n in range(64)]
    many = [dataclasses.replace(ITEM, spawn=spawn, asked=n) for spawn, n in asked]
    told = [(each["spawn"], each["asked"]) for each in that_fit(many)]
    assert len(told) == MOST_TOLD < len(many)
    assert told[: len(spawns)] == [(spawn, 0) for spawn in spawns]
    assert {max(n for of, n in told if of == spawn) for spawn in spawns} == {30, 31}
    long = [dataclasses.replace(each, input="x" * 40_000) for each in many]
    assert MAX_TOLD * 0.9 < sum(len(pack(each)) for each in that_fit(long)) <= MAX_TOLD
    assert [each["asked"] for each in that_fit(many[:64])] == list(range(64)), "all of a few, in their order"
