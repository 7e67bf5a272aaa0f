"""A broker that answers nothing: each client says so within a bounded time, and waits for one that is only slow."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.api import aclient, client, duplex, routes, silence
from relay.api.aclient import AsyncClient
from relay.api.client import Client
from relay.api.home import Home, make_socket_folder
from relay.core.errors import Code, RelayError
from relay.testing.processes import wait_until
from tests.api.canned_broker import mark_set_up

SOON = 0.3
BOUND_S = 20.0  # of what would last for minutes: a busy machine gives no turn for seconds
NOBODY = """
import os, socket, sys
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen(int(sys.argv[3]))
open(sys.argv[2], "w").write(str(os.getpid()))
while True:
    listening.accept()[0].recv(65536)
"""


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "LOOK_AFTER_S", SOON)
    monkeypatch.setattr(aclient, "LOOK_AFTER_S", SOON)
    monkeypatch.setattr(duplex, "LOOK_AFTER_S", SOON)
    monkeypatch.setattr(client, "STREAM_LOOK_AFTER_S", SOON)
    monkeypatch.setattr(silence.answers, "__defaults__", (SOON,))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "h")


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who looks gets an answer however busy the machine is: the one who gives it may get no turn for a while."""
    monkeypatch.setattr(silence.answers, "__defaults__", (20.0,))


@pytest.fixture(params=[16])
def stopped(home: Home, request: pytest.FixtureRequest) -> Iterator[Home]:
    """The home of a broker that is stopped."""
    mark_set_up(home)
    make_socket_folder(home)
    process = subprocess.Popen([sys.executable, "-c", NOBODY, home.socket, home.lock, str(request.param)])
    try:
        wait_until(lambda: Path(home.lock).exists() and Path(home.lock).read_text(), 30, "a listener")
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: silence._is_stopped(str(process.pid)), 10, "its stop")
        yield home
    finally:
        process.kill()
        process.wait()


def refused(home: Home, call: Any) -> RelayError:
    began = time.monotonic()
    with Client(home) as asking, pytest.raises(RelayError) as caught:
        asking.ask(call)
    assert time.monotonic() - began < BOUND_S
    return caught.value


def test_an_order_to_a_stopped_broker_ends_soon_and_says_that_it_may_be_done_yet(stopped: Home) -> None:
    fault = refused(stopped, routes.stop("build"))
    assert fault.code is Code.TIMED_OUT and "is stopped" in fault.why and "may be done yet" in fault.why
    assert fault.hint.startswith(f"kill -CONT {Path(stopped.lock).read_text()}") and "ps --all" in fault.hint


def test_a_question_to_it_leaves_nothing_to_be_done(stopped: Home) -> None:
    for call in (routes.as_person(), routes.wait("build", 600)):
        fault = refused(stopped, call)
        assert fault.code is Code.TIMED_OUT and "may be done" not in fault.why


@pytest.mark.parametrize("stopped", [0], indirect=True)
def test_a_broker_that_lets_nobody_in_any_more_runs_all_the_same(stopped: Home) -> None:
    waiting = []
    try:
        with pytest.raises(BlockingIOError):
            while True:
                waiting.append(socket.socket(socket.AF_UNIX))
                waiting[-1].setblocking(False)
                waiting[-1].connect(stopped.socket)
        assert refused(stopped, routes.status()).code is Code.TIMED_OUT
        with pytest.raises(RelayError) as caught:
            duplex.Duplex(stopped, "spawns/build/attach", b"{}\n")
        assert caught.value.code is Code.TIMED_OUT
    finally:
        for each in waiting:
            each.close()


def test_attaching_to_a_stopped_broker_ends_soon(stopped: Home) -> None:
    with pytest.raises(RelayError) as caught:
        duplex.Duplex(stopped, "spawns/build/attach", b"{}\n")
    assert caught.value.code is Code.TIMED_OUT


async def test_many_calls_of_asyncio_to_it_end_soon_each_with_why(stopped: Home) -> None:
    calls = (routes.stop("build"), routes.wait("build", 600), routes.as_person())
    async with AsyncClient(stopped) as asking, asyncio.timeout(BOUND_S):
        faults = await asyncio.gather(*(asking.ask(call) for call in calls), return_exceptions=True)
    assert all(isinstance(fault, RelayError) and fault.code is Code.TIMED_OUT for fault in faults), faults
    assert ["may be done yet" in fault.why for fault in faults if isinstance(fault, RelayError)] == [True, False, False]


async def test_what_is_read_to_its_end_by_asyncio_ends_too(stopped: Home) -> None:
    async with AsyncClient(stopped) as asking, asyncio.timeout(BOUND_S):
        with pytest.raises(RelayError) as caught:
            await anext(asking.lines(routes.log("build")))
    assert caught.value.code is Code.TIMED_OUT and "is stopped" in caught.value.why


@pytest.mark.parametrize("stopped", [0], indirect=True)
async def test_asyncio_is_not_let_in_by_it(stopped: Home) -> None:
    async with AsyncClient(stopped, connections=8) as asking, asyncio.timeout(BOUND_S):
        faults = await asyncio.gather(*(asking.ask(routes.wait("build", 60)) for _ in range(8)), return_exceptions=True)
    assert all(isinstance(fault, RelayError) for fault in faults), faults


@pytest.mark.usefixtures("answered")
async def test_asyncio_is_patient_while_others_are_answered(home: Home) -> None:
    with listening(home, _slowly):
        async with AsyncClient(home) as asking:
            assert (await asking.ask(routes.wait("build", 60)))["name"] == "build"


@pytest.mark.usefixtures("answered")
def test_an_answer_may_take_long_while_the_broker_answers_others(home: Home) -> None:
    with listening(home, _slowly), Client(home) as asking:
        assert asking.ask(routes.wait("build", 60))["name"] == "build"


def test_a_stream_whose_broker_answers_nothing_is_told_of_once_and_goes_on(home: Home) -> None:
    asking = _Told(home)
    with listening(home, lambda made: _speak(made, asking.heard)), asking:
        lines = asking.lines(routes.events(0, follow=True))
        assert [next(lines)["seq"], next(lines)["seq"]] == [1, 2]
        assert [fault.code for fault in asking.told] == [Code.TIMED_OUT]


def test_a_broker_that_breaks_off_may_have_done_what_it_was_asked(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "LOOK_AFTER_S", 20.0)  # it breaks off, however late: nobody is to look before
    for call, left_open in ((routes.stop("build"), True), (routes.status(), False)):
        with listening(home, _break_off):
            fault = refused(home, call)
        Path(home.socket).unlink()
        assert fault.code is Code.NOT_RUNNING and ("may have been done" in fault.why) is left_open


class _Told(Client):
    def __init__(self, home: Home) -> None:
        super().__init__(home)
        self.told: list[RelayError] = []
        self.heard = threading.Event()

    def silent(self, fault: RelayError) -> None:
        self.told.append(fault)
        self.heard.set()


@contextlib.contextmanager
def listening(home: Home, speak: Callable[[socket.socket], None]) -> Iterator[None]:
    """Somebody on the socket of a home."""
    mark_set_up(home)
    make_socket_folder(home)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(home.socket)
        made.listen(16)
        made.settimeout(20)
        speaking = threading.Thread(target=speak, args=(made,))
        speaking.start()
        yield
        speaking.join()


def _break_off(made: socket.socket) -> None:
    connection, _ = made.accept()
    with connection:
        connection.recv(65536)


def _answer(connection: socket.socket, body: bytes) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


def _slowly(made: socket.socket) -> None:
    """The first who asks is answered last, once somebody has looked twice whether anybody is answered."""
    first, _ = made.accept()
    for _ in range(2):
        looking, _ = made.accept()
        with looking:
            _answer(looking, b"{}")
    with first:
        _answer(first, b'{"name": "build"}')


def _speak(made: socket.socket, told: threading.Event) -> None:
    """One stream of two lines, with looks between them that nobody answers: the second comes after that was told."""
    speaking, _ = made.accept()
    with speaking, contextlib.ExitStack() as stack:
        speaking.recv(65536)
        speaking.sendall(b'HTTP/1.1 200 OK\r\n\r\n{"seq": 1}\n')
        stack.enter_context(made.accept()[0])
        told.wait(20)
        time.sleep(SOON * 3)
        speaking.sendall(b'{"seq": 2}\n')
