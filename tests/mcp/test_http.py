"""`relay mcp --http`: who has the token is served in both eras, others get nothing, and no message takes it down."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from relay.api.bounded_http import MOST_OF_OTHERS
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.e2e.scene import error_of, relay, started
from tests.mcp.odd import HELLO, odd_messages

ACCEPT = {"content-type": "application/json", "accept": "application/json, text/event-stream"}


@dataclass
class Served:
    """One server over HTTP, and how it is asked."""

    node: Node
    process: subprocess.Popen[bytes]
    url: str
    token_file: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2].partition("/")[0])

    @property
    def token(self) -> str:
        return self.token_file.read_text().strip()

    def post(self, body: bytes, headers: dict[str, str] | None = None, path: str = "/mcp") -> tuple[int, bytes]:
        """The status and the body that a request gets; with the token unless `headers` says otherwise."""
        given = ACCEPT | {"authorization": f"Bearer {self.token}"} | (headers or {})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("POST", path, body, {name: value for name, value in given.items() if value})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """A broker, and its tools over HTTP."""
    with Mesh.scratch("relay-mcp-") as mesh:
        node = mesh.add("laptop")
        with started(node, "--json", "mcp", "--http", "--port", "0") as process:
            assert process.stdout is not None
            said = json.loads(process.stdout.readline())
            yield Served(node, process, said["url"], Path(said["token_file"]))


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_with_the_token_the_tools_are_listed_and_called(served: Served, mode: str) -> None:
    told: list[str] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        told.append(message or "")

    async def work() -> None:
        bearer = {"authorization": f"Bearer {served.token}"}
        async with httpx2.AsyncClient(headers=bearer) as own:
            async with Client(streamable_http_client(served.url, http_client=own), mode=mode) as client:
                assert "agent.add" in [each.name for each in (await client.list_tools()).tools]
                arguments = {"name": "-", "cli": "shell", "task": "sleep 0.3; echo ran", "cwd": "new", "wait": 30}
                done = await client.call_tool("agent.add", arguments, progress_callback=progress)
                assert not done.is_error and done.structured_content["summary"] == "ran", done.content
                nowhere = await client.call_tool("agent.add", {"name": "-", "cli": "shell", "task": "pwd", "wait": 30})
                assert not str(nowhere.structured_content).count(os.getcwd()), "it is not where the server stands"

    asyncio.run(asyncio.wait_for(work(), 60))
    assert told, "progress while it waited"


def test_the_token_is_in_a_file_of_its_owner_alone_and_nowhere_else(served: Served) -> None:
    assert served.token_file.stat().st_mode & 0o777 == 0o600 and len(served.token) >= 40
    of_it = Path(f"/proc/{served.process.pid}")
    if of_it.exists():
        assert served.token.encode() not in (of_it / "cmdline").read_bytes() + (of_it / "environ").read_bytes()


REFUSED: list[tuple[dict[str, str], int]] = [
    ({"authorization": ""}, 401),
    ({"authorization": "Bearer "}, 401),
    ({"authorization": "Bearer wrong"}, 401),
    ({"authorization": "Basic dDp0"}, 401),
    ({"origin": "https://evil.example"}, 403),
    ({"origin": "null"}, 403),
    ({"origin": "http://127.0.0.1:1"}, 403),
    ({"origin": "http://localhost.evil.example"}, 403),
    ({"host": "evil.example"}, 421),
    ({"host": "127.0.0.1"}, 421),
    ({"authorization": "", "mcp-protocol-version": "2026-07-28"}, 401),
    ({"authorization": "", "mcp-session-id": "0" * 32}, 401),
]


def test_who_has_no_token_or_comes_from_elsewhere_gets_nothing(served: Served) -> None:
    hello = json.dumps(HELLO).encode()
    for headers, status in REFUSED:
        got, said = served.post(hello, headers)
        assert got == status and b"serverInfo" not in said and b"agent" not in said, (headers, got, said)
    assert served.post(hello, path="/other")[0] == 404
    assert served.post(hello, {"origin": f"http://localhost:{served.port}"})[0] == 200


def test_it_listens_on_loopback_alone_and_a_taken_port_is_told(served: Served) -> None:
    listed = re.findall(r"^ *\d+: (\w+):(\w+) \S+ 0A", Path("/proc/net/tcp").read_text(), re.MULTILINE)
    assert [host for host, port in listed if int(port, 16) == served.port] == ["0100007F"]
    done = relay(served.node, "--json", "mcp", "--http", "--port", str(served.port))
    assert done.returncode == 1 and error_of(done)["code"] == "port_taken"
    done = relay(served.node, "--json", "mcp", "--port", "1")
    assert done.returncode == 2 and error_of(done)["code"] == "usage"


@pytest.mark.parametrize("http", [True, False])
def test_a_folder_s_own_modules_are_not_run(served: Served, tmp_path: Path, http: bool) -> None:
    """A client starts it in the project that it works on: nobody has said that the code there may run here."""
    for name in ("mcp", "mcp_types", "anyio", "uvicorn", "jsonschema", "relay"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w')\n")
    words = [sys.executable, "-P", "-m", "relay", "mcp", *(["--http", "--port", "0"] if http else [])]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, env=served.node.environment(), cwd=tmp_path, stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None and process.stdout is not None
        if not http:
            process.stdin.write(json.dumps(HELLO).encode() + b"\n")
            process.stdin.flush()
        said = process.stdout.readline()
        process.kill()
    assert b"serves who brings" in said or b"serverInfo" in said, said
    assert not (tmp_path / "ran").exists()


def test_clients_that_go_without_a_word_keep_nobody_out(served: Served) -> None:
    """Few of them close their session: seventy starts of one in half an hour are nothing much."""
    hello = json.dumps(HELLO).encode()
    assert {served.post(hello)[0] for _ in range(70)} == {200}


def test_who_connects_and_says_nothing_is_let_go(served: Served) -> None:
    """Any user of this machine may connect: without an end of it a thousand of these keep everybody out."""
    silent = [socket.create_connection(("127.0.0.1", served.port), 20) for _ in range(3)]
    silent[1].sendall(b"POST /mcp HTTP/1.1\r\nHost: 127")
    silent[2].sendall(b"POST /mcp HTTP/1.1\r\nX: " + b"x" * 40_000)
    for each in silent:
        with each, contextlib.suppress(ConnectionResetError):
            while each.recv(4096):
                pass


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/proc/net/tcp").exists(), reason="needs root, on Linux")
def test_another_user_of_the_machine_keeps_its_own_out_of_nothing(served: Served) -> None:
    process = psutil.Process(served.process.pid)
    before = process.num_fds()
    with contextlib.ExitStack() as stack:
        os.seteuid(12345)
        try:
            for _ in range(400):
                stack.enter_context(socket.create_connection(("127.0.0.1", served.port), 20))
        finally:
            os.seteuid(0)
        assert served.post(b"no message")[0] == 400
        wait_until(lambda: process.num_fds() <= before + MOST_OF_OTHERS + 8, 20, "the rest of them to be let go")


def test_a_token_that_others_can_read_serves_nobody(served: Served) -> None:
    served.token_file.chmod(0o644)
    try:
        done = relay(served.node, "mcp", "--http", "--port", "0")
        assert done.returncode == 1 and b"others can read it" in done.stderr, done
    finally:
        served.token_file.chmod(0o600)


def test_whatever_is_sent_is_refused_and_the_next_is_served(served: Served) -> None:
    for version in ("2025-06-18", "2026-07-28", "x\x7f"):
        for body in odd_messages(len(version), 25):
            status, said = served.post(body, {"mcp-protocol-version": version})
            assert 200 <= status < 500 and b"Traceback" not in said, (version, body[:300], status, said[:300])
    assert served.post(b" " * (5 << 20))[0] == 413
    assert b"serverInfo" in served.post(json.dumps(HELLO).encode())[1]
    assert served.process.poll() is None
