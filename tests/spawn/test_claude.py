"""`claude`: its command, and its stream-json read from recorded-style streams. The exit code alone lies."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from relay.core.errors import Code, Misuse
from relay.core.spawning import SpawnRequest
from relay.core.states import State
from relay.core.wire import pack
from relay.spawn.agents.agent import Command, Finding
from relay.spawn.agents.claude import MAX_LINE, Claude, StreamReader, session_for

STREAMS = Path(__file__).parent / "streams"
SESSION = "0f7a4c1e-54f8-5d0a-9a3e-1d4f1f5f0001"


def request(**changes: Any) -> SpawnRequest:
    """A request for claude."""
    fields: dict[str, Any] = {"id": "abcdefghij234567", "name": "coder", "agent": "claude", "task": "Fix it"}
    return SpawnRequest(**fields | {"created": 1, "expires": 2} | changes)


def plan(command: Command) -> dict[str, Any]:
    """What the conductor of a command is told to do."""
    assert command.stdin is not None
    told: dict[str, Any] = json.loads(command.stdin)
    return told


def read(name: str, exit_code: int = 0, size: int | None = None) -> tuple[list[str], Finding]:
    """The progress and the finding of a stream, fed in pieces of that size."""
    data = (STREAMS / f"{name}.jsonl").read_bytes()
    reader = StreamReader()
    words: list[str] = []
    for at in range(0, len(data), size or len(data)):
        words += reader.feed(0, data[at : at + (size or len(data))])
    return words, reader.finding(exit_code)


# the command


def test_the_task_goes_by_standard_input() -> None:
    for task in ("Fix it", "--dangerously-skip-permissions", "-c", "a\nb", "é" * 50_000):
        command = Claude().command(request(task=task), 1)
        assert plan(command)["task"] == task and task not in (*command.argv, *plan(command)["argv"])
        assert plan(command)["argv"][:4] == ["claude", "-p", "--input-format", "stream-json"]
        assert command.program == "claude"


@pytest.mark.parametrize(("mode", "word"), [("plan", "plan"), ("edit", "acceptEdits"), ("full", "bypassPermissions")])
def test_modes(mode: str, word: str) -> None:
    argv = plan(Claude().command(request(mode=mode), 1))["argv"]
    assert argv[argv.index("--permission-mode") + 1] == word


def test_each_attempt_has_a_session_of_its_own() -> None:
    sessions = [session_for(spawn, attempt) for spawn in ("a", "b") for attempt in (1, 2)]
    assert len(set(sessions)) == 4 and all(str(uuid.UUID(each)) == each for each in sessions)
    argv = plan(Claude().command(request(), 3))["argv"]
    assert argv[argv.index("--session-id") + 1] == session_for("abcdefghij234567", 3)


def test_a_model_is_a_word_and_never_an_option() -> None:
    argv = plan(Claude().command(request(model="claude-opus-4@x"), 1))["argv"]
    assert argv[-2:] == ["--model", "claude-opus-4@x"]
    assert "--model" not in plan(Claude().command(request(), 1))["argv"]
    for model in ("--evil", "-x", "a b", "a\nb", "", "x;y", "é", "a" * 129, "$(x)"):
        if model:
            with pytest.raises(Misuse) as caught:
                Claude().command(request(model=model), 1)
            assert caught.value.code is Code.BAD_NAME


@pytest.mark.parametrize("task", ["", "  ", "\n\t"])
def test_an_empty_task_is_refused(task: str) -> None:
    with pytest.raises(Misuse) as caught:
        Claude().command(request(task=task), 1)
    assert caught.value.code is Code.BAD_TASK


# the stream

FOUND: dict[str, tuple[int, State, Code | None]] = {
    "success": (0, State.COMPLETED, None),
    "type_not_first": (0, State.COMPLETED, None),
    "garbage": (0, State.COMPLETED, None),
    "api_error": (1, State.FAILED, Code.AGENT_NO_LOGIN),
    "denied": (0, State.FAILED, Code.AGENT_DENIED),
    "max_turns": (1, State.FAILED, Code.AGENT_MAX_TURNS),
    "no_result": (0, State.FAILED, Code.AGENT_NO_RESULT),
    "retries": (1, State.FAILED, Code.AGENT_NO_RESULT),
    "during_execution": (1, State.FAILED, Code.AGENT_ERROR),
}


@pytest.mark.parametrize("name", FOUND)
@pytest.mark.parametrize("size", [None, 1, 7, 4096])
def test_streams(name: str, size: int | None) -> None:
    exit_code, state, code = FOUND[name]
    _, finding = read(name, exit_code, size)
    assert (finding.state, finding.code, finding.session) == (state, code, SESSION)
    assert (finding.why == "") is (state is State.COMPLETED)
    assert bool(finding.hint) is (state is State.FAILED)


def test_every_stream_has_its_row() -> None:
    assert {path.stem for path in STREAMS.glob("*.jsonl")} == set(FOUND)


@pytest.mark.parametrize("name", FOUND)
def test_no_failing_exit_code_becomes_a_success(name: str) -> None:
    for exit_code in (1, 2, 126, 130, 255):
        assert read(name, exit_code)[1].state is State.FAILED


@pytest.mark.parametrize("name", FOUND)
def test_a_stream_cut_anywhere_is_no_success(name: str) -> None:
    data = (STREAMS / f"{name}.jsonl").read_bytes().rstrip(b"\n")
    for length in range(0, len(data), 13):
        reader = StreamReader()
        reader.feed(0, data[:length])
        assert reader.finding(0).state is State.FAILED, data[:length][-60:]


def test_the_last_line_may_lack_its_line_break() -> None:
    reader = StreamReader()
    reader.feed(0, (STREAMS / "success.jsonl").read_bytes().rstrip(b"\n"))
    assert reader.finding(0).state is State.COMPLETED


def test_progress_is_what_a_person_wants_to_hear() -> None:
    words, finding = read("success")
    assert words == ["I will look at the tests first.", "uses Bash", "Fixed: naïve café test — now green ✓"]
    assert finding.summary == "All tests pass: naïve café ✓"
    assert finding.usage == {
        "input_tokens": 1200,
        "output_tokens": 85,
        "cache_read_input_tokens": 900,
        "turns": 3,
        "cost_usd": 0.0123,
    }


def test_retries_are_told_and_remembered() -> None:
    words, finding = read("retries", 1)
    assert words == [f"waiting for the API, try {n} of 10, 529" for n in (1, 2)]
    assert words[-1] in finding.why


def test_an_error_says_what_the_api_said() -> None:
    assert read("api_error", 1)[1].why == "API Error: 401 invalid x-api-key"
    assert read("during_execution", 1)[1].why == "the model stream broke off"


def test_denials_name_their_tools() -> None:
    finding = read("denied")[1]
    assert "Bash, Write" in finding.why and "--mode full" in finding.hint


def test_the_error_stream_counts_for_nothing() -> None:
    reader = StreamReader()
    assert reader.feed(1, (STREAMS / "success.jsonl").read_bytes()) == []
    assert reader.finding(0).code is Code.AGENT_NO_RESULT


def test_a_line_without_end_is_passed_over_and_the_next_is_read() -> None:
    reader = StreamReader()
    for _ in range(3):
        reader.feed(0, b"x" * (MAX_LINE // 2))
    reader.feed(0, b"rest of it\n" + (STREAMS / "success.jsonl").read_bytes())
    assert reader.finding(0).state is State.COMPLETED


def test_what_is_left_of_a_line_without_end_is_no_result() -> None:
    """A result in the tail of a line that was too long is not a line of its own."""
    reader = StreamReader()
    reader.feed(0, b"x" * (MAX_LINE + 1))
    reader.feed(0, (STREAMS / "success.jsonl").read_bytes().splitlines()[-1])
    assert reader.finding(0).state is State.FAILED


@pytest.mark.parametrize(
    "result",
    [
        {"type": "result", "subtype": "success", "is_error": "no"},
        {"type": "result", "subtype": "success", "is_error": False, "permission_denials": "x"},
        {"type": "result", "is_error": False},
        {"type": "result", "subtype": ["success"], "is_error": False},
        {"type": "result", "subtype": "success", "is_error": True, "result": None, "errors": [{}]},
        {"type": "result", "subtype": "error_max_turns", "is_error": False},
    ],
)
def test_a_result_of_another_form_is_no_success(result: dict[str, Any]) -> None:
    reader = StreamReader()
    reader.feed(0, json.dumps(result).encode() + b"\n")
    finding = reader.finding(0)
    assert finding.state is State.FAILED and finding.code and finding.why


@pytest.mark.parametrize("key", ["result", "usage", "num_turns", "total_cost_usd", "session_id"])
@pytest.mark.parametrize("value", [None, 5, "text", [], {}, [{}], {"a": 1}, True, "\ud800", 10**30])
def test_odd_values_never_break_the_reader(key: str, value: object) -> None:
    reader = StreamReader()
    event = {"type": "result", "subtype": "success", "is_error": False, key: value}
    reader.feed(0, json.dumps(event).encode() + b"\n")
    finding = reader.finding(0)
    assert finding.state is State.COMPLETED and isinstance(finding.summary, str)
    pack({"usage": finding.usage, "summary": finding.summary, "session": finding.session})  # as a snapshot does


def test_half_a_surrogate_pair_is_told_as_a_question_mark() -> None:
    """Agents cut texts within an emoji; neither the store nor the wire can hold what is left of it."""
    half = "cut \ud83d"
    events: list[dict[str, Any]] = [
        {"type": "assistant", "message": {"content": [{"type": "text", "text": half}]}},
        {"type": "assistant", "message": {"content": [{"type": "tool_use", "name": half}]}},
        {"type": "system", "subtype": "api_retry", "error_status": half},
        {"type": "result", "subtype": "success", "is_error": True, "result": half, "usage": {half: 1}},
    ]
    reader = StreamReader()
    words = reader.feed(0, b"".join(json.dumps(event).encode() + b"\n" for event in events))
    finding = reader.finding(1)
    assert words[:2] == ["cut ?", "uses cut ?"]
    pack([words, finding.why, finding.summary, finding.usage])


def test_the_last_result_counts() -> None:
    reader = StreamReader()
    reader.feed(0, (STREAMS / "success.jsonl").read_bytes() + (STREAMS / "max_turns.jsonl").read_bytes())
    assert reader.finding(0).code is Code.AGENT_MAX_TURNS


def test_deep_and_long_lines_do_no_harm() -> None:
    reader = StreamReader()
    reader.feed(0, b"[" * 100_000 + b"\n" + b"\xff\xfe\n" + b'{"type":"result"' + b" " * 10_000 + b"\n")
    assert reader.finding(0).code is Code.AGENT_NO_RESULT
