"""The internet of the tests itself: wires, cuts, NAT boxes; and nothing of it is left, however a run ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from relay.testing import processes
from relay.testing.netns import ability, namespaces
from relay.testing.netns.cuts import Cut
from relay.testing.netns.internet import Internet
from relay.testing.netns.wires import Quality

_SERVER = """
import socket
with socket.create_server(("", 7411)) as server:
    print("up", flush=True)
    while True:
        server.accept()[0].close()
"""
_CLIENT = """
import socket, sys, time
began = time.monotonic()
try:
    socket.create_connection((sys.argv[1], 7411), 1.5).close()
    print("connected", time.monotonic() - began)
except OSError as error:
    print(type(error).__name__)
"""
# a run that makes a namespace with a process in it, says its name, and goes on until it is ended
_RUN = """
import subprocess, time
from relay.testing.netns.internet import Internet
internet = Internet()
try:
    site = internet.site("place", behind_nat=True)
    words = ("sh", "-c", "echo inside; exec sleep 600")
    left = subprocess.Popen(site.inside(*words), stdout=subprocess.PIPE)
    left.stdout.readline()
    print(internet.spaces.prefix, left.pid, flush=True)
    time.sleep(60)
finally:
    internet.close()
"""


@pytest.fixture
def internet(_able: None) -> Iterator[Internet]:
    """No sites yet."""
    internet = Internet()
    try:
        yield internet
    finally:
        internet.close()
    namespaces.await_gone(internet.spaces.prefix)


@contextmanager
def _listening(internet: Internet, name: str) -> Iterator[str]:
    """Somebody who answers at a site; its address."""
    command = internet.sites[name].inside(sys.executable, "-c", _SERVER)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None and server.stdout.readline() == b"up\n"
            yield internet.sites[name].address
        finally:
            server.kill()


def _connect(internet: Internet, name: str, address: str) -> tuple[str, float]:
    command = internet.sites[name].inside(sys.executable, "-c", _CLIENT, address)
    words = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return words[0], float(words[1]) if len(words) > 1 else 0.0


def test_a_slow_wire_is_slow(internet: Internet) -> None:
    internet.site("far", quality=Quality(delay_ms=50))
    internet.site("near")
    with _listening(internet, "far") as far:
        said, took = _connect(internet, "near", far)
    assert said == "connected" and took >= 0.1


def test_a_lossy_wire_loses_all_where_all_is_asked(internet: Internet) -> None:
    internet.site("far", quality=Quality(loss=1.0))
    internet.site("near")
    with _listening(internet, "far") as far:
        assert _connect(internet, "near", far)[0] == "TimeoutError"


def test_cuts_and_healing(internet: Internet) -> None:
    for name in ("one", "two", "three"):
        internet.site(name)
    with _listening(internet, "one") as one:
        assert _connect(internet, "two", one)[0] == "connected"
        internet.cut("one", "two")
        assert _connect(internet, "two", one)[0] == "TimeoutError"
        assert _connect(internet, "three", one)[0] == "connected"
        internet.heal("one", "two")
        internet.isolate("one", Cut.RESET)
        assert _connect(internet, "two", one)[0] == "ConnectionRefusedError" == _connect(internet, "three", one)[0]
        internet.heal_all()
        assert _connect(internet, "two", one)[0] == "connected"


def test_behind_a_nat_box(internet: Internet) -> None:
    """It gets out, and nobody gets in; two of them cannot reach each other."""
    internet.site("outside")
    internet.site("home", behind_nat=True)
    internet.site("office", behind_nat=True)
    with _listening(internet, "outside") as outside, _listening(internet, "home") as home:
        assert _connect(internet, "home", outside)[0] == "connected"
        assert _connect(internet, "office", home)[0] != "connected"
        assert _connect(internet, "outside", home)[0] != "connected"
        assert _connect(internet, "outside", "192.168.1.2")[0] != "connected"


def test_a_new_address_takes_the_place_of_the_old(internet: Internet) -> None:
    internet.site("here")
    internet.site("there")
    old = internet.sites["here"].address
    internet.move("here")
    with _listening(internet, "here") as new:
        assert new != old
        assert _connect(internet, "there", new)[0] == "connected"
        assert _connect(internet, "there", old)[0] != "connected"


@pytest.mark.usefixtures("_able")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_a_run_that_was_ended(how: signal.Signals) -> None:
    """Ctrl-C: it tidies up itself. Killed: the next run does, the processes in its namespaces too."""
    with subprocess.Popen([sys.executable, "-c", _RUN], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as run:
        assert run.stdout is not None
        prefix, left = run.stdout.readline().decode().split()
        assert [name for name in namespaces.standing() if name.startswith(prefix)]
        assert not [name for name in namespaces.remove_leftovers() if name.startswith(prefix)], "its run is alive"
        run.send_signal(how)
    if how is signal.SIGKILL:
        # or another run that began at this moment
        namespaces.remove_leftovers()
    namespaces.await_gone(prefix)
    processes.wait_until(lambda: not psutil.pid_exists(int(left)), 5, "the process in it to be gone")


@pytest.mark.parametrize("missing", ["nft", "ip"])
def test_a_skip_names_what_is_missing(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    found = namespaces.program
    monkeypatch.setattr(namespaces, "program", lambda name: None if name == missing else found(name) or name)
    assert ability.why_not.__wrapped__() == f"apt-get install {ability.PACKAGES[missing]}"


def test_a_skip_says_that_it_needs_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces, "program", lambda name: name)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert ability.why_not.__wrapped__() == "network namespaces need root"
