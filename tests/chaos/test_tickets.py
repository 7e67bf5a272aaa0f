"""The crash harness sees what it is there to see: second runs, made-up successes, brokers that disagree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from relay.testing.node import Node
from relay.testing.tickets import SHAPES, Ticket


def _row(**changes: Any) -> dict[str, Any]:
    return {"state": "completed", "reason": "", "error": None, "exit_code": 0, "signal": None} | changes


@pytest.fixture
def ticket(tmp_path: Path) -> Ticket:
    """A task that exits with 0."""
    nodes = [Node(tmp_path, name, 1) for name in "ab"]
    for node in nodes:
        node.work.mkdir()
    return Ticket(1, "quick", nodes[0], nodes[1])


def _marked(ticket: Ticket, *words: str) -> Ticket:
    ticket.marks.write_text("\n".join(words))
    return ticket


def test_a_proper_end_is_no_violation(ticket: Ticket) -> None:
    """Started once, ended, called completed on both sides."""
    assert list(_marked(ticket, "start", "end").violations(_row(), _row())) == []


def test_a_second_start_is_seen(ticket: Ticket) -> None:
    """Whatever is said of it."""
    lost = _row(state="lost", exit_code=None)
    assert any("started 2 times" in fault for fault in _marked(ticket, "start", "start").violations(lost, lost))


@pytest.mark.parametrize("words", [(), ("start",)])
def test_a_made_up_success_is_seen(ticket: Ticket, words: tuple[str, ...]) -> None:
    """Completed, and never ran to its end."""
    assert any("its marks say" in fault for fault in _marked(ticket, *words).violations(_row(), _row()))


def test_a_wrong_word_is_seen(ticket: Ticket) -> None:
    """A failure that was none, and another exit code."""
    marked = _marked(ticket, "start", "end")
    assert list(marked.violations(_row(state="failed", exit_code=7), _row(state="failed", exit_code=7)))
    assert list(marked.violations(_row(exit_code=3), _row(exit_code=3)))


def test_disagreement_is_seen(ticket: Ticket) -> None:
    """The origin shows another state than its target."""
    assert list(_marked(ticket, "start", "end").violations(_row(state="running"), _row()))


def test_lost_is_the_truth_about_what_was_killed(ticket: Ticket) -> None:
    """No wrong word, however far it got."""
    lost = _row(state="lost", exit_code=None)
    for words in ((), ("start",), ("start", "end")):
        assert list(_marked(ticket, *words).violations(lost, lost)) == []


@pytest.mark.parametrize("shape", SHAPES)
def test_requests_repeat_their_operation(ticket: Ticket, shape: str) -> None:
    """The same operation id each time."""
    ticket.shape = shape
    assert ticket.request(5) == ticket.request(5)
    assert ticket.request(5)["operation"] != ticket.request(6)["operation"]
