"""`relay up` on a terminal: however it is ended, its broker ends with it."""

from __future__ import annotations

import signal

import pytest

from relay.testing.mesh import Mesh
from tests.e2e.scene import relay
from tests.live.terminal import terminal


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP])
def test_a_broker_in_the_foreground_ends_with_its_command(mesh: Mesh, number: signal.Signals) -> None:
    node = mesh.add("solo", started=False)
    with terminal(node, "up") as person:
        person.until(b"Ctrl-C stops it")
        if number is signal.SIGHUP:
            person.hang_up()  # the window was closed: there is nobody to be told
        person.process.send_signal(number)
        assert person.process.wait(20) == 0
    assert relay(node, "status").returncode == 1
    node.start()
