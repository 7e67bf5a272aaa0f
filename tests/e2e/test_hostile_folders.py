"""A task that spoils files of its own attempt's folder, or of those made for others: the broker and they go on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from relay.testing import processes
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from tests.e2e.scene import fresh, relay_json

OWN = 'cd "$(dirname "$RELAY_TOKEN")"; '
OTHERS = OWN + "for each in ../spare-*; do (cd $each; {}); done"
WITHIN = 15.0


@pytest.fixture(scope="module")
def _node() -> Iterator[Node]:
    with Mesh.scratch("relay-hostile-") as mesh:
        yield mesh.add("one")


@pytest.fixture
def node(_node: Node) -> Iterator[Node]:
    yield _node
    assert "Traceback" not in _node.log(), _node.log_tail()


def _run(node: Node, script: str) -> Any:
    """The state in which it ends; on this node nothing else runs meanwhile."""
    words = ("spawn", fresh(), "shell", script, "--cwd", str(node.work), "--timeout", "30s")
    spawn = relay_json(node, *words)["id"]

    def ended() -> Any:
        state = relay_json(node, "show", spawn)["state"]
        return state if state not in ("queued", "starting", "running") else None

    return processes.wait_until(ended, WITHIN, "its end")


def test_a_pipe_in_the_place_of_a_token_does_not_hold_the_broker_up(node: Node) -> None:
    spoil = OWN + "rm token; mkfifo token; "
    assert _run(node, spoil + "exit 0") == "completed"
    assert _run(node, spoil + "kill -9 $PPID; sleep 60") == "lost"
    assert _run(node, "exit 0") == "completed"


def test_a_folder_in_the_place_of_a_token_does_not_hold_up_what_follows_its_end(node: Node) -> None:
    assert _run(node, OWN + "rm token; mkdir token; touch token/x") == "completed"
    assert _run(node, "exit 0") == "completed"


@pytest.mark.parametrize(
    "spoil", ["rm lock", "rm lock; mkdir lock", "rm token; mkfifo token", "rm -r ../$(basename $PWD)"]
)
def test_folders_that_were_spoilt_before_they_were_used_are_used_for_nothing(node: Node, spoil: str) -> None:
    assert _run(node, OTHERS.format(spoil)) == "completed"
    assert [_run(node, "exit 0") for _ in range(3)] == ["completed"] * 3


@pytest.mark.parametrize("spoil", ["rm record; mkfifo record", "rm record; mkdir record; touch record/x"])
def test_a_record_that_is_none_neither_holds_a_start_up_nor_keeps_its_task_alive(node: Node, spoil: str) -> None:
    words = ("spawn", fresh(), "shell", OWN + spoil + "; echo spoilt; sleep 60", "--cwd", str(node.work))
    spawn = relay_json(node, *words)["id"]
    processes.wait_until(lambda: "spoilt" in node.relay("logs", spawn).stdout, WITHIN, "its word")
    processes.wait_until(lambda: relay_json(node, "show", spawn)["state"] == "running", WITHIN, "its start")
    node.kill()
    node.start()
    processes.wait_until(lambda: relay_json(node, "show", spawn)["state"] == "lost", WITHIN, "its end")
    assert not processes.tasks_left(node.scratch)
    assert _run(node, "exit 0") == "completed"


@pytest.mark.parametrize("spoil", ["rm record", "rm record; mkfifo record", "rm -r ../$(basename $PWD)"])
def test_a_task_that_puts_its_record_away_is_stopped_all_the_same(node: Node, spoil: str) -> None:
    words = ("spawn", fresh(), "shell", OWN + spoil + "; sleep 60", "--cwd", str(node.work))
    spawn = relay_json(node, *words)["id"]
    processes.wait_until(lambda: relay_json(node, "show", spawn)["state"] == "running", WITHIN, "its start")
    with node.control() as control:
        control.post(f"spawns/{spawn}/stop", {})
    processes.wait_until(lambda: not processes.tasks_left(node.scratch), 5.0, "its end")
    over = ("failed", "cancelled", "lost")
    processes.wait_until(lambda: relay_json(node, "show", spawn)["state"] in over, WITHIN, "that it is told")
    assert _run(node, "exit 0") == "completed"
