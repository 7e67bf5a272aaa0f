"""Files move whole through cuts, kills, sleep and lies; real brokers, 24 MiB."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys

import pytest

from relay.core.blobs import CHUNK
from relay.core.pulling import MAX_WRONG, WINDOW
from relay.testing import processes
from relay.testing.blob_traps import launcher
from relay.testing.mesh import Mesh
from tests.blobs.conftest import MIB, Ground, document

SIZE = 24 * MIB + 777
SHORT = 12 * MIB
CHUNKS = -(-SIZE // CHUNK)
SLOW = 0.01
WATCHED = 0.06  # of one that is looked at as it moves: 6 s, so that nobody comes too late who comes late
HALF = CHUNKS // 2


def test_a_file_moves_and_is_let_go(ground: Ground) -> None:
    path = ground.file(SIZE)
    done = ground.laptop.relay("blob", "send", str(path), "--broker", "vps", "--wait")
    assert done.stdout == "Delivered to vps.\n"
    (blob,) = ground.listing(ground.vps)
    assert (blob["state"], blob["name"], blob["size"], blob["done"]) == ("here", path.name, SIZE, SIZE)
    assert ground.received(path.name) == path.read_bytes()
    ground.await_empty(ground.laptop)  # the sender needs it no longer
    assert ground.state(ground.laptop, str(blob["hash"])) == "delivered"
    ground.vps.relay("blob", "remove", path.name)
    assert ground.files(ground.vps) == []


def test_a_cut_in_the_middle_costs_what_was_in_flight(ground: Ground) -> None:
    ground.restart(ground.laptop, slow=SLOW)
    path = ground.file(SIZE)
    blob = ground.send(path)
    for part in (HALF // 2, HALF):
        ground.await_served(part)
        assert ground.laptop.process is not None
        ground.laptop.process.send_signal(signal.SIGUSR1)
    ground.await_here(blob)
    assert ground.received(blob) == path.read_bytes()
    assert CHUNKS <= len(ground.served_chunks()) <= CHUNKS + 2 * 2 * WINDOW


def test_a_kill_of_the_receiver_costs_what_was_in_flight(ground: Ground) -> None:
    """Not even what was not yet noted in the store: it is found again by its hashes."""
    ground.restart(ground.laptop, slow=SLOW)
    path = ground.file(SIZE)
    blob = ground.send(path)
    for part in (HALF // 2, HALF):
        ground.await_served(part)
        ground.vps.restart()
    ground.await_here(blob)
    assert ground.received(blob) == path.read_bytes()
    assert CHUNKS <= len(ground.served_chunks()) <= CHUNKS + 2 * 2 * WINDOW


def test_a_kill_of_the_sender_and_a_sleep(ground: Ground) -> None:
    ground.restart(ground.laptop, slow=SLOW, hold=HALF)
    path = ground.file(SIZE)
    blob = ground.send(path)
    ground.await_served(HALF // 2)
    ground.laptop.restart()
    ground.await_served(HALF)
    with ground.laptop.asleep():
        done = int(str(next(each["done"] for each in ground.listing(ground.vps) if each["hash"] == blob)))
        assert 0 < done < SIZE
    ground.go_on()
    ground.await_here(blob)
    assert ground.received(blob) == path.read_bytes()
    assert len(ground.served_chunks()) <= CHUNKS + 4 * WINDOW


def test_one_wrong_chunk_is_noticed_and_asked_for_again(ground: Ground) -> None:
    said = "sent wrong bytes of a blob"
    before = ground.vps.log().count(said)
    ground.restart(ground.laptop, wrong="0,100")
    path = ground.file(SIZE)
    blob = ground.send(path, "--wait")
    assert ground.received(blob) == path.read_bytes()
    assert ground.vps.log().count(said) == before + 2
    served = ground.served_chunks()
    assert (served.count(0), served.count(100), len(served)) == (2, 2, CHUNKS + 2)


def test_a_sender_that_lies_is_given_up(ground: Ground) -> None:
    ground.restart(ground.laptop, wrong="all")
    path = ground.file(SIZE)
    done = ground.laptop.relay("blob", "send", str(path), "--broker", "vps", "--wait", "--json", check=False)
    error = document(done.stdout.splitlines()[-1])["error"]
    assert (done.returncode, error["code"]) == (1, "bad_blob")
    assert "laptop sent wrong bytes" in str(error["message"])
    told = ground.vps.relay("blob", "get", path.name, "-o", str(ground.mesh.folder / "never"), check=False)
    assert told.returncode == 1 and "laptop sent wrong bytes" in told.stderr
    assert not (ground.mesh.folder / "never").exists()
    assert len(ground.served_chunks()) <= MAX_WRONG + 2 * WINDOW
    ground.await_empty(ground.vps)
    ground.await_empty(ground.laptop)
    codes = [line["code"] for line in ground.vps.relay_json("audit", "show")]
    assert "bad_blob" in codes


def test_an_offer_waits_for_who_is_away(ground: Ground) -> None:
    ground.vps.stop()
    path, before = ground.file(MIB), ground.laptop.relay_json("outbox")["outgoing"]  # of what is gone
    blob = ground.send(path)
    known = [line["id"] for line in before]
    now = ground.laptop.relay_json("outbox")["outgoing"]
    assert [line["kind"] for line in now if line["id"] not in known] == ["blob.offer"]
    ground.vps.start()
    ground.await_here(blob)
    assert ground.received(blob) == path.read_bytes()


def test_several_at_once_and_the_same_one_again(ground: Ground) -> None:
    paths = [ground.file(3 * MIB + n) for n in range(6)]
    sent = {ground.send(path): path for path in paths}
    for blob, path in sent.items():
        ground.await_here(blob)
        assert ground.received(blob) == path.read_bytes()
    first = next(iter(sent))
    assert ground.send(paths[0], "--wait", "--name", "again") == first
    assert ground.received("again") == paths[0].read_bytes()


def test_progress_is_told_a_line_at_a_time(ground: Ground) -> None:
    ground.restart(ground.laptop, slow=WATCHED)
    path = ground.file(SHORT)
    blob = ground.send(path)
    processes.wait_until(lambda: ground.state(ground.vps, blob) != "", 10, "the offer")
    got = ground.vps.relay("blob", "get", blob, "--json").stdout.splitlines()
    *lines, last = [json.loads(line) for line in got]
    pulled = [line for line in lines if line["state"] == "pulling"]
    assert len(pulled) >= 3
    assert [line["done"] for line in pulled] == sorted(line["done"] for line in pulled)
    assert any(line["rate"] > 0 and line["left_s"] > 0 for line in pulled)
    assert all(line["size"] == SHORT for line in pulled)
    assert last["file"] is None and last["blob"]["state"] == "here"


def test_a_person_sees_a_bar(ground: Ground) -> None:
    ground.restart(ground.laptop, slow=WATCHED)
    blob = ground.send(ground.file(SHORT))
    processes.wait_until(lambda: ground.state(ground.vps, blob) != "", 10, "the offer")
    seen = _on_a_terminal(ground, "blob", "get", blob)
    assert "\r" in seen and " %" in seen and "/s" in seen and "left" in seen and "#" in seen


def _on_a_terminal(ground: Ground, *words: str) -> str:
    near, far = pty.openpty()
    command = [sys.executable, "-m", "relay", *words]
    with subprocess.Popen(
        command, env=ground.vps.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=far
    ) as process:
        os.close(far)
        seen = b""
        try:
            while more := os.read(near, 65536):
                seen += more
        except OSError:
            pass  # Linux says so at the end of a terminal
        assert process.wait(30) == 0, seen
    os.close(near)
    return seen.decode()


@pytest.mark.parametrize(
    "words", [("--broker", "laptop"), ("--broker", "nobody"), (), ("--broker", "vps", "--ttl", "99d")]
)
def test_what_cannot_be_sent(ground: Ground, words: tuple[str, ...]) -> None:
    done = ground.laptop.relay("blob", "send", str(ground.file(10)), *words, check=False)
    assert done.returncode == 2 and "error:" in done.stderr
    assert ground.files(ground.laptop) == []


@pytest.mark.timeout(120)
def test_a_peer_that_trickles_does_not_keep_another_s_file_away() -> None:
    """Four files of a peer that sends a chunk in 2 s have every turn there is, until another peer's file waits."""
    with Mesh.scratch("relay-trickle-") as mesh:
        vps = mesh.add("vps")
        slow, fair = mesh.join(vps, "slow"), mesh.join(vps, "fair")
        for node in (slow, fair):
            vps.relay("trust", "allow", node.id, "--verb", "push")
        # offered before it is slow: what it reads for a peer would be in the way of what it reads for itself
        vps.stop()
        for at in range(4):
            file = mesh.folder / f"slow-{at}.bin"
            file.write_bytes(os.urandom(SHORT))
            slow.relay("blob", "send", str(file), "--broker", "vps")
        served = mesh.folder / "served"
        slow.kill()
        slow.launcher = launcher(served, slow=2.0)
        for node in (slow, vps):
            node.start()
        mesh.await_link(slow, fair)

        def states() -> list[str]:
            with vps.control() as control:
                return [str(each["state"]) for each in control.get("blobs")]

        processes.wait_until(lambda: states().count("pulling") == 4, 20, "all four to have a turn")
        file = mesh.folder / "fair.bin"
        file.write_bytes(os.urandom(SHORT))
        fair.relay("blob", "send", str(file), "--broker", "vps", "--wait", timeout=60.0)
        assert "here" in states() and states().count("here") == 1
        got = mesh.folder / "got"
        vps.relay("blob", "get", "fair.bin", "-o", str(got))
        assert got.read_bytes() == file.read_bytes()
        # the slow one's go on where they were
        before = len(served.read_text().split())
        processes.wait_until(lambda: len(served.read_text().split()) > before, 30, "the slow one to go on")
        slow.kill()  # it would end once it has read what it is reading, 2 s a chunk
