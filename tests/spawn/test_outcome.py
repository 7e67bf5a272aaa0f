"""From exit record and finding to the state it ends in: every pair of causes, and no way to a wrong success."""

from __future__ import annotations

import dataclasses
import itertools
import json
from typing import Any

import pytest

from relay.core.errors import Code, LocalFault
from relay.core.ids import broker_id
from relay.core.spawning import MAX_SUMMARY, MAX_TAIL, Snapshot, snapshot_from_bytes
from relay.core.states import IN_HAND, TERMINAL, TRANSITIONS, State, exit_status
from relay.spawn.agents.agent import Finding
from relay.spawn.attempt import ExitRecord, LaunchError
from relay.spawn.outcome import Outcome, lost, not_started, outcome_of, recorded

GOOD = Finding(State.COMPLETED)
BAD = Finding(State.FAILED, code=Code.AGENT_ERROR, why="it said so", hint="relay logs {id}")
KINDS = (
    *("not_found", "not_executable", "noexec", "bad_interpreter", "bad_cwd", "too_long", "exec_failed"),
    *("no_limits", "shim_fault", "later"),
)


def record(**changes: Any) -> ExitRecord:
    """An exit record of a task that ran and ended with exit code 0."""
    fields: dict[str, Any] = {"exit_code": 0, "signal": None, "timed_out": False, "stopped": False, "error": None}
    return ExitRecord(**fields | {"started_at": 1_000, "ended_at": 2_000} | changes)


def judged(finding: Finding = GOOD, tail: str = "", **changes: Any) -> Outcome:
    """The outcome of a record."""
    return outcome_of("abcdefghij234567", record(**changes), finding, tail, 5.0, "ann")


def launch(kind: str) -> dict[str, Any]:
    """The changes of a task that could not be started."""
    return {"exit_code": None, "started_at": None, "error": LaunchError(kind, 2, f"x: {kind}")}


# what the record says, what the agent says, then state, code and the exit status of a command that waited
TABLE: list[tuple[dict[str, Any], Finding, State, Code | None, int]] = [
    ({}, GOOD, State.COMPLETED, None, 0),
    ({}, BAD, State.FAILED, Code.AGENT_ERROR, 1),
    ({"exit_code": 7}, GOOD, State.FAILED, Code.EXIT_NONZERO, 7),
    ({"exit_code": 7}, BAD, State.FAILED, Code.AGENT_ERROR, 7),
    ({"exit_code": None, "signal": 9}, GOOD, State.FAILED, Code.KILLED_BY_SIGNAL, 137),
    ({"exit_code": None, "signal": 15}, BAD, State.FAILED, Code.KILLED_BY_SIGNAL, 143),
    ({"exit_code": None, "signal": 63}, GOOD, State.FAILED, Code.KILLED_BY_SIGNAL, 191),
    ({"exit_code": None, "signal": 15, "timed_out": True}, GOOD, State.TIMED_OUT, Code.TASK_TIMED_OUT, 124),
    ({"timed_out": True}, GOOD, State.TIMED_OUT, Code.TASK_TIMED_OUT, 124),
    ({"exit_code": None, "signal": 15, "stopped": True}, GOOD, State.CANCELLED, None, 130),
    ({"stopped": True}, GOOD, State.CANCELLED, None, 130),
    ({"stopped": True, "timed_out": True}, GOOD, State.CANCELLED, None, 130),
    ({"stopped": True} | launch("stopped"), GOOD, State.CANCELLED, None, 130),
    ({"exit_code": None}, GOOD, State.LOST, Code.TASK_LOST, 123),
    ({"exit_code": None, "survivors": 1}, GOOD, State.LOST, Code.TASK_LOST, 123),
    (launch("not_found"), GOOD, State.FAILED, Code.MISSING_BINARY, 127),
    (launch("not_executable"), GOOD, State.FAILED, Code.NOT_EXECUTABLE, 126),
    (launch("noexec"), GOOD, State.FAILED, Code.NOT_EXECUTABLE, 126),
    (launch("bad_interpreter"), GOOD, State.FAILED, Code.NOT_EXECUTABLE, 126),
    (launch("bad_cwd"), GOOD, State.FAILED, Code.NO_DIRECTORY, 1),
    (launch("too_long"), GOOD, State.FAILED, Code.BAD_TASK, 1),
    ({"exit_code": None, "signal": 9, "oom": True}, GOOD, State.FAILED, Code.OUT_OF_MEMORY, 137),
    ({"exit_code": 3, "oom": True}, GOOD, State.FAILED, Code.OUT_OF_MEMORY, 3),
    ({"exit_code": None, "signal": 9, "oom": True, "timed_out": True}, GOOD, State.TIMED_OUT, Code.TASK_TIMED_OUT, 124),
    (launch("no_limits"), GOOD, State.FAILED, Code.NO_LIMITS, 1),
    (launch("exec_failed"), GOOD, State.FAILED, Code.LAUNCH_FAILED, 1),
    (launch("shim_fault"), GOOD, State.LOST, Code.TASK_LOST, 123),
]


@pytest.mark.parametrize(("changes", "finding", "state", "code", "status"), TABLE)
def test_table(changes: dict[str, Any], finding: Finding, state: State, code: Code | None, status: int) -> None:
    outcome = judged(finding, **changes)
    assert outcome.state is state
    assert (outcome.error or {}).get("code") == (str(code) if code else None)
    assert exit_status(outcome.state, outcome.exit_code, outcome.signal, str(code or "")) == status


def _every_record() -> list[dict[str, Any]]:
    ends: list[dict[str, Any]] = [{}, {"exit_code": 3}, {"exit_code": None, "signal": 9}, {"exit_code": None}]
    ends += [launch(kind) for kind in (*KINDS, "stopped")]
    return [end | {"timed_out": late, "stopped": asked} for end in ends for late in (0, 1) for asked in (0, 1)]


@pytest.mark.parametrize("finding", [GOOD, BAD])
@pytest.mark.parametrize("changes", _every_record())
def test_success_takes_everything_at_once(changes: dict[str, Any], finding: Finding) -> None:
    """Of all that can be said together, one alone is a success; the rest names a cause, or was asked for."""
    outcome = judged(finding, **changes)
    all_well = record(**changes) == record() and finding is GOOD
    assert (outcome.state is State.COMPLETED) is all_well
    assert outcome.state in TERMINAL and outcome.state in TRANSITIONS[State.RUNNING]
    assert outcome.result is not None and outcome.result["outcome"] == ("done" if all_well else "error")
    if outcome.state not in (State.COMPLETED, State.CANCELLED):
        assert outcome.error and outcome.error["message"] and outcome.error["hint"] and outcome.reason
        assert "{id}" not in outcome.error["hint"]


@pytest.mark.parametrize("state", sorted(IN_HAND))
def test_every_outcome_is_an_end_of_what_is_in_hand(state: State) -> None:
    """Whatever a task's end comes to, the table has the pair: an end that cannot be written would be lost."""
    ends = [judged(finding, **changes) for changes, finding in itertools.product(_every_record(), (GOOD, BAD))]
    fault = LocalFault("x", code=Code.LAUNCH_FAILED)
    for outcome in (*ends, lost("abcdefghij234567", "", 1), not_started("abcdefghij234567", fault, 1)):
        assert outcome.state in TRANSITIONS[state], (state, outcome.state)


def test_a_stop_names_who_asked() -> None:
    assert judged(stopped=True).reason == "stopped by ann"
    assert outcome_of("abcdefghij234567", record(stopped=True), GOOD, "", None).reason == "stopped by request"


def test_words() -> None:
    assert judged(timed_out=True).reason == "it ran longer than its timeout of 5 s"
    assert judged(exit_code=None, signal=9).reason == "it was ended by SIGKILL"
    assert judged(exit_code=None, signal=99).reason == "it was ended by signal 99"
    assert "nobody" in lost("abcdefghij234567", "", 1).reason or "not seen" in lost("abcdefghij234567", "", 1).reason


def test_the_result_says_what_else_befell_it() -> None:
    outcome = judged(
        log_dropped=5, log_lost=2, log_error="ENOSPC", survivors=1, not_awake="no systemd-inhibit here"
    )
    assert outcome.result is not None and outcome.state is State.COMPLETED
    assert [note.partition(" ")[2] for note in outcome.result["notes"]] == [
        "bytes of its output are no longer kept: there was more than log_limit",
        "bytes of its output could not be written (ENOSPC)",
        "of its processes could not be ended: stuck in the kernel, or of another user",
        "machine was not kept awake: no systemd-inhibit here",
    ]
    assert judged().result["notes"] == []  # type: ignore[index]


def test_the_result_carries_summary_tail_and_what_was_lost() -> None:
    outcome = judged(tail="first\n\nlast words\n \n", log_dropped=5, log_lost=2, survivors=1)
    assert outcome.result is not None
    assert outcome.result["summary"] == "last words"
    assert (outcome.result["output_lost_bytes"], outcome.result["processes_left"]) == (7, 1)
    said = judged(Finding(State.COMPLETED, summary="agent's own", usage={"turns": 2}, session="s"), tail="last words")
    assert said.result is not None
    assert (said.result["summary"], said.result["usage"], said.result["session"]) == ("agent's own", {"turns": 2}, "s")


@pytest.mark.parametrize("letter", ["x", "é", "\u65e5", "\U0001f600", "\ufffd", "\0", "\x1b"])
def test_the_longest_outcome_fits_into_a_snapshot(letter: str) -> None:
    """A result that its own broker cannot send would leave the spawn without an end for ever."""
    finding = Finding(State.FAILED, letter * 9_000, Code.AGENT_ERROR, letter * 600, letter * 300, {}, letter * 128)
    outcome = judged(finding, tail=letter * 20_000, exit_code=1)
    assert outcome.result is not None
    assert len(outcome.result["summary"]) <= MAX_SUMMARY and len(outcome.result["output_tail"]) <= MAX_TAIL
    snapshot = Snapshot(
        "abcdefghij234567", broker_id(bytes(32)), 1, 3, outcome.state, 1, 1, outcome.reason[:1000],
        exit_code=outcome.exit_code, result=outcome.result, error=outcome.error,
    )  # fmt: skip
    assert snapshot_from_bytes(snapshot.to_bytes()).result == outcome.result


def test_an_outcome_is_a_value() -> None:
    assert dataclasses.replace(judged()) == judged()


@pytest.mark.parametrize("changes", [{}, launch("not_found")])
def test_a_record_is_kept_whole(changes: dict[str, Any]) -> None:
    kept = recorded(record(**changes))
    assert json.loads(json.dumps(kept)) == kept == dataclasses.asdict(record(**changes))
