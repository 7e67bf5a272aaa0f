"""A name never stands for another broker's id."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.core import ids
from relay.core.naming import meant, passes_for

ONE, TWO = ids.broker_id(bytes(32)), ids.broker_id(b"x" * 32)


def test_a_broker_is_meant_by_name_and_by_the_beginning_of_its_id() -> None:
    brokers = {ONE: ["laptop"], TWO: ["vps", "server"]}
    assert meant("laptop", brokers) == [ONE]
    assert meant("server", brokers) == [TWO]
    assert meant(TWO[:4].upper(), brokers) == [TWO]
    assert meant(ids.grouped(TWO), brokers) == [TWO]
    assert meant(TWO[:3], brokers) == [] == meant("mini", brokers)


def test_a_name_that_begins_as_another_s_id_hides_nobody() -> None:
    for size in (4, 8, 20, 55):
        assert meant(ONE[:size], {ONE: ["laptop"], TWO: [ONE[:size]]}) == [ONE, TWO]


def test_a_whole_id_is_one_broker_s_whatever_others_are_called() -> None:
    assert meant(ONE, {TWO: [ONE], ONE: ["laptop"]}) == [ONE]


@given(st.integers(4, 56), st.sampled_from(["", "-", " "]))
def test_a_name_that_would_pass_for_another_is_seen(size: int, between: str) -> None:
    name = between.join((ONE[:3], ONE[3:size]))
    assert passes_for(name, [TWO, ONE]) == ONE
    assert passes_for(name.upper(), [TWO]) is None


def test_short_and_other_names_pass_for_nobody() -> None:
    assert passes_for(ONE[:3], [ONE]) is None
    assert passes_for("laptop", [ONE, TWO]) is None
    assert passes_for(ONE + "x", [ONE]) is None
