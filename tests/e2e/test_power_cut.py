"""A power cut while a task runs: what is on the disk says less than was done, and the task does not run again for that.

The machine stays up here. What a cut takes is taken by hand: every process, what no sync has brought to the disk, and
the boot.
"""

from __future__ import annotations

import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from relay.testing import processes
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from tests.e2e.scene import fresh, relay_json

WITHIN = 15.0
RECORD_BYTES = 4096


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Mesh.scratch("relay-power-") as mesh:
        made = mesh.add("one")
        yield made
        assert "Traceback" not in made.log(), made.log_tail()


def _running(node: Node) -> tuple[str, Path]:
    """A spawn that has written a line to a file, and goes on."""
    name = fresh()
    ran = node.work / f"{name}.ran"
    words = ("spawn", name, "shell", f"echo ran >> {ran}; sleep 60", "--cwd", str(node.work))
    spawn = str(relay_json(node, *words)["id"])
    processes.wait_until(lambda: relay_json(node, "show", spawn)["state"] == "running", WITHIN, "its start")
    processes.wait_until(lambda: ran.exists() and ran.read_text(), WITHIN, "its line")  # it runs before it has written
    return spawn, ran


def _cut(node: Node, what_it_takes: Callable[[], None], boot: str | None = "another") -> None:
    node.kill()
    for each in processes.processes_left(node.scratch):
        processes.kill(each)
    processes.wait_until(lambda: not processes.processes_left(node.scratch), WITHIN, "the end of all processes")
    what_it_takes()
    if boot is not None:
        with closing(sqlite3.connect(node.home / "relay.db")) as store, store:
            store.execute("UPDATE attempts SET boot = ? WHERE ended IS NULL", (boot,))
    node.start()


def _blank(record: Path) -> None:
    record.write_bytes(bytes(RECORD_BYTES))


@pytest.mark.parametrize("takes", ["the promise", "the promise and the folder's name", "the folder"])
def test_whose_promise_went_with_the_power_is_lost_and_does_not_run_again(node: Node, takes: str) -> None:
    spawn, ran = _running(node)
    folder = node.home / "attempts" / f"{spawn}-1"

    def taken() -> None:
        _blank(folder / "record")
        if takes == "the folder":
            shutil.rmtree(folder)
        elif takes != "the promise":
            folder.rename(folder.with_name(f"spare-{secrets.token_hex(6)}"))

    _cut(node, taken)
    processes.wait_until(lambda: relay_json(node, "show", spawn)["state"] == "lost", WITHIN, "its end")
    assert "may have acted" in relay_json(node, "show", spawn)["reason"]
    node.restart()
    assert relay_json(node, "show", spawn)["state"] == "lost"
    assert ran.read_text() == "ran\n"
    assert not processes.tasks_left(node.scratch)


def test_an_end_that_is_on_the_disk_is_not_taken_for_lost(node: Node) -> None:
    name = fresh()
    go = node.work / f"{name}.go"
    words = ("spawn", name, "shell", f"until [ -e {go} ]; do sleep 0.02; done; exit 7", "--cwd", str(node.work))
    spawn = str(relay_json(node, *words)["id"])
    processes.wait_until(lambda: relay_json(node, "show", spawn)["state"] == "running", WITHIN, "its start")
    node.kill()
    go.touch()  # its shim goes on, and syncs what nobody writes down
    folder = node.home / "attempts" / f"{spawn}-1"
    processes.wait_until(lambda: b'"exit_code":7' in (folder / "record").read_bytes(), WITHIN, "its end's record")
    _cut(node, lambda: None)
    processes.wait_until(lambda: relay_json(node, "show", spawn)["state"] == "failed", WITHIN, "its end")
    assert relay_json(node, "show", spawn)["exit_code"] == 7
