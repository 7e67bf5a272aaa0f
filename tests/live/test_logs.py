"""`relay logs` and `relay events`: followed by many, by time, without what steers a terminal."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from relay.api import raw_lines, routes
from relay.api.client import Client
from relay.api.durations import rfc3339
from relay.api.home import Home
from relay.broker import log_pieces
from relay.broker.channel import SILENCE_S
from relay.broker.hub import Hub
from relay.spawn.shim import frames
from relay.store import events
from relay.store.engine import Store
from relay.store.events import Event
from relay.testing.mesh import Mesh
from relay.testing.processes import wait_until
from tests.e2e.scene import Scene, error_of, relay, started
from tests.live.followers import through_restarts


def test_fifty_followers_through_restarts(granted: Scene) -> None:
    through_restarts(granted, 50, 2, 10)


def test_a_follower_by_the_command_goes_on_after_a_restart(granted: Scene) -> None:
    gate = granted.vps.work / "by-command"
    spawn = granted.begin(f"echo first; while [ ! -e {gate} ]; do sleep 0.02; done; echo second")
    silent = granted.begin(f"while [ ! -e {gate}-2 ]; do sleep 0.02; done; echo 1; echo 2; echo 3")
    with (
        started(granted.laptop, "logs", spawn, "-f") as follower,
        started(granted.laptop, "events", "-f", "--since", "0", "--json") as listener,
        started(granted.laptop, "logs", silent, "-f", "--tail", "1", "--json") as at_the_tail,
    ):
        assert follower.stdout is not None and follower.stdout.readline() == b"first\n"
        assert listener.stdout is not None
        seen = [json.loads(listener.stdout.readline())["seq"]]
        assert at_the_tail.stdout is not None and json.loads(at_the_tail.stdout.readline())["data"] == ""
        granted.laptop.stop()  # in order, as for an upgrade: that ended what follows events, with status 0
        gate.with_name(f"{gate.name}-2").touch()
        granted.until(silent, "completed", on=granted.vps)
        granted.laptop.start()
        behind = [json.loads(line)["data"] for line in at_the_tail.stdout]
        assert "".join(behind) == "1\n2\n3\n" and at_the_tail.wait(10) == 0, "its tail stood before all of that"
        granted.laptop.restart()
        granted.linked()
        gate.touch()
        assert follower.stdout.read() == b"second\n" and follower.wait(10) == 0
        for line in listener.stdout:
            event = json.loads(line)
            seen.append(event["seq"])
            if event.get("spawn") == spawn and event.get("state") == "completed":
                break
        else:
            raise AssertionError("it ended with a broker that stopped")
    assert seen == list(range(seen[0], seen[-1] + 1)), "every event once, over the restart"


def test_plain_and_as_it_was(granted: Scene) -> None:
    spawn = granted.shell("printf '\\033[31mred\\033[0m\\n'; printf 'e\\033]0;t\\007rr\\n' >&2", status=0)["id"]
    kept, plain = relay(granted.laptop, "logs", spawn), relay(granted.laptop, "logs", spawn, "--plain")
    assert (kept.stdout, kept.stderr) == (b"\x1b[31mred\x1b[0m\n", b"e\x1b]0;t\x07rr\n")
    assert (plain.stdout, plain.stderr) == (b"red\n", b"err\n")
    lines = [json.loads(line) for line in relay(granted.laptop, "logs", spawn, "--plain", "--json").stdout.splitlines()]
    assert {line["stream"]: line["data"] for line in lines} == {"out": "red\n", "err": "err\n"}


def test_as_bytes_it_is_what_it_is_as_lines(granted: Scene) -> None:
    """Of the broker that runs it, and of the one that asked for it; also what is no text."""
    spawn = granted.shell("printf 'a\\377\\000b'; printf 'e\\n' >&2; printf '\\303\\244'", status=0)["id"]
    asked = routes.log(spawn, follow=True)
    for node in (granted.laptop, granted.vps):
        with Client(Home(str(node.home))) as client:
            lines: list[Any] = list(client.lines(asked))
            found: list[Any] = list(client.lines(raw_lines.as_bytes(asked)))
        names = ("stream", "next", "at")
        assert [[each[name] for name in names] for each in found] == [[each[name] for name in names] for each in lines]
        assert b"".join(each["data"] for each in found if each["stream"] == "out") == b"a\xff\0b\xc3\xa4"
        assert [each["data"] for each in found if each["stream"] == "err"] == [b"e\n"]


def test_since(granted: Scene) -> None:
    spawn = granted.shell("echo old; sleep 1.2; echo new", status=0)["id"]
    lines = [json.loads(line) for line in relay(granted.laptop, "logs", spawn, "--json").stdout.splitlines()]
    between = lines[1]["at"]
    for node in (granted.laptop, granted.vps):
        assert relay(node, "logs", spawn, "--since", between).stdout == b"new\n"
        assert relay(node, "logs", spawn, "--since", "1h").stdout == b"old\nnew\n"
        assert relay(node, "logs", spawn, "--since", "1969-12-31T00:00:00Z").stdout == b"old\nnew\n"
        assert relay(node, "logs", spawn, "--since", rfc3339(int((time.time() + 60) * 1000))).stdout == b""
    done = relay(granted.laptop, "--json", "logs", spawn, "--since", "yesterday")
    assert done.returncode == 2 and error_of(done)["code"] == "bad_duration"


@pytest.mark.parametrize("size", [10, 700, 60_000])
def test_where_a_moment_stands_in_a_long_log(tmp_path: Path, size: int) -> None:
    log, offset, starts = tmp_path / "log", 0, []
    with log.open("wb") as file:
        for n in range(300):
            pieces = b"".join(frames.pack(offset, 0, 1000 + n, bytes(size)))
            file.write(pieces)
            offset += len(pieces)
            starts.append(offset)
    for n in (0, 1, 150, 299):
        at = log_pieces.first_since(log, 1000 + n)
        found = log_pieces.not_before(log_pieces.read(log, at), 1000 + n)
        assert found and found[0].at_ms == 1000 + n
    assert log_pieces.first_since(tmp_path / "none", 5) == 0


async def test_a_subscriber_that_fell_behind_what_is_kept_is_told(tmp_path: Path) -> None:
    async with await Store.open(tmp_path / "relay.db") as store:
        hub = Hub(store)

        async def happen(count: int) -> None:
            await store.write(lambda tx: [events.append(tx, "spawn.state", {"n": n}, n) for n in range(count)])

        await happen(3)
        slow = hub.stream(0, follow=True)
        assert (await anext(slow)).seq == 1
        await happen(2_000)
        await store.write(lambda tx: events.purge(tx, 10))
        hub.publish(Event(2_003, 0, "spawn.state", {}), None)
        kinds: list[str] = []
        async with asyncio.timeout(10):
            while not kinds or kinds[-1] != "reset":
                kinds.append((await anext(slow)).kind)
        assert len(kinds) < 600, "what is read ahead for a slow one is bounded"


@pytest.mark.parametrize("since", [2, 9])
async def test_a_subscriber_of_what_is_gone_whole_is_told(tmp_path: Path, since: int) -> None:
    """All of it was purged, as on a machine that slept for long; or it has seen a later store than this one."""
    async with await Store.open(tmp_path / "relay.db") as store:
        await store.write(lambda tx: [events.append(tx, "spawn.state", {"n": n}, n) for n in range(3)])
        await store.write(lambda tx: events.purge(tx, 0))
        told = [(event.seq, event.kind) async for event in Hub(store).stream(since, follow=False)]
        assert told == [(3, "reset")]
        assert [event async for event in Hub(store).stream(3, follow=False)] == []


@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_fifty_followers_through_ten_restarts(granted: Scene) -> None:
    through_restarts(granted, 50, 10, 30)


@pytest.mark.parametrize("words", [("logs", "-f"), ("attach", "--view")])
def test_a_follower_goes_on_after_a_restart_though_a_third_broker_is_in_reach_of_both(words: tuple[str, str]) -> None:
    """There is another way at once: over it nobody would say that the target knows the follower no more."""
    with Mesh.scratch("relay-third-") as mesh:
        laptop, vps = mesh.pair("laptop", "vps")
        mini = mesh.join(laptop, "mini")
        mesh.grant(on=vps, to=laptop)
        wait_until(lambda: vps.status()["links"] == 2 and mini.status()["links"] == 2, 30, "links of all with all")
        told = lambda: vps.id in str(laptop.relay_json("broker", "show", "mini")["linked"])  # noqa: E731
        wait_until(told, 30, "laptop to know that there is a way through mini")
        gate = vps.work / "third"
        script = f"echo first; while [ ! -e {gate} ]; do sleep 0.02; done; echo second"
        place = ("--broker", "vps", "--cwd", str(vps.work))
        spawn = str(laptop.relay_json("spawn", "-", "shell", script, *place)["id"])
        with started(laptop, words[0], spawn, words[1]) as follower:
            assert follower.stdout is not None and follower.stdout.readline() == b"first\n"
            vps.kill()
            vps.start()
            wait_until(lambda: laptop.status()["links"] == 2, 30, "the link")
            linked = time.monotonic()
            gate.touch()
            assert follower.stdout.read() == b"second\n" and follower.wait(20) == 0
            # who learns of it by silence alone stands still for about 15 s
            assert time.monotonic() - linked < SILENCE_S / 2
