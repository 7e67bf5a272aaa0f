"""Attached past both brokers: what goes by the direct way, and how it goes on without."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from relay.testing import processes
from tests.e2e.scene import Scene, gone_within, put, relay, relay_json
from tests.live.terminal import DETACH, Terminal, terminal

TYPIST = 'stty -echo; echo ready; while read line; do echo "got $line"; [ $line = bye ] && exit 7; done'
RAW = "stty raw -echo; echo ready; exec cat"
_PIDFD_GETFD = 438
LINES, PIECES, EACH = 100_000, 20, 5_000
FLOOD = (
    "stty -echo -icanon; echo ready; read -r go; "
    f"(i=0; while [ $i -lt {PIECES} ]; do seq -f 'line %06.0f' $((i*{EACH})) $(((i+1)*{EACH}-1)); "
    "i=$((i+1)); sleep 0.05; done; echo over) & head -c 6000 > typed; wait"
)


@pytest.fixture
def scene(granted: Scene) -> Scene:
    granted.grant("--agent", "shell", "--verb", "attach", "--verb", "view")
    return granted


Person = Terminal | subprocess.Popen[bytes]


def pid_of(person: Person) -> int:
    return person.process.pid if isinstance(person, Terminal) else person.pid


def ways(person: Person) -> list[Any]:
    """Its connections past its broker, which it reaches over a socket of another kind."""
    found = psutil.Process(pid_of(person)).net_connections("tcp")
    return [each for each in found if each.status == psutil.CONN_ESTABLISHED]


def goes_direct(person: Person) -> None:
    processes.wait_until(lambda: ways(person), 15, "a direct way")


def cut(person: Person, log: Path | None = None) -> None:
    """End its direct way in the middle, as the network may: a reset, and what was on its way is gone."""
    with contextlib.ExitStack() as stack:
        pid = os.pidfd_open(pid_of(person))
        stack.callback(os.close, pid)
        fd = ctypes.CDLL(None, use_errno=True).syscall(_PIDFD_GETFD, pid, ways(person)[0].fd, 0)
        if fd < 0:
            pytest.skip("this user may take no file of another process")
        stack.callback(os.close, fd)
        assert ctypes.CDLL(None).connect(fd, bytes(16), 16) == 0  # to no family: that ends it (connect(2))


def test_keys_go_past_both_brokers(scene: Scene) -> None:
    spawn = scene.begin(RAW, "--tty")
    with terminal(scene.laptop, "attach", spawn) as person:
        person.until(b"ready")
        goes_direct(person)
        person.type(b"<begun>")
        person.until(b"<begun>")
        with scene.laptop.asleep(), scene.vps.asleep():
            for n in range(50):
                person.type(b"<%d>" % n)
                person.until(b"<%d>" % n)
        person.type(DETACH)
        assert person.exit() == 130
    relay_json(scene.laptop, "stop", spawn)
    log = relay(scene.laptop, "logs", spawn).stdout
    assert log.endswith(b"<begun>" + b"".join(b"<%d>" % n for n in range(50)))


def test_who_only_looks_is_shown_it_past_both_brokers_too(scene: Scene) -> None:
    task = "echo ready; for go in 0 1 2 3 4; do while [ ! -e $go ]; do sleep 0.05; done; echo gone $go; done; sleep 60"
    spawn = scene.begin(task, "--tty")
    with terminal(scene.laptop, "attach", spawn, "--view") as viewer:
        viewer.until(b"ready")
        seen = b""

        def is_shown(n: int) -> bool:
            nonlocal seen
            goes_direct(viewer)  # or is about to: who has had no turn for seconds goes by the link, and asks again
            with scene.laptop.asleep(), scene.vps.asleep():
                viewer.type(b"not mine\r")
                (scene.vps.work / str(n)).touch()
                with contextlib.suppress(AssertionError):
                    seen += viewer.until(b"gone %d" % n, 3)
                    return True
            seen += viewer.until(b"gone %d" % n)
            return False

        assert any(is_shown(n) for n in range(5))
        assert b"not mine" not in seen
    relay_json(scene.laptop, "stop", spawn)
    gone_within(spawn)
    for n in range(5):
        (scene.vps.work / str(n)).unlink(missing_ok=True)


@contextlib.contextmanager
def frozen(scene: Scene, person: Person) -> Iterator[Callable[[], bool]]:
    """The shim reads nothing meanwhile; yields whether something waits to be sent to it, for want of room there."""
    there = ways(person)[0].raddr
    shim = next(each for each in scene.vps.shims() if any(it.laddr == there for it in each.net_connections("tcp")))

    def waits() -> bool:
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return any(each[2].endswith(f":{there.port:04X}") and each[4] > "00000400" for each in lines)

    shim.send_signal(signal.SIGSTOP)
    try:
        yield waits
    finally:
        shim.send_signal(signal.SIGCONT)


def stall(person: Terminal, log: Path) -> None:
    """Let its terminal be full until the task has written all: more than is kept for who does not read."""
    processes.wait_until(lambda: b"over" in log.read_bytes(), 15, "the task to have written all")


@pytest.mark.parametrize("disturb", [cut, stall], ids=["cut", "not read"])
def test_nothing_is_lost_or_doubled_in_the_middle(scene: Scene, disturb: Callable[[Terminal, Path], None]) -> None:
    spawn = scene.begin(FLOOD, "--tty")
    log = scene.vps.home / "attempts" / f"{spawn}-1" / "log"
    with terminal(scene.laptop, "attach", spawn) as person:
        person.until(b"ready\r\n")
        goes_direct(person)
        person.type(b"go\n")
        typed = b"".join(b"%05d," % n for n in range(1000))
        seen = b""
        for n in range(PIECES):
            seen += person.until(b"line %06d\r\n" % (n * EACH))
            person.type(typed[n * 300 : (n + 1) * 300])
            if n == PIECES // 4:
                disturb(person, log)
        seen += person.until(b"over\r\n")
        assert person.exit() == 0
    assert seen == b"".join(b"line %06d\r\n" % n for n in range(LINES)) + b"over\r\n"
    assert (scene.vps.work / "typed").read_bytes() == typed


def test_what_was_on_its_way_is_typed_again(scene: Scene) -> None:
    data = os.urandom(400_000)
    spawn = scene.begin(f"stty raw -echo; echo ready; head -c {len(data)} | sha256sum", "--tty")
    scene.until(spawn, "running")
    command = [sys.executable, "-m", "relay", "attach", spawn]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=scene.laptop.environment(), stdin=pipe, stdout=pipe) as person:
        assert person.stdin is not None and person.stdout is not None
        typing = threading.Thread(target=person.stdin.write, args=(data,))
        try:
            person.stdout.readline()
            goes_direct(person)
            with frozen(scene, person) as waits:
                typing.start()
                processes.wait_until(waits, 5, "what is typed to wait for the shim")
                cut(person)
            said = person.stdout.read()
            assert person.wait(20) == 0
        finally:
            person.kill()
            typing.join()
    assert hashlib.sha256(data).hexdigest().encode() in said


def test_it_goes_on_after_more_than_one(scene: Scene) -> None:
    spawn = scene.begin(TYPIST, "--tty")
    with terminal(scene.laptop, "attach", spawn) as person:
        person.until(b"ready")
        for n in range(2):
            goes_direct(person)
            person.type(b"before%d\rcut%d\r" % (n, n))
            cut(person)
            person.type(b"after%d\r" % n)
            person.until(b"got before%d\r\ngot cut%d\r\ngot after%d\r\n" % (n, n, n))
            scene.vps.restart()
        person.type(b"bye\r")
        person.until(b"got bye")
        assert person.exit() == 7


def test_what_is_revoked_is_over_within_5_s(scene: Scene) -> None:
    spawn = scene.begin(TYPIST, "--tty")
    with terminal(scene.laptop, "attach", spawn) as person:
        person.until(b"ready")
        goes_direct(person)
        scene.vps.relay("trust", "revoke", scene.laptop.id)
        processes.wait_until(lambda: not ways(person), 5, "the direct way to be over")
        person.type(b"too late\r")
        person.exit()
    assert b"too late" not in relay(scene.vps, "logs", spawn).stdout
    relay_json(scene.vps, "stop", spawn)


def test_a_grant_that_takes_the_keys_away_takes_them_from_the_direct_way(scene: Scene) -> None:
    spawn = scene.begin(TYPIST, "--tty")
    with terminal(scene.laptop, "attach", spawn) as person:
        person.until(b"ready")
        goes_direct(person)
        before = ways(person)
        trust = scene.vps.home / "trust.toml"
        put(trust, trust.read_text().replace('"attach", ', "").replace(', "attach"', ""))
        processes.wait_until(lambda: ways(person) != before, 5, "the direct way to be over")
        person.type(b"too late\r")
        assert person.exit() == 1
        assert b"may not attach on vps" in person.seen
    assert b"too late" not in relay(scene.vps, "logs", spawn).stdout
    relay_json(scene.vps, "stop", spawn)


def test_who_drives_no_more_types_by_no_way(scene: Scene) -> None:
    spawn = scene.begin(TYPIST, "--tty")
    with terminal(scene.laptop, "attach", spawn) as first:
        first.until(b"ready")
        goes_direct(first)
        with terminal(scene.vps, "attach", spawn) as second:
            second.until(b"ready")
            first.until(b"@vps drives now")
            first.type(b"too late\r")
            first.until(b"what you type goes nowhere")
            goes_direct(first)  # to look
            with scene.laptop.asleep():  # what is sent meanwhile comes when it drives again
                first.type(b"later\r")
                second.type(b"mine\r")
                assert b"later" not in second.until(b"got mine")
                second.type(DETACH)
                assert second.exit() == 130
        first.until(b"got mine")
        first.until(b"you drive again")
        first.type(b"bye\r")
        assert b"late" not in first.until(b"got bye").replace(b"what you type", b"")
        assert first.exit() == 7


@contextlib.contextmanager
def nowhere(scene: Scene, *words: str) -> Iterator[Terminal]:
    """As `terminal`, in a place that no network leads out of."""
    unshare = shutil.which("unshare")
    mine = ["-n"] if os.geteuid() == 0 else ["-rn"]
    if unshare is None or subprocess.run([unshare, *mine, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may make no network namespace")
    with terminal(scene.laptop, *words, program=(unshare, *mine, sys.executable)) as made:
        yield made


def test_where_no_way_leads_there_all_is_as_ever(scene: Scene) -> None:
    spawn = scene.begin(TYPIST, "--tty")
    with nowhere(scene, "attach", spawn) as person:
        person.until(b"ready")
        for n in range(20):
            person.type(b"%d\r" % n)
            person.until(b"got %d\r\n" % n)
        assert not ways(person)
        person.type(b"bye\r")
        assert b"[relay]" not in person.until(b"got bye")
        assert person.exit() == 7


def test_a_program_is_told_which_way_it_goes(scene: Scene) -> None:
    spawn = scene.begin(TYPIST, "--tty")
    with terminal(scene.laptop, "--json", "attach", spawn) as person:
        person.until(b'{"direct": true}')
        person.type(b"bye\r")
        person.until(b'{"direct": false}')
        assert person.exit() == 7


def test_where_it_is_switched_off_no_port_is_opened(scene: Scene) -> None:
    scene.vps.configure("attach_direct = false")
    try:
        scene.vps.restart()
        scene.linked()
        spawn = scene.begin(TYPIST, "--tty")
        with terminal(scene.laptop, "--json", "attach", spawn) as person:
            person.until(b"ready")
            person.type(b"1\r")
            person.until(b"got 1")
            assert scene.vps.process is not None
            below = psutil.Process(scene.vps.process.pid).children(recursive=True)
            assert not [each for one in below for each in one.net_connections("tcp")] and not ways(person)
            person.type(b"bye\r")
            assert b"direct" not in person.until(b"got bye")
            assert person.exit() == 7
    finally:
        scene.vps.configure("attach_direct = true")
        scene.vps.restart()
