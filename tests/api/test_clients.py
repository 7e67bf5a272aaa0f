"""Both clients against a real server on a Unix socket."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from relay.api import routes
from relay.api.aclient import AsyncClient
from relay.api.client import Client
from relay.api.duplex import Duplex
from relay.api.home import Home
from relay.api.routes import Call
from relay.core.errors import Code, LocalFault, Misuse, RelayError, Unreachable
from tests.api.canned_broker import CannedBroker, mark_set_up, serving, spawn

ECHO: Call[dict[str, str]] = Call("echo", {"text": "ü\u2028"})


def test_one_connection_carries_many_calls(home: Home, broker: CannedBroker) -> None:
    with Client(home) as client:
        for _ in range(3):
            answer = client.ask(ECHO)
        assert client._socket is not None
        kept = client._socket.fileno()
        assert client.ask(routes.show("build"))["name"] == "build"
        assert client._socket.fileno() == kept
    assert len(answer["pad"]) == 300_000


def test_the_broker_s_error_comes_back_as_its_branch(home: Home, broker: CannedBroker) -> None:
    with Client(home) as client, pytest.raises(Misuse) as caught:
        client.ask(routes.show("no such one"))
    assert caught.value.code is Code.UNKNOWN_SPAWN
    assert caught.value.hint == "relay ps --all"


def test_a_stream_gives_its_lines_and_leaves_the_connection_usable(home: Home, broker: CannedBroker) -> None:
    with Client(home) as client:
        assert [event["seq"] for event in client.lines(routes.events(7, follow=True))] == list(range(1000))
        assert client.ask(routes.show("build"))["state"] == "completed"


def test_an_abandoned_stream_does_not_spoil_the_next_call(home: Home, broker: CannedBroker) -> None:
    with Client(home) as client:
        for event in client.lines(routes.events()):
            if event["seq"] == 3:
                break
        assert client.ask(routes.show("build"))["state"] == "completed"


@pytest.mark.parametrize("step", ["_send", "_receive", "_fed"])
def test_who_is_interrupted_at_any_step_can_go_on_asking(home: Home, broker: CannedBroker, step: str) -> None:
    """Ctrl-C comes when it comes: what was begun then must not be taken for the answer to the next call."""
    broker.log_hangs = True

    class Interrupted(Client):
        def _interrupt(self, *words: object) -> object:
            setattr(self, step, getattr(super(), step))
            getattr(self, step)(*words)
            raise KeyboardInterrupt

    with Interrupted(home) as client:
        client.ask(routes.status())
        setattr(client, step, client._interrupt)
        with pytest.raises(KeyboardInterrupt):
            list(client.lines(routes.log("build", follow=True)))
        assert client.ask(routes.show("build"))["state"] == "completed"


def test_who_is_interrupted_between_two_lines_can_go_on_asking(home: Home, broker: CannedBroker) -> None:
    """Ctrl-C under a log that is being printed: the stream is still open then, and held by who was interrupted."""
    broker.log, broker.log_hangs = [{"stream": "out", "data": "a\n", "next": 2}], True
    with Client(home) as client:
        lines = client.lines(routes.log("build", follow=True))
        next(lines)
        assert client.ask(routes.show("build"))["state"] == "completed"
        kept = client._socket
        lines.close()  # type: ignore[attr-defined]
        assert client._socket is kept


def test_an_error_on_a_stream_is_raised(home: Home, broker: CannedBroker) -> None:
    with Client(home) as client, pytest.raises(Misuse):
        list(client.lines(Call[object]("spawns/nobody")))


def test_no_broker_is_told_with_the_command(home: Home) -> None:
    with pytest.raises(LocalFault) as not_set_up:
        Client(home).ask(routes.status())
    assert not_set_up.value.code is Code.NOT_SET_UP
    mark_set_up(home)
    with pytest.raises(Unreachable) as not_running:
        Client(home).ask(routes.status())
    assert not_running.value.code is Code.NOT_RUNNING
    assert not_running.value.hint == f"relay --home {home.path} up --detach"


def test_an_answer_that_is_no_json_is_told(home: Home, broker: CannedBroker) -> None:
    with Client(home) as client, pytest.raises(Unreachable, match="broke off"):
        client.ask(Call[object]("not-json"))


def test_a_silent_broker_is_told(home: Home, broker: CannedBroker) -> None:
    with Client(home) as client, pytest.raises(Unreachable) as caught:
        client.ask(Call[object]("slow", patience_s=0.1))
    assert caught.value.code is Code.TIMED_OUT


def test_a_kept_connection_that_was_closed_is_made_anew(home: Home) -> None:
    """A broker that restarts between two calls is not noticed."""
    client = Client(home)
    with serving(home, CannedBroker()):
        client.ask(ECHO)
    os.unlink(home.socket)
    with serving(home, CannedBroker()):
        assert client.ask(routes.show("build"))["name"] == "build"
    with pytest.raises(Unreachable, match="broke off") as caught:
        client.ask(ECHO)  # on the connection that was kept: it may have been taken before that went
    assert "may have been done" in caught.value.why and not caught.value.is_unsent
    with pytest.raises(Unreachable, match="not running") as caught:
        client.ask(ECHO)
    assert caught.value.is_unsent


def _half_an_answer(home: Home) -> threading.Thread:
    mark_set_up(home)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(home.socket)
    listening.listen(1)

    def answer() -> None:
        with listening, listening.accept()[0] as peer:
            peer.recv(65536)
            peer.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"pid"')

    thread = threading.Thread(target=answer)
    thread.start()
    return thread


def test_half_an_answer_is_an_error_never_a_result(home: Home) -> None:
    thread = _half_an_answer(home)
    with Client(home) as client, pytest.raises(Unreachable, match="broke off"):
        client.ask(routes.status())
    thread.join()


async def test_half_an_answer_is_an_error_for_asyncio_too(home: Home) -> None:
    thread = _half_an_answer(home)
    async with AsyncClient(home) as client:
        with pytest.raises(Unreachable, match="broke off"):
            await client.ask(routes.status())
    thread.join()


async def test_many_calls_in_flight_share_a_few_connections(home: Home, broker: CannedBroker) -> None:
    async with AsyncClient(home, connections=8) as client:
        answers = await asyncio.gather(*(client.ask(routes.show("build")) for _ in range(200)))
        assert {answer["name"] for answer in answers} == {"build"}
        assert 1 <= len(client._idle) <= 8


async def test_the_asyncio_client_streams_and_refuses(home: Home, broker: CannedBroker) -> None:
    async with AsyncClient(home) as client:
        assert [event["seq"] async for event in client.lines(routes.events())] == list(range(1000))
        with pytest.raises(Misuse):
            await client.ask(routes.show("nobody"))
        with pytest.raises(RelayError):
            [line async for line in client.lines(routes.log("x", offset=1)) if line] + await client.ask(
                Call[list[object]]("not-json")
            )


async def test_the_asyncio_client_is_patient_for_so_long(home: Home, broker: CannedBroker) -> None:
    async with AsyncClient(home) as client:
        with pytest.raises(Unreachable) as caught:
            await client.ask(Call[object]("slow", patience_s=0.1))
    assert caught.value.code is Code.TIMED_OUT


@pytest.mark.parametrize("ref", ["", "a/b", "../status"])
def test_what_cannot_name_a_spawn_is_not_asked(ref: str) -> None:
    with pytest.raises(Misuse) as caught:
        routes.show(ref)
    assert caught.value.code is Code.UNKNOWN_SPAWN


def test_every_post_carries_an_operation_id(home: Home, broker: CannedBroker) -> None:
    with Client(home) as client:
        client.ask(routes.spawn({"name": "build"}))
        client.ask(routes.spawn({"name": "build", "operation": "mine"}))
        client.ask(routes.stop("build"))
    operations = [body["operation"] for _, body in broker.asked]
    assert operations[1] == "mine"
    assert all(len(operation) == 32 for operation in (operations[0], operations[2]))


def _by_the_blocking_client(home: Home) -> None:
    with Client(home) as client:
        client.ask(ECHO)


def _by_the_asyncio_client(home: Home) -> None:
    async def ask() -> None:
        async with AsyncClient(home) as client:
            await client.ask(ECHO)

    asyncio.run(ask())


def _by_a_duplex(home: Home) -> None:
    Duplex(home, "echo", b"").close()


@pytest.mark.parametrize("ask", [_by_the_blocking_client, _by_the_asyncio_client, _by_a_duplex])
@pytest.mark.parametrize("at", ["socket", "path"])
@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files to others")
def test_a_socket_that_another_user_could_have_made_is_told_nothing(
    home: Home, broker: CannedBroker, ask: Callable[[Home], None], at: str
) -> None:
    os.chown(home.socket, 65534, 65534)
    if at == "path":  # root may go into anybody's home, and finds there what is that user's
        os.chown(home.path, 65534, 65534)
        os.chown(home.socket, 65533, 65533)
    with pytest.raises(LocalFault) as refused:
        ask(home)
    assert refused.value.code is Code.BAD_CONFIG and "could pose as the broker" in refused.value.why
    assert broker.asked == []


def test_a_socket_in_a_folder_that_others_may_write_to_is_told_nothing(home: Home, broker: CannedBroker) -> None:
    os.chmod(home.path, 0o770)
    with pytest.raises(LocalFault) as refused:
        _by_the_blocking_client(home)
    assert refused.value.hint == f"chmod 700 {home.path}"
    os.chmod(home.path, 0o755)
    _by_the_blocking_client(home)


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files to others")
def test_root_talks_to_the_broker_of_the_account_whose_home_it_names(home: Home, broker: CannedBroker) -> None:
    for path in (home.path, home.socket):
        os.chown(path, 65534, 65534)
    _by_the_blocking_client(home)


def test_a_home_with_a_long_path_has_a_short_private_socket(tmp_path: Path) -> None:
    deep = Home(tmp_path / ("x" * 120))
    assert len(deep.socket) <= 100
    with serving(deep, CannedBroker()), Client(deep) as client:
        assert client.ask(routes.show("build")) == spawn()
    os.unlink(deep.socket)
