"""`tailscale status --json`, as the command prints it and as nobody should: a stand-in for the command on PATH."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from relay.broker import tailscale
from relay.broker.places import Places, Source
from relay.broker.tailnet import TailnetPlaces
from relay.broker.tailscale import MAX_PEERS, Tailnet, read_status
from relay.core.ids import BrokerId
from relay.core.statements import Member
from relay.testing.processes import wait_until

OWN = {
    "ID": "nSelf1CNTRL",
    "PublicKey": "nodekey:" + "1" * 64,
    "HostName": "laptop",
    "DNSName": "laptop.tail1234.ts.net.",
    "OS": "linux",
    "UserID": 1234567,
    "TailscaleIPs": ["100.101.102.103", "fd7a:115c:a1e0::1"],
    "Addrs": ["192.0.2.1:41641"],
    "Online": True,
}
VPS = OWN | {
    "HostName": "VPS",
    "DNSName": "vps.tail1234.ts.net.",
    "TailscaleIPs": ["100.99.98.97", "fd7a:115c:a1e0::2"],
    "Online": False,
    "LastSeen": "2026-11-20T10:11:12.1Z",
}
STATUS: dict[str, Any] = {
    "Version": "1.90.1-t0123456789",
    "TUN": True,
    "BackendState": "Running",
    "AuthURL": "",
    "TailscaleIPs": OWN["TailscaleIPs"],
    "Self": OWN,
    "Health": [],
    "MagicDNSSuffix": "tail1234.ts.net",
    "Peer": {"nodekey:" + "2" * 64: VPS},
    "User": {"1234567": {"ID": 1234567, "LoginName": "ann@example.net"}},
}

StandIn = Callable[[str], None]


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Puts a shell script called `tailscale` in front of PATH."""

    def put(script: str) -> None:
        path = tmp_path / "tailscale"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return put


def printing(document: object, tmp_path: Path) -> str:
    """A script that prints a document to who asks as relay does."""
    (tmp_path / "status.json").write_text(json.dumps(document))
    return f'[ "$*" = "status --json" ] || exit 3\ncat {tmp_path}/status.json'


async def test_the_tailnet_is_read(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in(printing(STATUS, tmp_path))
    found = await tailscale.ask()
    assert found == Tailnet(
        ("100.101.102.103", "fd7a:115c:a1e0::1", "laptop.tail1234.ts.net"),
        {"vps": ("100.99.98.97", "fd7a:115c:a1e0::2", "vps.tail1234.ts.net")},
    )


async def test_where_there_is_no_such_command_nothing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert await tailscale.ask() is None


@pytest.mark.parametrize(
    "script",
    [
        "exit 1",
        "echo Tailscale is stopped.; exit 1",
        "echo not json",
        "echo '[]'",
        "printf '\\377\\376'",
        "printf '%s' '" + "[" * 100_000 + "'",
        "kill -9 $$",
        "exec yes",
        "head -c 9000000 /dev/zero",
    ],
    ids=["fails", "stopped", "no json", "a list", "no utf-8", "deep", "killed", "endless", "too much"],
)
async def test_what_cannot_be_read_says_nothing(stand_in: StandIn, script: str) -> None:
    stand_in(script)
    assert await asyncio.wait_for(tailscale.ask(), 20) is None


async def test_a_command_that_hangs_is_ended_with_all_it_started(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(f"sleep 3600 & echo $! > {tmp_path}/new\nmv {tmp_path}/new {tmp_path}/child\nwait")
    for timeout in (0.5, 2.0, 8.0):  # it is to be ended once it has started something
        monkeypatch.setattr(tailscale, "TIMEOUT_S", timeout)
        started = time.monotonic()
        assert await tailscale.ask() is None
        assert time.monotonic() - started < timeout + 20
        if (tmp_path / "child").exists():
            break
    child = int((tmp_path / "child").read_text())
    # the signal is sent by then; how soon the kernel carries it out is the kernel's
    wait_until(lambda: not _runs(child), 5, "what the command started to be gone")


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def read(**changes: object) -> Tailnet:
    return read_status(json.dumps(STATUS | changes).encode())


@pytest.mark.parametrize("state", ["Stopped", "NeedsLogin", None, 5])
def test_a_tailnet_that_is_not_up_is_none(state: object) -> None:
    assert read(BackendState=state) == Tailnet()


@pytest.mark.parametrize(
    "addresses",
    [["10.0.0.1"], ["127.0.0.1"], ["169.254.169.254"], ["fe80::1"], ["2001:db8::1"], [5, None, "x"], "x", None],
)
def test_only_addresses_of_a_tailnet_count(addresses: object) -> None:
    """Else whoever names a machine could have this broker dial inside its network."""
    assert read(Peer={"a": VPS | {"TailscaleIPs": addresses}}, Self=OWN | {"TailscaleIPs": addresses}) == Tailnet()


@pytest.mark.parametrize(
    "name", ["", ".", "a b.ts.net", "-x.ts.net", "localhost", "a" * 300 + ".net", 7, None, "vps\n.ts.net"]
)
def test_only_names_of_hosts_count(name: object) -> None:
    assert read(Self=OWN | {"DNSName": name}).hosts == ("100.101.102.103", "fd7a:115c:a1e0::1")


@pytest.mark.parametrize("peers", [None, 5, [], [VPS], {"a": None}, {"a": {"HostName": 5}}, {"a": {"HostName": ""}}])
def test_peers_of_another_form_are_passed_over(peers: object) -> None:
    assert read(Peer=peers).peers == {}


def test_there_are_bounds() -> None:
    many = {f"k{at}": VPS | {"HostName": f"m{at}"} for at in range(MAX_PEERS + 5)}
    assert len(read(Peer=many).peers) == MAX_PEERS
    same = {f"k{at}": VPS | {"TailscaleIPs": [f"100.64.0.{at}"]} for at in range(50)}
    assert len(read(Peer=same).peers["vps"]) == tailscale.MAX_ADDRESSES


async def test_a_member_of_the_same_name_is_found(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in(printing(STATUS, tmp_path))
    vps = Member(BrokerId("v" * 56), bytes(32), bytes(32), "vps", 0)
    mini = Member(BrokerId("m" * 56), bytes(32), bytes(32), "mini", 0)
    found = Places({}, lambda broker: [], lambda address: False)
    learnt: list[BrokerId] = []
    ports = ["7411", "7500", "7600"]
    tailnet = TailnetPlaces(found, lambda: [vps, mini], lambda broker: ports, learnt.append, lambda: 1_000)
    await tailnet.ask()
    hints = found.order(vps.id, [], 1_000)
    assert learnt == [vps.id] and {hint.source for hint in hints} == {Source.TAILSCALE}
    assert {hint.address for hint in hints} == {
        f"{host}:{port}"
        for host in ("100.99.98.97", "[fd7a:115c:a1e0::2]", "vps.tail1234.ts.net")
        for port in (7411, 7500)
    }
    assert found.order(mini.id, [], 1_000) == []
    # told only where it listens there
    assert tailnet.told(["127.0.0.1:7411", "192.168.1.2:7411"]) == []
    assert tailnet.told(["100.101.102.103:7411"]) == ["laptop.tail1234.ts.net:7411"]
    assert tailnet.told(["0.0.0.0:7500"]) == ["100.101.102.103:7500", "laptop.tail1234.ts.net:7500"]
    assert tailnet.told(["[::]:7500"]) == ["[fd7a:115c:a1e0::1]:7500", "laptop.tail1234.ts.net:7500"]
    # asked again at once, it stays with what it has
    stand_in("exit 1")
    await tailnet.ask()
    assert tailnet.told(["100.101.102.103:7411"])
