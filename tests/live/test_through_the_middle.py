"""Attached and forwarded through a third broker: both ends awake, neither within the other's reach."""

from __future__ import annotations

import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from relay.testing import processes
from relay.testing.mesh import free_port
from tests.e2e.scene import started
from tests.e2e.test_through_the_middle import Three, _is_reached, _wakes, three
from tests.live.terminal import terminal
from tests.live.test_direct import ways
from tests.live.test_forward import ECHO, exchange, forwarded

__all__ = ["three"]

TYPIST = 'stty -echo; echo ready; while read line; do echo "got $line"; [ $line = bye ] && exit 7; done'


def _apart(three: Three) -> None:
    """Both ends awake, and in the reach of the one in the middle alone."""
    for node in (three.laptop, three.mini):
        node.launcher = (sys.executable, "-m", "relay.testing.apart", "--only", three.vps.address, "--")
        _wakes(node, three.vps)
    three.until(lambda: _is_reached(three), "vps to have said that it is linked with mini")


def test_attached_and_forwarded_through_the_middle(three: Three) -> None:
    _apart(three)
    three.mini.relay("trust", "allow", three.laptop.id, "--verb", "attach", "--verb", "forward", "--agent", "exec")
    place = ("--broker", "mini", "--cwd", str(three.mini.work))
    spawn = three.laptop.relay_json("spawn", "-", "shell", TYPIST, "--tty", *place)["id"]
    with terminal(three.laptop, "attach", spawn) as person:
        person.until(b"ready")
        person.type(b"far\r")
        person.until(b"got far")
        assert not ways(person), "nobody knows a way past the one in between"
        three.vps.restart()
        person.type(b"again\r")
        person.until(b"got again", within=40)
        # its own broker dies: over there nobody has noticed yet that its earlier connection is dead, and drives nothing
        three.laptop.restart()
        person.type(b"mine\r")
        person.until(b"got mine", within=40)
        person.type(b"bye\r")
        assert person.exit(40) == 7
    log = three.laptop.relay("logs", spawn).stdout
    assert [log.count(f"got {word}") for word in ("again", "mine")] == [1, 1]
    port = free_port()
    words = ("spawn", "-", "exec", *place, "--", sys.executable, "-c", ECHO, str(port))
    spawn = json.loads(three.laptop.relay("--json", *words).stdout)["id"]
    output = three.mini.home / "attempts" / f"{spawn}-1" / "log"
    processes.wait_until(lambda: output.exists() and b"listening" in output.read_bytes(), 15, "the port")
    with forwarded(three.laptop, spawn, port) as (local, _):
        data = bytes(range(256)) * 6_000
        with ThreadPoolExecutor(6) as pool:  # more at once than the one in between has room for
            found = list(pool.map(lambda _: exchange(local, data), range(6)))
        assert found == [data + f"|{len(data)}".encode()] * 6
    three.laptop.relay("stop", spawn)
    assert three.ends(spawn)["state"] == "cancelled"


def test_a_right_that_is_taken_back_ends_what_goes_through_the_middle(three: Three) -> None:
    _apart(three)
    three.mini.relay("trust", "allow", three.laptop.id, "--verb", "view", "--verb", "forward")
    port, place = free_port(), ("--cwd", str(three.mini.work))
    words = ("--json", "spawn", "-", "exec", *place, "--", sys.executable, "-c", ECHO, str(port))
    serves = json.loads(three.mini.relay(*words).stdout)["id"]
    talks = three.mini.relay_json("spawn", "-", "shell", "while sleep 0.1; do echo on; done", *place)["id"]
    there = f"{talks}@mini"
    with (
        started(three.laptop, "logs", there, "-f") as follower,
        terminal(three.laptop, "attach", there, "--view") as viewer,
        forwarded(three.laptop, f"{serves}@mini", port) as (local, _),
        socket.create_connection(("127.0.0.1", local), timeout=10) as connection,
    ):
        connection.sendall(b"y")
        assert connection.recv(1) == b"y"
        viewer.until(b"on")
        assert follower.stdout is not None and follower.stdout.readline() == b"on\n"
        three.mini.relay("trust", "revoke", three.laptop.id)
        assert follower.wait(5) == 1
        assert viewer.exit(5) == 1 and b"may do nothing on mini" in viewer.seen
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    for spawn in (serves, talks):
        assert three.mini.relay_json("show", spawn)["state"] == "running"
        three.mini.relay("stop", spawn)
