"""What takes longer than a second says so on stderr, and leaves nothing of that behind."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.testing.mesh import Mesh
from relay.testing.node import Node
from tests.e2e.scene import Scene, fresh, relay, started
from tests.live.terminal import terminal

ERASE = b"\r\x1b[K"
# a second is soon over on a machine that is slow
PATIENT = """import sys
from relay.cli import progress
from relay.cli.main import main
progress.AFTER_S *= 60  # and not what is shown at once
del sys.argv[1:3]
raise SystemExit(main())
"""


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with Mesh.scratch("relay-live-") as mesh:
        found = Scene.made(mesh)
        found.grant()
        yield found


def _until(file: Path) -> str:
    return f"while [ ! -e {file} ]; do sleep 0.05; done"


def _dry(scene: Scene) -> list[str]:
    return [*scene.words("shell", "true", name=fresh()), "--dry-run"]


def test_on_a_terminal_it_is_drawn_over_itself_and_gone_afterwards(scene: Scene) -> None:
    name, go = fresh(), scene.vps.work / fresh("go")
    spawn = scene.begin(_until(go), name=name)
    with terminal(scene.laptop, "wait", spawn) as person:
        seen = person.until(f"waiting for {name} on vps (Working, ".encode())
        assert ERASE in seen
        go.touch()
        rest = person.until(f"{name} on vps is done".encode())
        assert person.exit() == 0
    assert rest.rpartition(ERASE)[2].startswith(f"{name} on vps".encode()), "the line was left empty"


def test_many_are_counted(scene: Scene) -> None:
    go = scene.vps.work / fresh("go")
    quick, slow = scene.begin("true"), scene.begin(_until(go), name=fresh())
    scene.until(quick, "completed")
    with terminal(scene.laptop, "wait", quick, slow) as person:
        person.until(b"1 of 2 ended; waiting for")
        go.touch()
        assert person.exit() == 0


def test_a_stopped_broker_is_waited_for_in_one_line_where_nobody_watches(scene: Scene) -> None:
    """The dry run is asked of one that does not answer at once: it goes on when it is let go."""
    with scene.vps.asleep(), started(scene.laptop, *_dry(scene)) as asking:
        assert asking.stderr is not None
        assert asking.stderr.readline() == b"asking the broker that would run it ...\n"
        scene.vps.resume()
        said, rest = asking.communicate(timeout=60)
    assert asking.returncode == 0 and said.startswith(b"yes: ")
    assert len(rest.splitlines()) == 1 and ERASE not in rest, rest


def test_json_is_alone_on_stdout_and_stderr_says_nothing(scene: Scene) -> None:
    with _slow(scene.vps):
        done = relay(scene.laptop, "--json", *_dry(scene), timeout=60)
    assert json.loads(done.stdout)["verdict"] == "start" and done.stderr == b""


def test_what_is_quick_shows_nothing(scene: Scene) -> None:
    program = (sys.executable, "-c", PATIENT)
    with terminal(scene.laptop, "ps", program=program) as person:
        assert person.exit() == 0
    assert ERASE not in person.seen
    words, environment = [*program, "-m", "relay", "brokers"], scene.laptop.environment()
    done = subprocess.run(words, env=environment, capture_output=True, timeout=30, check=False)
    assert done.returncode == 0 and done.stderr == b""


def test_a_log_that_does_not_come_says_that_it_is_waited_for(scene: Scene) -> None:
    spawn = scene.begin("sleep 60")
    scene.until(spawn, "running")
    with terminal(scene.laptop, "logs", spawn, "-f") as person:
        waited = 0
        while waited < 11:  # longer than anything else may take to answer
            person.until(b"waiting for its output (")
            waited = int(person.until(b" s)").removesuffix(b" s)"))
        person.process.send_signal(signal.SIGINT)
        person.until(b"is left as it is")
        assert person.exit() == 130
    relay(scene.laptop, "stop", spawn)


def test_ctrl_c_says_that_an_order_may_be_carried_out_and_leaves_the_line_of_the_key(scene: Scene) -> None:
    spawn = scene.begin("sleep 60", "--stdin")
    scene.until(spawn, "running")
    with scene.laptop.asleep(), terminal(scene.laptop, "send", spawn, "hello") as person:
        person.until(b"waiting for the word of its machine")
        person.process.send_signal(signal.SIGINT)
        person.until(b"\r\nwhat was asked for may be done all the same; look before you ask again: relay ")
        assert person.exit() == 130
    with terminal(scene.laptop, "events", "-f", "--since", "0") as person:
        person.until(b"spawn.state")
        person.process.send_signal(signal.SIGINT)
        assert person.exit() == 130 and person.seen.endswith(b"\r\n")
        assert b"may be done" not in person.seen
    relay(scene.laptop, "stop", spawn)


@contextlib.contextmanager
def _slow(node: Node) -> Iterator[None]:
    """The broker is stopped, and let go by a program of its own after two seconds."""
    assert node.process is not None
    node.pause()
    program = f"import os, time; time.sleep(2); os.kill({node.process.pid}, {int(signal.SIGCONT)})"
    with subprocess.Popen([sys.executable, "-c", program]) as letting_go:
        try:
            yield
        finally:
            letting_go.wait(30)
            node.resume()
