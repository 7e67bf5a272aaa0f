"""`relay up` on a terminal: however it is ended, its broker ends with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
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


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no file that is always full")
@pytest.mark.parametrize("json", [(), ("--json",)])
def test_a_broker_in_the_foreground_of_which_nothing_can_be_printed_ends_too(mesh: Mesh, json: tuple[str, ...]) -> None:
    node = mesh.add("solo", started=False)
    with open("/dev/full", "w") as full:
        words, environment = [sys.executable, "-m", "relay", "up", *json], node.environment()
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, env=environment, timeout=30, check=False)
    assert done.returncode == 1 and b"cannot be written" in done.stderr
    assert relay(node, "status").returncode == 1
    node.start()


def test_of_a_broker_that_was_killed_in_the_foreground_it_is_said(mesh: Mesh) -> None:
    node = mesh.add("solo", started=False)
    with terminal(node, "up") as person:
        person.until(b"Ctrl-C stops it")
        (broker,) = psutil.Process(person.process.pid).children()
        broker.kill()
        person.until(b"the broker ended by signal 9; its tasks go on")
        assert person.process.wait(20) == 1
    node.start()
