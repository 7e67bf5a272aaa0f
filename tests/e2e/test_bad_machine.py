"""What goes wrong around a broker: invites, stores, ports, disks, homes, strangers. Each is told, none harms."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing

import psutil
import pytest

from relay.testing.mesh import Mesh, free_port
from relay.testing.node import Node
from tests.e2e.scene import Done, Scene, error_of, fresh, relay, relay_json


def refused(done: Done, code: str, status: int = 1) -> dict[str, str]:
    """A command that failed with this code; the error has to say why or what to do."""
    assert done.returncode == status, done
    error = error_of(done)
    assert error["code"] == code, error
    assert error["message"] and (error["hint"] or error["why"])
    return error


@pytest.fixture
def home(mesh: Mesh) -> Node:
    """A home that is set up, without a broker."""
    return mesh.add("solo", started=False)


def up(node: Node) -> Done:
    """`relay up --json` for a node, which is expected to fail."""
    return relay(node, "--json", "up", "--detach")


# invites


@pytest.fixture
def link(two: Scene) -> str:
    """A fresh invite of laptop's."""
    return str(relay_json(two.laptop, "invite", "--link")["link"])


def newcomer(two: Scene) -> Node:
    """A machine without anything, in the pair's folder."""
    return Node(two.mesh.folder, fresh("newcomer"), free_port())


def test_mangled_invites(two: Scene, link: str) -> None:
    flipped = link[:-9] + ("A" if link[-9] != "A" else "B") + link[-8:]
    other = base64.urlsafe_b64encode(b"\x96" + os.urandom(80)).decode()
    for text in ("", link[:-1], flipped, link + "x" * 9000, f"relay://join/{other}", "\x1b[31m"):
        node = newcomer(two)
        refused(relay(node, "--json", "join", text), "bad_invite", 2)
        assert not (node.home / "workspace.key").exists()


def test_an_invite_survives_being_pasted(two: Scene, link: str) -> None:
    node = newcomer(two)
    broken = f'  "{link[:50]}\n   {link[50:]}"  '
    joined = relay_json(node, "join", broken, "--name", "pasted")
    assert joined["workspace"] == relay_json(two.laptop, "status")["workspace"]


def test_an_invite_serves_one_joiner(two: Scene, link: str) -> None:
    first, second = newcomer(two), newcomer(two)
    relay_json(first, "join", link)
    refused(relay(second, "--json", "join", link), "invite_refused")
    assert relay(first, "join", link).returncode == 0, "the same joiner may fetch its answer again"


def test_an_expired_invite(two: Scene) -> None:
    link = relay_json(two.laptop, "invite", "--link", "--ttl", "1s")["link"]
    time.sleep(1.05)
    error = refused(relay(newcomer(two), "--json", "join", link), "invite_refused")
    assert "expired" in error["message"] + error["why"]


def test_an_invite_whose_maker_is_away(two: Scene, link: str) -> None:
    two.laptop.kill()
    error = refused(relay(newcomer(two), "--json", "join", link), "unreachable")
    assert "relay up" in error["hint"]


def test_a_member_of_a_populated_workspace_does_not_leave_it_by_accident(two: Scene, mesh: Mesh) -> None:
    other = mesh.add("other")
    link = relay_json(other, "invite", "--link")["link"]
    for _ in range(2):  # by its broker, then without one
        refused(relay(two.vps, "--json", "join", link), "workspace_populated")
        two.vps.stop()
    assert len(relay_json(two.laptop, "brokers")) >= 2
    two.vps.start()
    two.linked()


# stores


def test_a_corrupt_store(home: Node) -> None:
    home.start()
    home.stop()
    database = home.home / "relay.db"
    whole = database.read_bytes()
    for damage in (b"this is no database" * 300, whole[:100] + b"\xff" * 8000 + whole[8100:], whole[:3000]):
        database.write_bytes(damage)
        refused(up(home), "store_corrupt")
        assert database.read_bytes() == damage, "it is never repaired or replaced silently"
    database.write_bytes(whole)
    home.start()


def test_a_newer_store(home: Node) -> None:
    home.start()
    home.stop()
    with closing(sqlite3.connect(home.home / "relay.db")) as store:
        store.execute("PRAGMA user_version = 999")
    error = refused(up(home), "store_newer")
    assert "999" in error["message"] + error["why"]


def test_a_store_of_another_program(home: Node) -> None:
    with closing(sqlite3.connect(home.home / "relay.db")) as store:
        store.execute("CREATE TABLE bookmarks (url TEXT)")
    refused(up(home), "store_corrupt")


def test_a_damaged_key(home: Node) -> None:
    for name in ("identity.key", "workspace.key"):
        key = home.home / name
        whole = key.read_bytes()
        for damage in (whole[: len(whole) // 2], b"\xff" * len(whole)):
            key.write_bytes(damage)
            refused(up(home), "bad_key_file")
        relay(home, "doctor")  # whatever it says: no traceback
        key.write_bytes(whole)


def test_keys_that_others_may_read(home: Node) -> None:
    (home.home / "identity.key").chmod(0o644)
    error = refused(up(home), "bad_key_file")
    assert "chmod" in error["hint"]


# ports, homes, configuration


def test_a_taken_port(home: Node) -> None:
    with socket.create_server(("127.0.0.1", home.port)):
        error = refused(up(home), "port_taken")
    assert str(home.port) in error["message"] + error["why"]
    home.start()


def test_a_second_broker_on_one_home(mesh: Mesh) -> None:
    first = mesh.add("first")
    second = subprocess.run(
        [sys.executable, "-m", "relay.daemon", "--home", str(first.home)],
        env=first.environment(),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert second.returncode == 1
    assert "a broker runs on this home already" in second.stderr and "Traceback" not in second.stderr
    told = up(first)
    assert told.returncode in (0, 1) and b"already" in told.stdout + told.stderr
    assert first.status()["pid"] == (first.process.pid if first.process else 0)


def test_five_brokers_at_once_on_one_home(home: Node) -> None:
    """All start in the same moment: one runs, four say so."""
    command = [sys.executable, "-m", "relay.daemon", "--home", str(home.home)]
    silent = subprocess.DEVNULL
    all_of_them = [subprocess.Popen(command, env=home.environment(), stdout=silent, stderr=silent) for _ in range(5)]
    try:
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline and sum(each.poll() is None for each in all_of_them) > 1:
            time.sleep(0.05)
        assert sorted(str(each.poll()) for each in all_of_them) == ["1"] * 4 + ["None"]
    finally:
        for each in all_of_them:
            each.terminate()
        for each in all_of_them:
            each.wait(15)


WRONG_SETTINGS = ["listen = 5\n", "nonsense", "max_parallel = 0\n", 'listen = ["nowhere"]\n', "unknown = 1\n"]


@pytest.mark.parametrize("text", WRONG_SETTINGS)
def test_a_wrong_configuration_is_named_with_its_line(home: Node, text: str) -> None:
    file = home.home / "config.toml"
    file.write_text("# mine\n" + text)
    error = refused(up(home), "bad_config")
    assert "config.toml" in error["message"] + error["why"] and "2" in error["message"] + error["why"], error


UNREADABLE = ("status", "up --detach", "spawn x shell true", "init", "ps", "trust list", "doctor", "")


def _without_root_rights() -> list[str]:
    """The words in front of a command that take away root's right to read everything."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv: apt-get install util-linux")
    return ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]


def test_an_unreadable_home(home: Node) -> None:
    """Nobody is told to `relay init` a home that only cannot be read."""
    home.home.chmod(0)
    relays = [[sys.executable, "-m", "relay", *words.split()] for words in UNREADABLE]
    daemon = [sys.executable, "-m", "relay.daemon", "--home", str(home.home)]
    try:
        for command in (*relays, daemon):
            done = subprocess.run(
                [*_without_root_rights(), *command],
                env=home.environment(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=20,
                check=False,
            )
            said = done.stderr + done.stdout
            assert done.returncode == 1 and "Traceback" not in said, done
            assert "ermission" in said and str(home.home) in said and "relay init" not in said, done
    finally:
        home.home.chmod(0o700)


def test_a_home_that_is_a_file(home: Node) -> None:
    shutil.rmtree(home.home)
    home.home.write_text("a file")
    for words in (("status",), ("up", "--detach"), ("init",), ("ps",)):
        done = relay(home, *words)
        assert done.returncode in (1, 2) and b"error:" in done.stderr, done


def test_nothing_set_up(mesh: Mesh) -> None:
    node = Node(mesh.folder, "nothing", free_port())
    for words in (("spawn", "x", "shell", "true"), ("ps",), ("brokers",), ("invite", "--link"), ("events",), ("up",)):
        error = refused(relay(node, "--json", *words), "not_set_up")
        assert "relay init" in error["hint"] or "relay up" in error["hint"], (words, error)
    assert relay(node).returncode == 0


def test_broker_not_running(home: Node) -> None:
    for words in (("spawn", "x", "shell", "true"), ("ps",), ("events",), ("audit", "show"), ("outbox",)):
        error = refused(relay(home, "--json", *words), "not_running")
        assert "relay up" in error["hint"]
    status = relay_json(home, "status", status=1)
    assert status["running"] is False


def test_a_broker_that_does_not_answer_is_told(two: Scene) -> None:
    """A stale socket left by `kill -9` is no broker."""
    two.vps.kill()
    assert two.vps.socket.exists()
    refused(relay(two.vps, "--json", "ps"), "not_running")
    two.vps.start()
    assert relay(two.vps, "ps").returncode == 0


# a full disk


def _may_mount() -> bool:
    unshare = ("unshare", "--user", "--map-root-user", "--mount", "true")
    return shutil.which("unshare") is not None and subprocess.run(unshare, capture_output=True).returncode == 0


@pytest.mark.skipif(not _may_mount(), reason="needs user namespaces to mount a small file system")
def test_a_full_disk_loses_nothing_and_says_so(mesh: Mesh) -> None:
    disk = mesh.folder / "disk"
    disk.mkdir()
    private = ("unshare", "--user", "--map-root-user", "--mount")
    done = subprocess.run(
        [*private, sys.executable, "-m", "tests.e2e.full_disk_program", str(disk)],
        capture_output=True,
        text=True,
        timeout=105,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["answers"][-1] == "disk_full" and set(told["answers"][:-1]) <= {"starting", "waiting"}
    assert told["command"]["status"] == 1 and told["command"]["err"].startswith("error: the disk is full")
    assert told["waited_for_room"]
    assert told["went_on"] and told["ended"] == ["failed", 3] and told["after"]
    assert told["stopped"] == [0, "cancelled"] and told["bare"] == 0
    # the task printed on: what there was no room for is counted, and said
    count, notes = told["lost"]
    assert 0 < count <= 9_000_000 and notes == [f"{count} bytes of its output could not be written (ENOSPC)"]
    assert "of its output are not in its log: relay result" in told["logs"]
    assert "Traceback" not in told["log"] + done.stderr


@pytest.mark.skipif(not _may_mount(), reason="needs user namespaces to mount a small file system")
def test_a_target_with_a_full_disk_takes_nothing_in_and_says_so(mesh: Mesh) -> None:
    """The origin is told why its work waits; nothing is a dead letter, and all of it runs when there is room."""
    private = ("unshare", "--user", "--map-root-user", "--mount")
    done = subprocess.run(
        [*private, sys.executable, "-m", "tests.e2e.paused_intake_program", str(mesh.folder)],
        capture_output=True,
        text=True,
        timeout=105,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["state"] == "queued" and told["went_on"] and told["stopped"] == "cancelled"
    assert told["reason"].startswith("vps takes nothing in now: its disk is full")
    assert "its disk is full" in told["ack"] and any("its disk is full" in reason for reason in told["outbox"])
    assert told["dead"] == told["incoming"] == [] and told["ended"] == ["completed"]
    assert "Traceback" not in told["log"] + done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="a broker's memory and descriptors are shown to root alone")
def test_threads_and_files_are_given_back(granted: Scene) -> None:
    """Fifty tasks, fifty readers: afterwards the broker holds what it held before."""
    assert granted.vps.process is not None
    process = psutil.Process(granted.vps.process.pid)
    granted.shell("true", status=0)
    before = process.num_fds()
    ids = [granted.begin("echo x") for _ in range(10)]
    threads = [threading.Thread(target=relay, args=(granted.laptop, "logs", "-f", each)) for each in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in ids:
        granted.until(each, "completed")
    deadline = time.monotonic() + 20
    while process.num_fds() > before + 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.num_fds() <= before + 3
