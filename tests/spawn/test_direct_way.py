"""A shim's direct way: who has the secret, and nobody else, watches by it, and types what the door's owner may."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from relay.api import direct as client
from relay.spawn import door, launcher
from relay.spawn.shim import callers as wire
from relay.spawn.shim import direct as ways
from relay.trust.direct_key import direct_key

from .comers import HERE, TYPIST, Person, come, offered
from .yard import Run, Yard, edited, stands_still, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

ENTRY = launcher._ENTRY
PATIENT = ("direct.py", "LISTENS_S = 5.0", "LISTENS_S = 60.0"), ("direct.py", "SECRET_S = 2.0", "SECRET_S = 60.0")
RAW = "stty raw -echo; echo ready; exec cat"


@pytest.fixture(autouse=True, scope="module")
def _patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Shims that wait for who is to come, and for what it has to show, however long that takes here."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(launcher, "_ENTRY", edited(tmp_path_factory.mktemp("patient"), *PATIENT))
        patched.setattr(door, "_PORT_S", 60.0)
        yield


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shims as they are."""
    monkeypatch.setattr(launcher, "_ENTRY", ENTRY)


@contextlib.asynccontextmanager
async def task(yard: Yard, script: str = RAW, says: str = "ready") -> AsyncIterator[tuple[Run, door.Door]]:
    run = await yard.sh(script, terminal=(24, 80))
    await run.says(says)
    async with door.opened(run.attempt.folder) as opened:
        yield run, opened
    run.attempt.request_stop()
    await run.exit()


def listeners(run: Run) -> list[tuple[str, int]]:
    found = psutil.Process(run.shim).net_connections("tcp")
    return [tuple(each.laddr) for each in found if each.status == psutil.CONN_LISTEN]  # type: ignore[misc]


def has_tls(run: Run) -> bool:
    return "libssl" in Path(f"/proc/{run.shim}/maps").read_text()


def test_the_clients_frames_are_the_shims() -> None:
    from relay.cli import direct as words

    assert (client.HEAD.format, client.REPLY.format) == (wire.HEAD.format, wire.REPLY.format)
    assert (words.FEED, words.END, words.WATCH, words.NOBODY) == (wire.FEED, wire.END, wire.WATCH, wire.NOBODY)
    assert (words.SHOWN, words.HERE, words.TAKEN) == (wire.SHOWN, wire.HERE, wire.TAKEN)


async def test_what_is_typed_is_echoed_and_has_its_place_in_the_log(yard: Yard) -> None:
    async with task(yard) as (run, opened), come(opened) as person:
        person.say(wire.FEED, TYPIST, b"one")
        assert (await person.until(wire.TAKEN))[1] == person.n
        kind, start, end, data = await person.until(wire.SHOWN)
        assert (kind, data) == (wire.SHOWN, b"one") and start < end == run.attempt.log.stat().st_size
        # what came by one way is not typed again by the other
        await opened.feed(person.n, b"one", TYPIST)
        await opened.feed(person.n + 1, b"two", TYPIST)
        person.n += 1
        assert (await person.until(wire.SHOWN))[3] == b"two"
        assert run.output().endswith("onetwo")


async def test_it_listens_there_alone_and_for_one_alone_and_loads_tls_only_then(yard: Yard) -> None:
    async with task(yard) as (run, opened):
        assert listeners(run) == [] and not has_tls(run)
        port, key = await offered(opened)
        assert listeners(run) == [(HERE, port)] and has_tls(run)
        person = await Person(port, key.pin, key.secret).opened()
        assert listeners(run) == []
        with pytest.raises(ConnectionRefusedError), socket.create_connection((HERE, port)):
            pass
        person.line.close()
        for refused in ("0.0.0.0", "::", "192.0.2.1", "relay.example", ""):
            assert await opened.direct(refused, key.secret, key.pem, TYPIST) is None
        assert listeners(run) == []


@pytest.mark.usefixtures("hurried")
async def test_nobody_comes_in_time(yard: Yard) -> None:
    async with task(yard) as (run, opened):
        await offered(opened)
        await until(lambda: not listeners(run), ways.LISTENS_S + 10)


async def test_who_has_no_secret_is_sent_away_and_costs_nothing_else(yard: Yard) -> None:
    async with task(yard) as (_, opened):
        port, key = await offered(opened)
        wrong = Person(port, key.pin, bytes(32))
        await wrong.ends()
        with socket.create_connection((HERE, port)) as garbage:
            garbage.sendall(os.urandom(4096))
            garbage.settimeout(30)
            with contextlib.suppress(ConnectionError):
                while garbage.recv(4096):  # an alert, perhaps
                    pass
        person = await Person(port, key.pin, key.secret).opened()
        person.say(wire.FEED, TYPIST, b"mine")
        assert (await person.until(wire.SHOWN))[3] == b"mine"
        person.line.close()


async def test_who_shows_nothing_is_sent_away_soon_and_another_may_come(
    yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "_ENTRY", edited(tmp_path, PATIENT[0]))
    async with task(yard) as (run, opened):
        port, _ = await offered(opened)
        with socket.create_connection((HERE, port)) as silent:
            silent.settimeout(ways.SECRET_S + 10)
            assert await asyncio.to_thread(silent.recv, 1) == b""
        assert listeners(run) == [(HERE, port)]


@pytest.mark.usefixtures("hurried")
async def test_who_connects_again_and_again_ends_the_offer_and_no_more(yard: Yard) -> None:
    async with task(yard) as (run, opened):
        port, _ = await offered(opened)
        for _ in range(40):
            with contextlib.suppress(OSError), socket.create_connection((HERE, port), timeout=1):
                pass
        await until(lambda: not listeners(run), ways.LISTENS_S + 10)
        await opened.feed(1, b"well", TYPIST)
        await run.says("well")


async def test_another_certificate_gets_no_secret(yard: Yard) -> None:
    async with task(yard) as (_, opened):
        port, key = await offered(opened)
        person = Person(port, bytes(32), key.secret)
        await person.ends()
        assert not person.line.is_open
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with socket.create_connection((HERE, port)) as old, pytest.raises(ssl.SSLError):
            await asyncio.to_thread(context.wrap_socket, old)


@pytest.mark.parametrize("source", [TYPIST, None])
async def test_what_another_may_do_is_not_done(yard: Yard, source: bytes | None) -> None:
    """A viewer types nothing; who types does so under its own name; sizes, offers and the like are a broker's."""
    others = b"another".ljust(16, b".")
    asked = [(wire.FEED, others), (wire.FEED, wire.NOBODY), (wire.END, others), (wire.SIZE, TYPIST)]
    asked += [(wire.DIRECT, TYPIST), (wire.REST, TYPIST), (99, TYPIST)]
    if source is None:
        asked += [(wire.FEED, TYPIST), (wire.END, TYPIST)]
    async with task(yard) as (run, opened):
        for kind, who in asked:
            async with come(opened, source) as person:
                person.say(kind, who, b"x\x00\x01\x00")
                await person.ends()
        before = run.output()
        await opened.feed(1, b"fine", TYPIST)
        await run.says("fine")
        assert run.output() == before + "fine"


@pytest.mark.parametrize("length", [0, wire.MOST + 1, 2**32 - 1])
async def test_a_frame_without_measure_and_rubbish_end_it(yard: Yard, length: int) -> None:
    async with task(yard) as (run, opened):
        async with come(opened) as person:
            rubbish = wire.HEAD.pack(wire.FEED, TYPIST, 1, length) if length else b"\xff" * 4096
            person.line._unsent += rubbish
            person.line.push()
            await person.ends()
        # also behind what the task does not read yet
        await opened.feed(1, b"well", TYPIST)
        await run.says("well")


async def test_rubbish_behind_what_is_not_read_yet_ends_it_alone(yard: Yard) -> None:
    run = await yard.sh("stty raw -echo; echo ready; kill -STOP $$; exec wc -c", terminal=(24, 80))
    pid = (await run.started()).pid
    await until(lambda: stands_still(pid))
    async with door.opened(run.attempt.folder) as opened, come(opened) as person:
        person.say(wire.FEED, TYPIST, bytes(wire.MOST))
        person.say(wire.FEED, TYPIST, b"x")
        person.line._unsent += b"\xff" * 64
        for _ in range(200):
            person.turn(0.005)
        os.kill(pid, signal.SIGCONT)
        await person.ends()
        await opened.feed(person.n + 1, b"y", TYPIST)
    run.attempt.request_stop()
    assert (await run.exit()).survivors == 0


async def test_it_ends_with_the_door_that_asked_for_it_and_when_that_says_so(yard: Yard) -> None:
    async with task(yard) as (run, opened):
        async with come(opened) as person:
            opened.direct_over()
            await person.ends()
        async with door.opened(run.attempt.folder) as other:
            port, key = await offered(other)
            async with come(opened) as mine:
                theirs = await Person(port, key.pin, key.secret).opened()
                other.close()
                await theirs.ends()
                mine.say(wire.FEED, TYPIST, b"still")
                assert (await mine.until(wire.SHOWN))[3] == b"still"
        async with come(opened) as person:
            another = await offered(opened)  # one at a time
            await person.ends()
            opened.direct_over()
            await until(lambda: not listeners(run))
            assert another


async def test_who_does_not_read_misses_output_and_holds_up_nobody(yard: Yard) -> None:
    script = "stty raw -echo; echo ready; head -c 1 > /dev/null; head -c 8000000 /dev/zero; echo done; exec cat"
    async with task(yard, script) as (run, opened), come(opened) as person:
        person.say(wire.FEED, TYPIST, b"g")
        await until(lambda: run.attempt.log.stat().st_size > 8_000_000)
        seen = 0
        while (frame := await person.until(wire.SHOWN))[3]:
            seen += len(frame[3])
        assert seen < 8_000_000 and frame[2] == 0
        # it is shown nothing until it asks again, and then where the log stands
        await opened.feed(person.n + 1, b"unseen", TYPIST)
        await run.says("unseen")
        person.n += 1
        person.say(wire.WATCH, wire.NOBODY, b"")
        assert (await person.until(wire.HERE))[2] == run.attempt.log.stat().st_size
        person.say(wire.FEED, TYPIST, b"seen")
        assert (await person.until(wire.SHOWN))[3] == b"seen"


async def test_a_shim_of_another_version_says_nothing_which_is_no(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "_PORT_S", 0.2)
    heard, left = bytearray(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            heard.extend(data)
        writer.close()
        await writer.wait_closed()
        left.set()

    async with await asyncio.start_unix_server(serve, str(tmp_path / wire.DOOR)):
        async with door.opened(tmp_path) as opened:
            key = direct_key()
            assert await opened.direct(HERE, key.secret, key.pem, TYPIST) is None
            assert heard
        await asyncio.wait_for(left.wait(), 10)


async def test_the_end_of_the_task_ends_it(yard: Yard) -> None:
    run = await yard.sh(RAW, terminal=(24, 80))
    await run.says("ready")
    async with door.opened(run.attempt.folder) as opened, come(opened) as person:
        run.attempt.request_stop()
        await person.ends()
    await run.exit()
