"""Who may call is told what there is, at once and durably; who may not is told nothing."""

from __future__ import annotations

import pytest

from relay.testing.control import ControlError
from relay.testing.processes import wait_until
from tests.e2e.scene import audit, fresh
from tests.tools.conftest import Ground, Served, asleep
from tests.tools.program import definition


def test_without_a_grant_nothing_is_told_and_nothing_runs(ground: Ground) -> None:
    (ground.vps.home / "trust.toml").unlink()
    ground.vps.relay("trust", "allow", ground.laptop.id, "--verb", "view")
    tool = fresh("tool")
    served = ground.serve(tool, is_told=False)
    with pytest.raises(ControlError) as refused:
        ground.call(tool)
    assert refused.value.code == "no_runner"
    call = ground.call(tool, broker="vps")
    assert call["state"] == "rejected" and call["error"]["code"] == "no_verb", call
    assert call["error"]["hint"] == "on vps: relay trust allow laptop --verb tool"
    # who may do nothing learns by its refusals of no name either
    assert ground.call("no-such-tool", broker="vps")["error"] == call["error"]
    assert served.lines("ran") == [] and ground.tool(ground.laptop, tool) is None
    assert [each["code"] for each in audit(ground.vps) if each["kind"] == "tool"][-2:] == ["no_verb", "no_verb"]


def test_a_revoke_purges_what_waits_and_tells_an_empty_catalogue(ground: Ground) -> None:
    tool = fresh("tool")
    program = ground.serve(tool)
    program.kill()
    wait_until(lambda: ground.tool(ground.vps, tool, served=False), 20, "its end to be noticed")
    call = ground.call(tool, wait_s=0)
    ground.reaches(call["id"], "waiting")
    ground.vps.relay("trust", "revoke", ground.laptop.id)
    ended = ground.ended(call["id"])
    assert ended["state"] == "rejected" and ended["error"]["code"] == "no_grant", ended
    wait_until(lambda: ground.tool(ground.laptop, tool) is None, 20, "the tools to be gone")
    ground.allow()
    assert wait_until(lambda: ground.tool(ground.laptop, tool), 20, "the tools to be told again")


def test_what_runs_for_a_grant_that_is_revoked_is_asked_to_stop(ground: Ground) -> None:
    tool = fresh("tool")
    program = ground.serve(tool)
    gate = ground.vps.scratch / fresh("gate")
    call = ground.call(tool, wait_s=0, arguments={"do": "wait", "gate": str(gate), "obey": True})
    ground.reaches(call["id"], "running")
    ground.vps.relay("trust", "revoke", ground.laptop.id)
    wait_until(lambda: program.lines("cancel"), 10, "its program to be told")
    ended = ground.ended(call["id"])
    assert (ended["state"], ended["reason"]) == ("cancelled", "stopped by a change of its grant while it ran")


def test_a_trust_file_that_is_broken_takes_no_tools_away_and_lets_nobody_call(ground: Ground) -> None:
    tool = fresh("tool")
    program = ground.serve(tool)
    good = (ground.vps.home / "trust.toml").read_text()
    (ground.vps.home / "trust.toml").write_text("[[")
    call = ground.call(tool)
    assert call["error"]["code"] == "bad_trust_file" and program.lines("ran") == []
    assert ground.tool(ground.laptop, tool)
    (ground.vps.home / "trust.toml").write_text(good)
    assert ground.call(tool)["state"] == "completed"


def test_a_definition_is_told_as_it_was_given_and_a_change_of_it_at_once(ground: Ground) -> None:
    tool = fresh("Tool.With_odd-Name")
    ground.serve(tool)
    assert ground.tool(ground.laptop, tool)["definition"] == definition(tool)  # type: ignore[index]
    assert ground.call(tool, arguments={"do": "change"})["state"] == "completed"
    changed = definition(tool, "2")
    wait_until(lambda: ground.tool(ground.laptop, tool, definition=changed), 10, "the change to be told")


def test_what_is_offered_is_known_while_its_machine_sleeps_and_after_both_start_anew(ground: Ground) -> None:
    tool = fresh("tool")
    ground.serve(tool)
    with asleep(ground.vps):
        ground.laptop.restart()
        found = ground.tool(ground.laptop, tool)
        assert found is not None and found["served"] is None and "vps" in found["reason"]
    assert ground.tool(ground.laptop, tool)
    assert wait_until(lambda: ground.tool(ground.vps, tool, served=True), 20, "its program to be back")
    assert ground.call(tool)["state"] == "completed"


def test_of_two_programs_with_one_name_the_first_keeps_it_as_long_as_it_lives(ground: Ground) -> None:
    tool = fresh("tool")
    first = ground.serve(tool)
    second = ground.serve(tool)
    assert wait_until(lambda: second.lines("refused:name_in_use"), 20, "the second to be told") == [tool]
    assert ground.call(tool)["state"] == "completed" and len(first.lines("ran")) == 1
    first.kill()
    wait_until(lambda: ground.tool(ground.vps, tool, served=True), 20, "the second to serve it")
    wait_until(lambda: ground.call(tool)["state"] == "completed" and second.lines("ran"), 20, "the second to run it")


def test_what_waits_for_the_first_is_begun_by_the_second(ground: Ground) -> None:
    tool, gate = fresh("tool"), ground.vps.scratch / fresh("gate")
    first = ground.serve(tool, parallel=1)
    running = ground.call(tool, wait_s=0, arguments={"do": "wait", "gate": str(gate)})["id"]
    ground.reaches(running, "running")
    behind = ground.call(tool, wait_s=0)["id"]
    ground.reaches(behind, "waiting")
    second = Served(ground.vps, (tool,), fresh("title"), "library", "test", 1)
    ground.served.append(second)
    wait_until(lambda: second.lines("refused:name_in_use"), 20, "the second to be refused")
    first.kill()
    assert ground.reaches(behind, "completed")["id"] in second.lines("ran")
    assert ground.ended(running)["state"] == "lost"


def test_what_a_program_offers_no_more_is_told_no_more(ground: Ground) -> None:
    one, two = fresh("tool"), fresh("tool")
    ground.serve(one, two, title="shrinks").kill()
    ground.serve(one, title="shrinks")
    wait_until(lambda: ground.tool(ground.laptop, two) is None, 20, "the other to be gone")
    assert ground.tool(ground.laptop, one)


def test_what_waits_for_a_runner_that_its_program_was_rid_of_is_refused_at_its_next_start(ground: Ground) -> None:
    kept, gone, title = fresh("tool"), fresh("tool"), fresh("title")
    ground.serve(kept, gone, title=title).kill()
    wait_until(lambda: ground.tool(ground.vps, gone, served=False), 20, "its end to be noticed")
    call = ground.call(gone, wait_s=0)["id"]
    ground.reaches(call, "waiting")
    ground.serve(kept, title=title)
    assert ground.reaches(call, "rejected")["error"]["code"] == "no_runner"


def test_a_hidden_tool_is_not_called_by_its_name_alone(ground: Ground) -> None:
    tool = fresh("tool")
    ground.serve(tool)
    with ground.laptop.control() as control:
        control.post("tools/hide", {"name": tool})
        assert ground.tool(ground.laptop, tool, hidden=True)
        with pytest.raises(ControlError) as refused:
            ground.call(tool)
        assert refused.value.code == "no_runner"
        control.post("tools/unhide", {"name": tool})
        control.post("tools/hide", {"name": f"{tool}@vps"})
        assert ground.tool(ground.laptop, tool, hidden=True)
        control.post("tools/unhide", {"name": f"{tool}@vps"})
    assert ground.call(tool)["state"] == "completed"


def test_an_own_runner_comes_before_one_of_that_name_elsewhere(ground: Ground) -> None:
    tool = fresh("tool")
    there = ground.serve(tool)
    here = ground.serve(tool, on=ground.laptop)
    assert ground.call(tool)["broker"]["name"] == "laptop" and here.lines("ran") and not there.lines("ran")
    assert ground.call(f"{tool}@vps")["broker"]["name"] == "vps" and there.lines("ran")


def test_a_share_of_a_server_is_listed_with_the_names_of_its_environment_alone(ground: Ground) -> None:
    with ground.vps.control() as control:
        control.post("shares", {"name": "files", "command": ["files-server", "--x"], "env": {"KEY": "s3cret"}})
        (share,) = [each for each in control.get("shares") if each["name"] == "files"]
        assert share["command"] == ["files-server", "--x"] and share["env"] == ["KEY"] and not share["running"]
        assert "s3cret" not in str(share)
        control.post("shares/files/remove", {})
        with pytest.raises(ControlError) as refused:
            control.post("shares/files/remove", {})
    assert refused.value.code == "unknown_share" and "s3cret" not in ground.vps.log()
