"""The main job: refused by default, granted by the very command the refusal names, run, and truly told."""

from __future__ import annotations

import json
import sys

import pytest

from relay.spawn.environment import ALWAYS
from relay.testing import processes
from relay.testing.mesh import Mesh
from tests.e2e.scene import TERMINAL, Scene, audit, error_of, fresh, gone_within, relay, relay_json, type_hint


def test_refused_then_mended_by_the_hint_then_run(two: Scene) -> None:
    name = fresh("mended")
    words = two.words("shell", "echo from $PWD", name=name)
    refused = relay_json(two.laptop, *words, "--wait", status=125)
    assert (refused["state"], refused["error"]["code"]) == ("rejected", "no_grant")
    assert refused["truth"]["from"] == two.vps.id and refused["started"] is None
    hint = refused["error"]["hint"]
    assert hint == f"on vps: relay trust allow laptop --agent shell --dir {two.vps.work}"
    type_hint(hint, {"vps": two.vps})
    done = relay(two.laptop, *words, "--wait")
    assert (done.returncode, done.stdout.decode()) == (0, f"from {two.vps.work}\n")


def test_a_refusal_reads_what_why_try(two: Scene) -> None:
    done = relay(two.laptop, *two.words("shell", "true", name=fresh("no")), "--wait")
    assert (done.returncode, done.stdout) == (125, b"")
    *_, what, why, hint = done.stderr.decode().splitlines()
    assert what.startswith("error: no-") and "refused; nothing ran" in what
    assert why.startswith("why:   ") and "membership of the workspace gives no rights" in why
    assert hint.startswith("try:   on vps: relay trust allow laptop")


def test_the_refusal_is_in_both_audit_logs(two: Scene) -> None:
    spawn = two.shell("true", status=125)["id"]
    for node in (two.vps, two.laptop):
        entries = [each for each in audit(node) if spawn in each["detail"]]
        assert [(each["decision"], each["code"]) for each in entries] == [("refused", "no_grant")], node.name
        assert relay_json(node, "audit", "verify")["ok"] is True
    shown = relay(two.vps, "audit", "show").stdout.decode()
    assert "no_grant" in shown and "laptop" in shown


# state, exit code, signal, the error's code, exit status of the command, output
ENDS = {
    "exit 0": ("echo well; exit 0", ("completed", 0, None, None, 0), "well\n"),
    "exit 7": ("echo ill; exit 7", ("failed", 7, None, "exit_nonzero", 7), "ill\n"),
    "SIGKILL": ("echo hit; kill -9 $$", ("failed", None, 9, "killed_by_signal", 137), "hit\n"),
    "SIGSEGV": ("kill -11 $$", ("failed", None, 11, "killed_by_signal", 139), ""),
    "not found in sh": ("nosuchthing-at-all", ("failed", 127, None, "exit_nonzero", 127), None),
    "exit 255": ("exit 255", ("failed", 255, None, "exit_nonzero", 255), ""),
    "errors only": ("echo oops >&2; exit 1", ("failed", 1, None, "exit_nonzero", 1), "oops\n"),
}


@pytest.mark.parametrize("end", ENDS)
def test_shell_ends(granted: Scene, end: str) -> None:
    script, (state, exit_code, signal, code, status), output = ENDS[end]
    found = granted.shell(script, status=status)
    assert (found["state"], found["exit_code"], found["signal"]) == (state, exit_code, signal)
    assert (found["error"] or {}).get("code") == code
    assert output is None or found["result"]["output_tail"] == output
    assert found["result"]["outcome"] == ("done" if state == "completed" else "error")
    assert found["started"] <= found["ended"]
    # the target says the same of it
    assert granted.show(found["id"], granted.vps)["state"] == state


def test_missing_binary_is_127(granted: Scene) -> None:
    found = relay_json(granted.laptop, *granted.words("exec", "no-such-program", "x"), status=None)
    ended = relay_json(granted.laptop, "wait", found["id"], status=127)[0]
    assert (ended["state"], ended["error"]["code"]) == ("failed", "missing_binary")
    assert "no-such-program" in ended["error"]["message"] and ended["error"]["hint"]


# a program's text and mode, and what mends it
NOT_EXECUTABLE = {
    "no right to": ("#!/bin/sh\necho never\n", 0o644, "chmod +x it"),
    "no program": ("neither script nor program", 0o755, "begin it with a line such as #!/bin/sh"),
    "no interpreter": ("#!/no/such/python\n", 0o755, "install there what that line names"),
}


@pytest.mark.parametrize("why", NOT_EXECUTABLE)
def test_not_executable_is_126_and_says_what_mends_it(granted: Scene, why: str) -> None:
    content, mode, hint = NOT_EXECUTABLE[why]
    program = granted.vps.work / fresh("plain")
    program.write_text(content)
    program.chmod(mode)
    found = relay_json(granted.laptop, *granted.words("exec", str(program)))
    ended = relay_json(granted.laptop, "wait", found["id"], status=126)[0]
    assert (ended["state"], ended["error"]["code"]) == ("failed", "not_executable")
    assert ended["error"]["hint"].startswith(hint) and "No such file" not in ended["error"]["message"]


def test_timeout_is_124_and_takes_the_tree_along(granted: Scene) -> None:
    script = "echo begun; (trap '' TERM INT; sleep 60) & sleep 60"
    found = granted.shell(script, "--timeout", "5s", status=124)  # it is to have begun by then
    assert (found["state"], found["error"]["code"]) == ("timed_out", "task_timed_out")
    assert found["result"]["output_tail"] == "begun\n"
    gone_within(found["id"])


def test_exec_passes_the_words_as_they_are(granted: Scene) -> None:
    words = ["a b", "$HOME", "--json", "", "*", "caf\u00e9", "-n"]
    done = relay(granted.laptop, "spawn", "-", "exec", "--broker", "vps", "--cwd", str(granted.vps.work), "--wait",
                 "--", "/usr/bin/printf", "[%s]", *words)  # fmt: skip
    assert done.stdout.decode().strip() == "".join(f"[{word}]" for word in words)


def test_wait_and_follow_tell_the_same_end(granted: Scene) -> None:
    for option in ("--wait", "--follow"):
        done = relay(granted.laptop, *granted.words("shell", "echo out; echo err >&2; exit 3"), option)
        assert done.returncode == 3
        assert b"failed with exit status 3" in done.stderr
    assert done.stdout == b"out\n" and b"err\n" in done.stderr


OWN_VARIABLES = {"PWD", "RELAY_SPAWN", "RELAY_ATTEMPT", "RELAY_TOKEN"}


def test_a_task_sees_no_secret_and_no_other_environment(granted: Scene) -> None:
    found = granted.shell("env", status=0)
    names = {line.split("=")[0] for line in found["result"]["output_tail"].splitlines()}
    assert {"PATH", "HOME", *OWN_VARIABLES} <= names
    assert names <= {*OWN_VARIABLES, *ALWAYS}, "no others than the docs tell"
    assert found["cwd"] == str(granted.vps.work)


def test_a_task_on_a_terminal_is_told_of_which_kind_it_is_though_its_broker_has_none(granted: Scene) -> None:
    """A broker that a service manager started has no TERM, and `top` ends at once without one."""
    colours = f"exec {sys.executable} -c 'import curses; curses.setupterm(); print(curses.tigetnum(\"colors\"))'"
    assert granted.shell(colours, "--tty", status=0)["result"]["output_tail"].split() == ["256"]
    assert granted.shell("echo [$TERM]", status=0)["result"]["output_tail"] == "[]\n"
    agents = granted.vps.home / "agents.toml"
    agents.write_text('[environment]\nTERM = "dumb"\n')
    try:
        assert granted.shell("echo [$TERM]", "--tty", status=0)["result"]["output_tail"].split() == ["[dumb]"]
    finally:
        agents.unlink()


def test_cwd_new_is_a_fresh_folder(two: Scene) -> None:
    two.grant("--agent", "shell", "--dir", "new")
    places = set()
    for _ in range(2):
        words = two.words("shell", "ls -A | wc -l; pwd", cwd="new")
        count, place = relay(two.laptop, *words, "--wait").stdout.decode().split()
        assert count == "0"
        places.add(place)
    assert len(places) == 2


def test_stop_ends_the_tree(granted: Scene) -> None:
    spawn = granted.begin("sleep 60 & sleep 60")
    granted.until(spawn, "running")
    assert relay(granted.laptop, "stop", spawn).returncode == 0
    done = relay_json(granted.laptop, "wait", spawn, status=130)[0]
    assert done["state"] == "cancelled" and done["ended"]
    gone_within(spawn)


def test_what_waits_is_judged_again_at_its_start(granted: Scene) -> None:
    granted.grant("--agent", "shell", "--max-parallel", "1")
    trust, go = granted.vps.home / "trust.toml", granted.vps.work / fresh("go")
    # the file goes by hand, so that nothing tells the broker: the second judgement finds it
    first = granted.begin(f"while [ ! -e {go} ]; do sleep 0.05; done; rm {trust}")
    granted.until(first, "running")
    mark = granted.vps.work / fresh("must-not-exist")
    second = granted.begin(f"touch {mark}")
    waiting = granted.until(second, "waiting")
    assert "its grant allows 1 at once" in waiting["reason"]
    go.touch()
    ended = granted.until(second, *TERMINAL)
    assert ended["started"] is None and not mark.exists()
    if ended["state"] == "cancelled":  # the broker's own look at the file, each second, came between the two
        assert ended["reason"].endswith("its grant being revoked"), ended
        return
    assert (ended["state"], ended["error"]["code"]) == ("rejected", "no_grant")
    assert any(second in each["detail"] and each["code"] == "no_grant" for each in audit(granted.vps))


def test_revoke_stops_what_runs_and_what_waits(granted: Scene) -> None:
    granted.grant("--agent", "shell", "--max-parallel", "1")
    running = granted.begin("sleep 60")
    granted.until(running, "running")
    waiting = granted.begin("sleep 60")
    granted.until(waiting, "waiting")
    own = relay_json(granted.vps, "spawn", "-", "shell", "sleep 60", "--cwd", str(granted.vps.work))["id"]
    assert relay(granted.vps, "trust", "revoke", "laptop").returncode == 0
    for spawn in (running, waiting):
        ended = granted.until(spawn, *TERMINAL)
        assert ended["state"] in ("cancelled", "rejected"), ended
        assert "its grant being revoked" in ended["reason"], ended
    gone_within(running)
    # what this machine runs for itself is nobody's grant
    assert granted.show(own, granted.vps)["state"] in ("starting", "running")
    relay(granted.vps, "stop", own)
    assert granted.shell("true", status=125)["error"]["code"] == "no_grant"


def test_a_grant_is_one_way_and_not_transitive(mesh: Mesh) -> None:
    laptop, vps = mesh.pair("laptop", "vps")
    third = mesh.join(laptop, "third")
    mesh.grant(on=vps, to=laptop)
    mesh.grant(on=laptop, to=third)
    processes.wait_until(lambda: len(relay_json(vps, "brokers")) == 3, 10, "vps to know third")
    for asker, target in ((vps, laptop), (third, vps)):
        words = ("spawn", "-", "shell", "true", "--broker", target.name, "--cwd", str(target.work), "--wait")
        refused = relay_json(asker, *words, status=125)
        assert refused["error"]["code"] == "no_grant"


def test_errors_with_json_are_the_document(two: Scene) -> None:
    done = relay(two.laptop, "spawn", "x", "shell", "true", "--broker", "nobody", "--json")
    assert done.returncode == 2 and done.stderr == b""
    assert set(error_of(done)) >= {"code", "message", "hint"}
    assert json.loads(done.stdout)["error"]["code"] == "unknown_broker"
