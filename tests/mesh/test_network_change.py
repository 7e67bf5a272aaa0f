"""A change of this machine's network is noticed once, told by the kernel; in a namespace where it can be made."""

from __future__ import annotations

import asyncio
import shutil
import struct
import subprocess
import sys

import pytest

from relay.broker import network_change
from relay.broker.network_change import NetworkChange, lost_interfaces, usable
from relay.testing.bench_node import until

NEW_LINK, DEL_LINK, NEW_ADDRESS, DEL_ADDRESS = 16, 17, 20, 21


def message(kind: int, index: int, flags: int = 0) -> bytes:
    body = struct.pack("=BxHiII", 0, 1, index, flags, 0)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


@pytest.mark.parametrize(
    ("data", "lost"),
    [
        (message(DEL_ADDRESS, 3), {3}),
        (message(DEL_LINK, 4), {4}),
        (message(NEW_LINK, 5, 0x1), {5}),
        (message(NEW_LINK, 5, 0x41), set()),
        (message(NEW_ADDRESS, 5), set()),
        (message(NEW_ADDRESS, 5) + message(DEL_ADDRESS, 6), {6}),
        (b"", set()),
        (b"\x00" * 40, set()),
        (message(DEL_ADDRESS, 3)[:-1], set()),
        (struct.pack("=IHHII", 16, DEL_ADDRESS, 0, 0, 0), set()),
        (b"\xff" * 64, set()),
    ],
)
def test_what_the_kernel_says(data: bytes, lost: set[int]) -> None:
    assert lost_interfaces(data) == lost


def test_which_addresses_count() -> None:
    texts = ("10.0.0.1", "fd7a::1", "127.0.0.1", "fe80::1%eth0", "169.254.0.1", "x")
    assert [each for each in texts if usable(each)] == ["10.0.0.1", "fd7a::1"]


async def test_a_change_is_told_once_it_has_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the kernel's word: it is looked at."""
    states = [frozenset({("eth0", "10.0.0.1")})]
    monkeypatch.setattr(network_change, "present_state", lambda: states[-1])
    monkeypatch.setattr(network_change, "_open", lambda: None)
    monkeypatch.setattr(network_change, "LOOK_EVERY_S", 0.01)
    told: list[int] = []
    watching = NetworkChange(lambda: told.append(len(states)))
    watching.start()
    states.append(frozenset({("eth0", "10.0.0.2")}))
    await until(lambda: told == [2])
    states.append(states[-1])
    states.append(frozenset())
    await until(lambda: told == [2, 4])
    watching.close()


INTERFACE = "ip link add d0 type veth peer name d1 && ip link set d1 up && ip link set d0 up"
ADDRESS = "ip addr add 10.9.8.7/24 dev d0"
PROGRAM = """
import asyncio
from relay.broker.network_change import NetworkChange
class Watching(NetworkChange):
    def _look(self):
        super()._look()
        print("looked", flush=True)
async def main():
    watching = Watching(lambda: print("changed", flush=True))
    watching.start()
    print("ready", flush=True)
    await asyncio.sleep(40)
asyncio.run(main())
"""


def _unshare() -> str:
    """`unshare`, or a skip that says what is missing."""
    path = shutil.which("unshare")
    if path is None or shutil.which("ip") is None:
        pytest.skip("needs unshare (util-linux) and ip (iproute2)")
    done = subprocess.run([path, "-n", "ip", "link", "set", "lo", "up"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this user may make no network namespace")
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="rtnetlink is Linux's")
@pytest.mark.parametrize(
    ("before", "change", "told"),
    [
        ("true", f"{INTERFACE} && {ADDRESS}", True),
        (f"{INTERFACE} && {ADDRESS}", f"ip addr del 10.9.8.7/24 dev d0 && {ADDRESS}", True),
        (f"{INTERFACE} && {ADDRESS}", "ip link set d1 down", True),
        ("true", f"{INTERFACE} && ip link del d0", False),
    ],
    ids=["an address comes", "it goes and comes back", "the cable is pulled", "an interface without an address"],
)
async def test_the_kernel_tells_of_a_change(before: str, change: str, told: bool) -> None:
    script = f'{before} && exec "$0" -c "$1"'
    # the namespace lives as long as the program in it
    words = [_unshare(), "-n", "sh", "-c", script, sys.executable, PROGRAM]
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        if await asyncio.wait_for(process.stdout.readline(), 20) != b"ready\n":
            pytest.skip("this kernel makes no pair of interfaces")
        enter = ["nsenter", "-t", str(process.pid), "-n", "sh", "-c", change]
        changed = await asyncio.create_subprocess_exec(*enter, stderr=asyncio.subprocess.DEVNULL)
        if await changed.wait():
            pytest.skip("this kernel makes no pair of interfaces")
        said = await asyncio.wait_for(process.stdout.readline(), 20)
        while told and said == b"looked\n":  # in the midst of it
            said = await asyncio.wait_for(process.stdout.readline(), 20)
        assert said == (b"changed\n" if told else b"looked\n")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
