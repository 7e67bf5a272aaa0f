"""`relay forward`: a task's port on this machine, whole and in order, for those who may, while the task runs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import psutil
import pytest

from relay.testing.control import ControlError
from relay.testing.mesh import free_port
from relay.testing.node import Node
from tests.e2e.scene import Scene, audit, error_of, relay, started

VERBS = ("--agent", "exec", "--agent", "shell", "--verb", "forward")
ECHO = """
import socketserver, sys
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        whole = b""
        while data := self.request.recv(65536):
            whole += data
            self.request.sendall(data)
        self.request.sendall(b"|" + str(len(whole)).encode())
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    request_queue_size = 100
with Server(("127.0.0.1", int(sys.argv[1])), Echo) as server:
    print("listening", flush=True)
    server.serve_forever()
"""


@pytest.fixture
def scene(granted: Scene) -> Scene:
    granted.grant(*VERBS)
    return granted


def serving(scene: Scene, program: str = ECHO) -> tuple[str, int]:
    """A task that serves a port: its id, and the port."""
    port = free_port()
    words = scene.words("exec", sys.executable, "-c", program, str(port))
    spawn = str(json.loads(relay(scene.laptop, "--json", *words).stdout)["id"])
    with started(scene.laptop, "logs", spawn, "-f") as follower:
        assert follower.stdout is not None and follower.stdout.readline() == b"listening\n"
    return spawn, port


@contextlib.contextmanager
def forwarded(node: Node, spawn: str, port: int) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """`relay forward` while the block runs: the port here, and the process."""
    with started(node, "--json", "forward", spawn, str(port), "--local", "0") as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert b"local" in first, first
        local = json.loads(first)["local"]
        yield int(local.rpartition(":")[2]), process


def exchange(port: int, data: bytes) -> bytes:
    """Send all of `data`, end that direction, and read to the end of the other."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        sending = threading.Thread(target=_send, args=(connection, data))
        sending.start()
        found = b"".join(iter(lambda: connection.recv(65536), b""))
        sending.join()
    return found


def _send(connection: socket.socket, data: bytes) -> None:
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


def test_many_connections_whole_and_half_closed(scene: Scene) -> None:
    spawn, port = serving(scene)
    with forwarded(scene.laptop, spawn, port) as (local, process):
        assert exchange(local, b"") == b"|0"
        pieces = [os.urandom(40_000 + n) for n in range(24)]
        with ThreadPoolExecutor(24) as pool:
            found = list(pool.map(lambda data: exchange(local, data), pieces))
        assert found == [data + f"|{len(data)}".encode() for data in pieces]
        big = os.urandom(6 << 20)
        assert hashlib.sha256(exchange(local, big)[: len(big)]).digest() == hashlib.sha256(big).digest()
        relay(scene.laptop, "stop", spawn)
        assert process.wait(15) == 0
    entry = next(each for each in reversed(audit(scene.vps)) if each["kind"] == "forward")
    assert entry["decision"] == "allowed" and f"port {port}" in entry["detail"]


def test_a_reader_that_does_not_read_costs_bounded_memory(scene: Scene) -> None:
    program = ECHO.replace("whole = b\"\"", "self.request.sendall(bytes(32 << 20)); whole = b\"\"")
    spawn, port = serving(scene, program)
    before = [_resident(node) for node in (scene.laptop, scene.vps)]
    with (
        forwarded(scene.laptop, spawn, port) as (local, _),
        socket.create_connection(("127.0.0.1", local), timeout=30) as lazy,
    ):
        lazy.recv(1)
        # what another connection brings meanwhile shows that nothing is held up by the first
        with socket.create_connection(("127.0.0.1", local), timeout=30) as other:
            left = 32 << 20
            while left:
                left -= len(other.recv(min(left, 1 << 20)))
        after = [_resident(node) for node in (scene.laptop, scene.vps)]
        assert all(now - then < 20 << 20 for now, then in zip(after, before, strict=True))
    relay(scene.laptop, "stop", spawn)


def _resident(node: Node) -> int:
    assert node.process is not None
    return int(psutil.Process(node.process.pid).memory_info().rss)


def test_it_takes_the_verb_and_a_task_that_runs(granted: Scene) -> None:
    spawn, port = serving(granted)
    done = relay(granted.laptop, "--json", "forward", spawn, str(port), "--local", "0")
    assert done.returncode == 1 and error_of(done)["code"] == "no_verb"
    last = [each for each in audit(granted.vps) if each["kind"] == "forward"][-1]
    assert (last["decision"], last["code"]) == ("refused", "no_verb")
    granted.grant(*VERBS)
    with forwarded(granted.laptop, spawn, port) as (local, _):
        assert exchange(local, b"x") == b"x|1"
        with socket.create_connection(("127.0.0.1", local), timeout=30) as connection:
            connection.sendall(b"y")
            assert connection.recv(1) == b"y"
            granted.grant("--agent", "exec")
            relay(granted.laptop, "stop", spawn)
            with contextlib.suppress(ConnectionError):
                assert connection.recv(65536) == b""
    done = relay(granted.laptop, "--json", "forward", spawn, str(port), "--local", "0")
    # nobody is out of reach: who asks again once a machine answers would ask for ever
    assert (done.returncode, error_of(done)["code"]) == (2, "conflict") and "runs" in error_of(done)["why"]
    assert f"relay retry {spawn}" in error_of(done)["hint"]


def test_a_lost_link_breaks_a_connection_and_bends_none(scene: Scene) -> None:
    spawn, port = serving(scene)
    with forwarded(scene.laptop, spawn, port) as (local, _):
        with socket.create_connection(("127.0.0.1", local), timeout=30) as connection:
            connection.sendall(b"before")
            assert connection.recv(6) == b"before"
            scene.vps.restart()
            with pytest.raises(ConnectionResetError):  # an end would say that this was all
                while connection.recv(65536):
                    pass
                pytest.fail("it looks like an end")
        scene.linked()
        assert exchange(local, b"after") == b"after|5"
    relay(scene.laptop, "stop", spawn)


ONCE = """
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    print("listening", flush=True)
    connection = server.accept()[0]
    connection.sendall(b"x" * (3 << 20))
"""


def test_what_a_task_said_before_its_end_comes_whole(scene: Scene) -> None:
    """A server of one connection is left it, and is gone before a slow reader has a third of its answer."""
    spawn, port = serving(scene, ONCE)
    with (
        forwarded(scene.laptop, spawn, port) as (local, process),
        socket.create_connection(("127.0.0.1", local), timeout=30) as connection,
    ):
        scene.until(spawn, "completed")
        found = b"".join(iter(lambda: connection.recv(65536), b""))
        assert len(found) == 3 << 20
        assert process.wait(20) == 0


def test_here_too_and_what_cannot_be(scene: Scene) -> None:
    spawn, port = serving(scene)
    with forwarded(scene.vps, spawn, port) as (local, _):
        assert exchange(local, b"here") == b"here|4"
    done = relay(scene.vps, "--json", "forward", spawn, str(port))
    assert done.returncode == 1 and error_of(done)["code"] == "port_taken"
    assert error_of(done)["why"] == "another program listens there"
    assert error_of(done)["hint"].endswith(f"forward {spawn} {port} --local 0")
    done = relay(scene.vps, "--json", "forward", spawn, "70000")
    assert done.returncode == 2
    with scene.vps.control() as control:
        for odd in ("", "0", "\u00b2", "\u0663", "9" * 5_000, "65536", "000080" + "0" * 5_000):
            with pytest.raises(ControlError, match="which port"):
                control.post(f"spawns/{spawn}/forward?port={quote(odd)}", {})
    with started(scene.vps, "forward", spawn, str(free_port()), "--local", "0") as process:
        assert process.stderr is not None and b"nothing listens on port" in process.stderr.readline()
    relay(scene.laptop, "stop", spawn)
