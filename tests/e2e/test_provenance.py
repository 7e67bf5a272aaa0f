"""Spawns that spawns ask for, on three real brokers: c asks a, a task on a asks b. Trust does not pass through a."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.testing import processes
from relay.testing.control import ControlError
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from tests.e2e.scene import fresh, relay_json

WITHIN = 20.0
RELAY = f"{sys.executable} -m relay"
MANY = 16


class Three:
    """`c` may spawn on `a`; who else may do what, each test says."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.a, self.b = mesh.pair("a", "b")
        self.c = mesh.join(self.a, "c")

    def heal(self) -> None:
        """Nobody may do anything but c on a."""
        for node in (self.a, self.b, self.c):
            (node.home / "trust.toml").unlink(missing_ok=True)
        self.mesh.grant(on=self.a, to=self.c)

    def inside(self, script: str, *, by: Node | None = None) -> tuple[dict[str, Any], str]:
        """Run a script on a, asked for by c or by another; the spawn's document and what the script printed."""
        asking = by or self.c
        words = ("spawn", fresh(), "shell", script, "--broker", "a", "--cwd", str(self.a.work), "--timeout", "90s")
        found = relay_json(asking, *words, "--wait", status=None)
        return found, asking.relay("logs", found["id"]).stdout


@pytest.fixture(scope="module")
def _three() -> Iterator[Three]:
    with Mesh.scratch("relay-prov-") as mesh:
        yield Three(mesh)


@pytest.fixture
def three(_three: Three) -> Three:
    _three.heal()
    return _three


def child(where: Node, script: str = "true", name: str = "-") -> str:
    return f"{RELAY} --json spawn {name} shell '{script}' --broker {where.id} --cwd {where.work} --wait"


def documents(printed: str) -> list[Any]:
    """The JSON documents that a script's commands printed one after the other."""
    found, decoder, at = [], json.JSONDecoder(), 0
    while at < len(printed):
        document, at = decoder.raw_decode(printed, at)
        found.append(document)
        at += len(printed[at:]) - len(printed[at:].lstrip())
    return found


def test_c_through_a_to_b_is_refused_until_b_trusts_c_as_well(three: Three) -> None:
    three.mesh.grant(on=three.b, to=three.a)
    mark = three.b.work / fresh("mark")
    _, printed = three.inside(child(three.b, f"touch {mark}"))
    [refused] = documents(printed)
    assert (refused["state"], refused["error"]["code"]) == ("rejected", "no_grant")
    assert "c may do nothing on b" in refused["error"]["message"] and not mark.exists()
    three.mesh.grant(on=three.b, to=three.c)
    _, printed = three.inside(child(three.b, f"touch {mark}"))
    [done] = documents(printed)
    assert done["state"] == "completed" and mark.exists()
    assert relay_json(three.b, "show", done["id"])["chain"] == [three.c.id]


def test_hiding_the_token_makes_no_task_a_person(three: Three) -> None:
    three.mesh.grant(on=three.b, to=three.a)
    command = child(three.b)
    hidden = f"env -u RELAY_TOKEN -u RELAY_ATTEMPT -u RELAY_SPAWN RELAY_HOME={three.a.home}"
    for script in (
        f"{hidden} {command}",
        f"{hidden} setsid sh -c \"{command.replace(chr(39), chr(92) + chr(34))}\"",
        f"RELAY_TOKEN=/nowhere/attempts/x/token RELAY_HOME={three.a.home} {command}",
    ):
        _, printed = three.inside(script)
        [refused] = documents(printed)
        assert refused["error"]["code"] == "no_grant", script


ASKS = """
import os, signal, sys, time
from relay.api import queue_routes
from relay.api.client import Client
from relay.api.home import Home
from relay.core.errors import RelayError
from relay.spawn.shim import processes, record

home, said = sys.argv[1:]


def ask_until_it_is_over():  # the broker learns of an end in its own time
    code = ""
    with Client(Home(home)) as client:
        while code not in ("task_over", "done"):
            try:
                client.ask(queue_routes.pause_queue())
                code = "done"
            except RelayError as error:
                code = str(error.code)
                time.sleep(0.01)
    with open(said + ".new", "w") as file:
        file.write(code)
    os.rename(said + ".new", said)
"""

ENDED = f"""{ASKS}
names = "exit_code signal timed_out stopped started_at ended_at error survivors".split()
end = dict(zip(names, (0, None, False, False, 1, 2, None, 0)))
record.write_slot(os.open("record", os.O_RDWR), record.EXIT, end, durable=False)
ask_until_it_is_over()  # a second later it is killed
"""


def test_a_task_that_writes_its_own_end_is_no_person_after_it(three: Three) -> None:
    said, program = three.a.work / fresh("said"), three.a.work / fresh("program")
    program.write_text(ENDED)
    hidden = f"env -u RELAY_TOKEN -u RELAY_ATTEMPT -u RELAY_SPAWN {sys.executable}"
    found, _ = three.inside(f'cd "$(dirname "$RELAY_TOKEN")"; {hidden} {program} {three.a.home} {said}')
    assert found["state"] == "completed"
    processes.wait_until(said.exists, WITHIN, "its answer")
    assert said.read_text() == "task_over"


ORPHAN = f"""{ASKS}
main, shim = os.getpid(), os.getppid()
above = processes.look_up(shim).parent
if os.fork() or os.setsid() or os.fork():
    if os.getpid() == main:
        signal.pause()
    os._exit(0)
while os.getppid() != shim:  # then it is below no task, and in the session of none
    pass
os.kill(shim, signal.SIGSTOP)
os.kill(main, signal.SIGKILL)
while processes.look_up(main).alive:  # or the broker would wake what is above it as it ends this one
    pass
os.kill(above, signal.SIGSTOP)  # it would end at once what a shim leaves behind
try:
    os.kill(shim, signal.SIGKILL)
    while os.getppid() != above:
        pass
    ask_until_it_is_over()
finally:
    os.kill(above, signal.SIGCONT)
"""


def test_what_is_left_of_a_task_that_killed_its_shim_is_no_person(three: Three) -> None:
    said, program = three.a.work / fresh("said"), three.a.work / fresh("program")
    program.write_text(ORPHAN)
    hidden = 'env -i PYTHONPATH="$PYTHONPATH"'  # or the broker would find it by its environment
    three.inside(f"exec {hidden} {sys.executable} {program} {three.a.home} {said}")
    processes.wait_until(said.exists, WITHIN, "its answer")
    assert said.read_text() == "task_over"


def test_a_task_on_its_own_machine_carries_the_chain_and_goes_one_deep(three: Three) -> None:
    inner = f"{RELAY} --json spawn - shell true --cwd {three.a.work} --wait"
    script = three.a.work / fresh("script")
    script.write_text(inner)
    nested = f"{RELAY} --json spawn - shell 'sh {script}' --cwd {three.a.work} --wait"
    _, printed = three.inside(nested)
    [done] = documents(printed)
    assert relay_json(three.a, "show", done["id"])["chain"] == [three.c.id]
    [deep] = documents(three.a.relay("logs", done["id"]).stdout)
    assert deep["error"]["code"] == "too_deep"


def test_what_only_a_person_may_ask_for_is_refused_to_a_task(three: Three) -> None:
    other = relay_json(three.a, "spawn", fresh(), "shell", "sleep 60", "--cwd", str(three.a.work))["id"]
    asked = ("invite --link", f"stop {other}", f"retry {other}", "queue pause", "down", "broker rename b x")
    _, printed = three.inside("; ".join(f"{RELAY} --json {words}" for words in asked))
    assert [each["error"]["code"] for each in documents(printed)] == ["task_scope"] * len(asked), printed
    own = f"{RELAY} --json spawn own shell 'sleep 60' --cwd {three.a.work}; {RELAY} --json stop own"
    _, printed = three.inside(own)
    assert [each["error"] for each in documents(printed)] == [None, None]
    processes.wait_until(lambda: relay_json(three.a, "show", "own")["state"] == "cancelled", WITHIN, "its stop")
    relay_json(three.a, "stop", other)


def test_a_task_that_is_refused_a_change_of_grants_has_changed_none(three: Three) -> None:
    before = (three.a.home / "trust.toml").read_text()
    asked = (f"trust allow {three.c.id} --agent claude --dir /", f"trust revoke {three.c.id}")
    said = "; ".join(f"{RELAY} --json {words}" for words in asked)
    for script in (said, f"export RELAY_HOME={three.a.home}; unset RELAY_TOKEN; {said}"):
        _, printed = three.inside(script)
        assert [each["error"]["code"] for each in documents(printed)] == ["task_scope"] * 2, printed
        assert (three.a.home / "trust.toml").read_text() == before


def _is_running(three: Three, spawn: str) -> bool:
    return bool(relay_json(three.c, "show", spawn)["state"] == "running")


@pytest.mark.parametrize("is_up", [True, False])
def test_a_task_neither_changes_settings_nor_takes_the_keys(three: Three, is_up: bool) -> None:
    """While no broker runs, a task that hides what it is passes for its account, whose files these are."""
    before = (three.a.home / "config.toml").read_text()
    out, go = three.a.work / fresh("out"), three.a.work / fresh("go")
    keys = three.a.work / fresh("keys")
    asked = ("config set max_parallel 9", f"identity export {keys}", f"identity import {keys}", "identity new")
    said = "; ".join(f"echo a-long-passphrase | {RELAY} --json {words} >>{out}" for words in asked)
    hidden = f"RELAY_HOME={three.a.home}; export RELAY_HOME; unset RELAY_TOKEN RELAY_ATTEMPT RELAY_SPAWN; "
    for script in (said, hidden + said) if is_up else (said,):
        out.unlink(missing_ok=True)
        waits = "" if is_up else f"while ! test -e {go}; do sleep 0.05; done; "
        order = ("shell", f"{waits}{script}; touch {out}.done", "--broker", "a", "--cwd", str(three.a.work))
        spawn = relay_json(three.c, "spawn", fresh(), *order, "--timeout", "90s")["id"]
        if not is_up:
            processes.wait_until(lambda: _is_running(three, spawn), WITHIN, "its start")  # noqa: B023
            three.a.kill()
            go.touch()
        done = Path(f"{out}.done")
        processes.wait_until(done.exists, WITHIN, "its end")
        done.unlink()
        if not is_up:
            three.a.start()
        assert [each["error"]["code"] for each in documents(out.read_text())] == ["task_scope"] * len(asked)
        assert (three.a.home / "config.toml").read_text() == before and not keys.exists()


def test_fan_out_is_bounded_and_one_operation_counts_once(three: Three) -> None:
    one = f"{RELAY} --json spawn - shell true --cwd {three.a.work}"
    key = "--idempotency-key $RELAY_SPAWN"
    script = f"for n in $(seq {MANY + 2}); do {one} {key}-$n; done; {one} {key}-1"
    _, printed = three.inside(script)
    codes = [each["error"]["code"] if set(each) == {"error"} else "" for each in documents(printed)]
    assert codes == [""] * MANY + ["too_many"] * 2 + [""]


def test_the_token_dies_with_its_attempt_and_is_in_no_argv_or_environment(three: Three) -> None:
    kept = three.a.work / fresh("kept")
    script = f"cp $RELAY_TOKEN {kept}; stat -c %a $RELAY_TOKEN; env; echo $RELAY_TOKEN >{kept}.path"
    found, printed = three.inside(script)
    secret, path = kept.read_text(), Path(Path(f"{kept}.path").read_text().strip())
    assert found["state"] == "completed" and len(secret) >= 32
    assert printed.splitlines()[0] == "600" and secret not in printed
    assert not path.read_text().strip(), "the secret is gone from the disk"
    name = path.parent.name
    for token in (f"{name}.{secret}", f"{name}.", "x", f"../../{name}.{secret}", f"{name}-1.{secret}"):
        with three.a.control() as control, pytest.raises(ControlError) as refused:
            control.token = token
            control.spawn("true", cwd=str(three.a.work))
        assert refused.value.code == "task_over", token


def test_revoking_c_ends_what_its_tasks_caused(three: Three) -> None:
    three.mesh.grant(on=three.b, to=three.a)
    three.mesh.grant(on=three.b, to=three.c)
    _, printed = three.inside(child(three.b, "sleep 80").removesuffix(" --wait"))
    [begun] = documents(printed)
    processes.wait_until(lambda: relay_json(three.b, "show", begun["id"])["state"] == "running", WITHIN, "its start")
    three.b.relay("trust", "revoke", three.c.id)
    processes.wait_until(lambda: relay_json(three.b, "show", begun["id"])["state"] == "cancelled", 5.0, "its end")
