"""A call runs once, where its runner is, and its caller learns what became of it: the truth, and all of it."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from relay.testing.control import ControlError
from relay.testing.processes import wait_until
from tests.e2e.scene import audit, fresh
from tests.tools.conftest import Ground, asleep


def test_a_call_made_while_its_machine_is_off_waits_with_the_true_reason_and_runs_once(ground: Ground) -> None:
    tool = fresh("tool")
    program = ground.serve(tool)
    with asleep(ground.vps):
        wait_until(lambda: not ground.laptop.status()["links"], 20, "vps to be away")
        call = ground.call(tool, wait_s=0.2, arguments={"a": 1})
        assert call["state"] == "queued" and "vps is asleep (last seen" in call["reason"]
        assert call["spoken"].startswith("Queued: vps is asleep") and call["truth"]["from"] == ground.laptop.id
        assert "vps is asleep (last seen" in ground.tool(ground.laptop, tool, here=False)["reason"]  # type: ignore[index]
    done = ground.ended(call["id"])
    assert done["state"] == "completed" and done["outcome"] == "done", done
    assert json.loads(done["result"]["content"][0]["text"]) == {"a": 1}
    assert done["truth"]["from"] == ground.vps.id and program.lines("ran") == [call["id"]]
    wait_until(lambda: ground.laptop.relay_json("outbox")["outgoing"] == [], 20, "the outbox to be empty")


@pytest.mark.parametrize(
    ("arguments", "state", "outcome", "message"),
    [
        ({"do": "raise"}, "failed", "error", "no such row"),
        ({"do": "iserror"}, "failed", "error", '{"do": "iserror"}'),
        ({"do": "status"}, "failed", "error", '{"do": "status"}'),
        ({"do": "approval"}, "completed", "awaiting_approval", None),
        ({"do": "say", "said": {"outcome": "done", "result": None}}, "failed", "error", "gave no result"),
        ({"do": "say", "said": {"outcome": "fine"}}, "failed", "error", "nobody knows"),
        ({"do": "say", "said": {"result": {"content": "x"}}}, "failed", "error", "no result of a tool"),
    ],
)
def test_what_its_runner_calls_a_failure_is_never_a_success(
    ground: Ground, arguments: dict[str, object], state: str, outcome: str, message: str | None
) -> None:
    tool = fresh("tool")
    ground.serve(tool)
    call = ground.call(tool, arguments=arguments)
    assert (call["state"], call["outcome"]) == (state, outcome), call
    assert (call["error"] is None) is (message is None)
    if message is not None:
        assert message in call["error"]["message"] and call["spoken"].startswith("Failed on vps: ")


def test_a_program_that_never_answers_is_no_success_and_its_call_ends_at_its_timeout(ground: Ground) -> None:
    tool = fresh("tool")
    program = ground.serve(tool)
    gate = ground.vps.scratch / fresh("gate")
    call = ground.call(tool, wait_s=0, timeout_s=3, arguments={"do": "wait", "gate": str(gate)})
    call = ground.reaches(call["id"], "running", "timed_out")  # who looks late finds it at its end
    assert call["outcome"] is None and call["result"] is None
    late = ground.ended(call["id"])
    assert late["state"] == "timed_out" and late["error"]["code"] == "runner_timed_out", late
    assert wait_until(lambda: program.lines("cancel"), 10, "the program to be told") == [call["id"]]
    gate.touch()
    wait_until(lambda: program.lines("ended"), 10, "its end")
    # what it says afterwards is acknowledged, and changes nothing that was told
    assert ground.call(tool, arguments={"do": "echo"})["state"] == "completed"
    assert ground.ended(call["id"], 0)["state"] == "timed_out"


def test_a_call_is_not_told_as_ended_before_its_real_end(ground: Ground) -> None:
    tool = fresh("tool")
    ground.serve(tool)
    gate = ground.vps.scratch / fresh("gate")
    call = ground.call(tool, wait_s=0, arguments={"do": "wait", "gate": str(gate)})
    running = ground.reaches(call["id"], "running")
    assert running["started"] and not running["ended"] and running["spoken"] == "Running on vps."
    assert ground.ended(call["id"], 0.3)["state"] == "running"
    gate.touch()
    assert ground.ended(call["id"])["state"] == "completed"


def test_an_unknown_runner_is_refused_as_no_runner(ground: Ground) -> None:
    call = ground.call("no-such-tool", broker="vps")
    assert call["state"] == "rejected" and call["error"]["code"] == "no_runner", call
    with pytest.raises(ControlError, match="no program offers it here") as refused:
        ground.call("no-such-tool")
    assert refused.value.code == "no_runner"


def test_what_is_not_shared_is_not_there_for_others(ground: Ground) -> None:
    tool = fresh("private")
    program = ground.serve(tool, share="")
    assert ground.tool(ground.vps, tool, shared=False, served=True)
    call = ground.call(tool, broker="vps")
    assert call["error"]["code"] == "no_runner" and program.lines("ran") == []
    assert ground.call(tool, on=ground.vps)["state"] == "completed"
    with ground.vps.control() as control:
        control.post("shares", {"name": "mine", "runner": tool})
        assert wait_until(lambda: ground.tool(ground.laptop, tool), 20, "it to be told")
        assert ground.call(tool)["state"] == "completed"
        asked = {"do": "wait", "gate": str(ground.vps.scratch / fresh("gate")), "obey": True}
        running = ground.call(tool, wait_s=0, arguments=asked)["id"]
        ground.reaches(running, "running")
        control.post("shares/mine/remove", {})
    stopped = ground.ended(running)
    assert (stopped["state"], stopped["reason"]) == ("cancelled", "stopped by a change of what is shared while it ran")
    wait_until(lambda: ground.tool(ground.laptop, tool) is None, 20, "it to be told no more")
    assert ground.call(tool, broker="vps")["error"]["code"] == "no_runner"


def test_a_call_for_a_program_that_does_not_run_waits_and_says_so(ground: Ground) -> None:
    tool = fresh("tool")
    program = ground.serve(tool, title="ours")
    program.kill()
    wait_until(lambda: ground.tool(ground.vps, tool, served=False), 20, "its end to be noticed")
    call = ground.call(tool, wait_s=0)
    waiting = ground.reaches(call["id"], "waiting")
    assert waiting["reason"].startswith("its program is not running on vps since 2"), waiting
    assert waiting["spoken"] == f"Waiting on vps: {waiting['reason']}."
    again = ground.serve(tool, title="ours")
    assert ground.ended(call["id"])["state"] == "completed" and again.lines("ran") == [call["id"]]


def test_calls_wait_for_room_in_their_program_in_their_order(ground: Ground) -> None:
    tool = fresh("tool")
    program = ground.serve(tool, parallel=2)
    first, gate = (ground.vps.scratch / fresh("gate") for _ in range(2))
    gates = [first, gate, gate, gate, gate]
    calls = [ground.call(tool, wait_s=0, arguments={"do": "wait", "gate": str(each)}) for each in gates]
    last = ground.reaches(calls[-1]["id"], "waiting")
    assert last["reason"] == "4 ahead"
    wait_until(lambda: len(program.lines("ran")) >= 2, 10, "as many as it takes at once to be begun")
    assert len(program.lines("ran")) == 2
    first.touch()
    wait_until(lambda: ground.ended(calls[-1]["id"], 0)["reason"] == "3 ahead", 20, "its place to be told anew")
    gate.touch()
    assert [ground.ended(each["id"])["state"] for each in calls] == ["completed"] * 5
    assert program.lines("ran") == [each["id"] for each in calls]


def test_a_stop_before_the_start_is_certain_and_after_it_the_program_is_told(ground: Ground) -> None:
    tool = fresh("tool")
    program = ground.serve(tool, parallel=1)
    gate = ground.vps.scratch / fresh("gate")
    asked = {"do": "wait", "gate": str(gate), "obey": True}
    first, second = (ground.call(tool, wait_s=0, arguments=asked) for _ in range(2))
    ground.reaches(first["id"], "running")
    ground.reaches(second["id"], "waiting")
    with ground.laptop.control() as control:
        for each in (second, first):
            control.post(f"calls/{each['id']}/stop", {"requested_by": "anna"})
    assert "before it started" in ground.ended(second["id"])["reason"]
    done = ground.ended(first["id"])
    assert (done["state"], done["outcome"]) == ("cancelled", None) and program.lines("cancel") == [first["id"]]
    assert program.lines("ran") == [first["id"]]


def test_a_stop_that_comes_before_its_call_keeps_it_from_running(ground: Ground) -> None:
    tool = fresh("tool")
    program = ground.serve(tool)
    with asleep(ground.vps):
        wait_until(lambda: not ground.laptop.status()["links"], 20, "vps to be away")
        call = ground.call(tool, wait_s=0)
        with ground.laptop.control() as control:
            stopped = control.post(f"calls/{call['id']}/stop", {"requested_by": "anna"})
        assert stopped["state"] == "cancelled" and stopped["reason"] == "stopped by anna, never sent"
    wait_until(lambda: ground.call(tool)["state"] == "completed", 20, "another call")
    assert call["id"] not in program.lines("ran")


def test_the_same_operation_calls_once_and_another_call_under_it_is_refused(ground: Ground) -> None:
    tool = fresh("tool")
    program = ground.serve(tool)
    operation = uuid.uuid4().hex
    one, two = (ground.call(tool, operation=operation, arguments={"a": 1}) for _ in range(2))
    assert one["id"] == two["id"] and len(program.lines("ran")) == 1
    with pytest.raises(ControlError) as refused:
        ground.call(tool, operation=operation, arguments={"a": 2})
    assert refused.value.code == "conflict"


def test_arguments_that_are_too_long_or_odd_are_refused_at_once(ground: Ground) -> None:
    tool = fresh("tool")
    ground.serve(tool)
    with pytest.raises(ControlError) as refused:
        ground.call(tool, arguments={"text": "x" * 260_000})
    assert refused.value.code == "too_large" and "240 KiB" in refused.value.document["why"]
    deep: object = 1
    for _ in range(80):
        deep = [deep]
    for odd in ({"deep": deep}, {"lone": "\ud800"}, [1]):
        with pytest.raises(ControlError) as refused:
            ground.call(tool, arguments=odd)
        assert refused.value.code == "usage"
    assert ground.call(tool, arguments={"text": "é" * 100_000})["state"] == "completed"


def test_numbers_are_those_that_were_written(ground: Ground) -> None:
    tool = fresh("tool")
    ground.serve(tool)
    numbers = {"ns": 1_764_423_600_000_000_000, "tiny": 5e-324, "huge": 1e300, "exact": 0.1, "no": -(2**63)}
    assert json.loads(ground.call(tool, arguments=numbers)["result"]["content"][0]["text"]) == numbers
    with pytest.raises(ControlError) as refused:
        ground.call(tool, arguments={"n": 2**64})
    assert "beyond 64 bits" in refused.value.document["why"]


def test_what_is_not_started_in_its_time_expires(ground: Ground) -> None:
    tool = fresh("tool")
    ground.serve(tool).kill()
    wait_until(lambda: ground.tool(ground.vps, tool, served=False), 20, "its end to be noticed")
    call = ground.call(tool, ttl_s=6)  # long enough to come there, on a busy machine too
    assert call["state"] == "expired" and "its program is not running on vps" in call["reason"], call


def test_a_call_that_was_never_sent_is_taken_out_of_the_outbox_with_its_end(ground: Ground) -> None:
    tool = fresh("tool")
    ground.serve(tool)
    wait_until(lambda: not ground.laptop.status()["outbox"]["envelopes"], 20, "what went before to have arrived")
    with asleep(ground.vps):
        wait_until(lambda: not ground.laptop.status()["links"], 20, "vps to be away")
        call = ground.call(tool, wait_s=0)
        (line,) = ground.laptop.relay_json("outbox")["outgoing"]
        assert line["kind"] == "tool.call" and line["peer"] == "vps"
        ground.laptop.relay("outbox", "drop", line["id"])
        assert ground.ended(call["id"], 0)["state"] == "cancelled"


def test_a_long_result_comes_whole_and_one_that_is_too_large_is_no_success(ground: Ground) -> None:
    tool = fresh("tool")
    ground.serve(tool)
    call = _whole(ground, tool, 5_000_000)
    assert call["state"] == "completed" and call["result"]["content"][0]["text"] == "x" * 5_000_000
    call = _whole(ground, tool, 17_000_000)
    assert call["state"] == "failed" and call["error"]["code"] == "result_too_large", call["error"]
    assert "it ran to its end" in call["error"]["message"]


def _whole(ground: Ground, tool: str, size: int) -> dict[str, Any]:
    """A call of a long result at its end: on a busy machine the bytes alone take a while."""
    call = ground.call(tool, wait_s=0, arguments={"do": "big", "size": size})["id"]
    wait_until(lambda: ground.ended(call, 10)["ended"], 90, "its end")
    return ground.ended(call, 0)


def test_how_far_a_call_is_reaches_its_caller(ground: Ground) -> None:
    """Of words that come at once the last one does."""
    tool = fresh("tool")
    ground.serve(tool)
    gate = ground.vps.scratch / fresh("gate")
    call = ground.call(tool, wait_s=0, arguments={"do": "progress", "gate": str(gate)})
    told = {"done": 2, "of": 3, "words": "step 2"}
    wait_until(lambda: ground.ended(call["id"], 0)["progress"] == told, 10, "the last word on progress")
    gate.touch()
    assert ground.ended(call["id"])["progress"] is None


def test_what_is_called_is_written_down_by_who_ran_it(ground: Ground) -> None:
    tool = fresh("tool")
    ground.serve(tool)
    call = ground.call(tool)
    found = [each for each in audit(ground.vps) if each["kind"] == "tool" and call["id"] in each["detail"]]
    assert [each["decision"] for each in found] == ["allowed"] and found[0]["actor"] == ground.laptop.id


def test_events_tell_of_calls_and_of_tools(ground: Ground) -> None:
    tool = fresh("tool")
    ground.serve(tool)
    call = ground.call(tool)
    events = [json.loads(line) for line in ground.laptop.relay("events", "--json", "--since", "0").stdout.splitlines()]
    states = [each["state"] for each in events if each["kind"] == "call.state" and each["call"] == call["id"]]
    assert states[0] == "queued" and states[-1] == "completed"
    assert any(each["kind"] == "tool.changed" and each["broker"] == ground.vps.id for each in events)
