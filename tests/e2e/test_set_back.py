"""A clock that ran hours ahead and was set right: what is to happen again and again does not rest for these hours."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from relay.testing import clocked
from relay.testing.mesh import Mesh
from relay.testing.node import DAEMON, Node
from relay.testing.processes import wait_until
from tests.e2e.scene import relay_json

AHEAD_S = 8 * 3_600


def _set_right(node: Node) -> None:
    assert node.process is not None
    node.process.send_signal(signal.SIGUSR1)


def _begun_anew(node: Node) -> None:
    node.stop()
    node.launcher = DAEMON
    node.start()


def _lines(file: Path) -> int:
    return len(file.read_text().splitlines()) if file.exists() else 0


@pytest.mark.parametrize(
    ("set_right", "tidies"),
    [
        (_set_right, False),
        (_begun_anew, False),
        pytest.param(_set_right, True, id="while it tidies"),
    ],
)
def test_schedules_and_retries_go_on(set_right: object, tidies: bool) -> None:
    assert callable(set_right)
    with Mesh.scratch("relay-e2e-") as mesh:
        node = mesh.add("laptop", started=False)
        node.launcher = clocked.launcher(AHEAD_S, tidies=tidies)
        node.start()
        runs, tries = node.work / "runs", node.work / "tries"
        relay_json(node, "spawn", "tick", "shell", f"echo x >> {runs}", "--every", "2s")
        again = f"echo x >> {tries}; exit 1"
        relay_json(node, "spawn", "again", "shell", again, "--retries", "9")
        wait_until(lambda: _lines(runs) and _lines(tries) >= 2, 20, "a run and a retry")
        set_right(node)
        ran, tried = _lines(runs), _lines(tries)
        wait_until(lambda: _lines(tries) > tried, 30, "another retry")
        wait_until(lambda: _lines(runs) >= ran + 2, 20, "runs by the right time")
        assert "Traceback" not in node.log()
