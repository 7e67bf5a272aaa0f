"""Power cuts of a machine that starts short tasks: what was answered stays true, and nothing runs twice.

The broker's home is on a disk of its own, a file. At some moment everything is stopped, and that file is copied: the
copy has what had been written to the disk by then, and nothing of what the system still held in memory. Everything is
killed, and goes on with the copy. The boot cannot be changed: the store's word on it is, to one that is over.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from relay.testing import processes
from relay.testing.control import ControlError
from relay.testing.mesh import Mesh
from relay.testing.node import Node

ROUNDS = 20
AT_ONCE = 6
DISK_MIB = 96
WITHIN = 60.0
QUIET_S = 0.05

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.timeout(1_200),
    pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/loop-control").exists(), reason="mounts a disk: needs root"),
]


class Disk:
    """A file with a file system, mounted at a folder.

    Args:
        file: the file.
        at: the folder.
    """

    def __init__(self, file: Path, at: Path) -> None:
        self._file, self._at = file, at
        self._device = ""

    @classmethod
    def made(cls, file: Path, at: Path) -> Disk:
        """A fresh one, mounted."""
        with file.open("wb") as made:
            made.truncate(DISK_MIB << 20)
        _run("mkfs.ext4", "-q", str(file))
        disk = cls(file, at)
        disk.mount()
        (at / "lost+found").rmdir()
        at.chmod(0o700)
        return disk

    def mount(self) -> None:
        self._device = _run("losetup", "--find", "--show", str(self._file))
        _run("mount", self._device, str(self._at))

    def unmount(self) -> None:
        if self._device:
            _run("umount", str(self._at))
            _run("losetup", "-d", self._device)
            self._device = ""

    def copied(self) -> Path:
        """A copy of what is on it at one moment; nobody may write to a file there meanwhile."""
        copy = self._file.with_suffix(".copy")
        while True:
            before = self._writes()
            time.sleep(QUIET_S)
            shutil.copyfile(self._file, copy)
            if self._writes() == before:
                return copy

    def go_on_with(self, copy: Path) -> None:
        """Be what the copy is."""
        self.unmount()
        copy.replace(self._file)
        self.mount()

    def _writes(self) -> list[str]:
        return Path(f"/sys/block/{Path(self._device).name}/stat").read_text().split()[4:9]


def _run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout.strip()


class Asking:
    """Asks for short tasks, several at a time, until it is told that it is over, or the broker is gone.

    Args:
        node: whose broker is asked.
        target: where they are to run.
        ledger: what each writes its spawn's id to.
    """

    def __init__(self, node: Node, target: Node, ledger: Path) -> None:
        self._node, self._target, self._ledger = node, target, ledger
        self._is_over = False
        self.answers: dict[str, str] = {}
        """The state that each spawn was last said to be in."""
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(AT_ONCE)]
        for each in self._threads:
            each.start()

    def _ask(self) -> None:
        # the broker is stopped, and then killed, at any moment
        gone = (OSError, http.client.HTTPException, ControlError, ValueError)
        with contextlib.suppress(*gone), self._node.control() as control:
            while not self._is_over:
                script = f"echo $RELAY_SPAWN >> {self._ledger}; exec sleep {random.choice(('0', '0', '0.1'))}"
                place = {"broker": self._target.name, "cwd": str(self._target.work)}
                asked = control.spawn("sh", "-c", script, **place)
                self.answers[asked["id"]] = asked["state"]
                self.answers[asked["id"]] = control.wait(asked["id"], 1.0)["state"]

    def over(self) -> None:
        """They ask no more when this returns."""
        self._is_over = True
        for each in self._threads:
            each.join(WITHIN)
            assert not each.is_alive()


def _all_of(node: Node) -> list[psutil.Process]:
    """Its broker with all that it has started, and what that has."""
    broker = [] if node.process is None else [psutil.Process(node.process.pid)]
    below = [each for parent in broker for each in parent.children(recursive=True)]
    return [*broker, *below, *processes.processes_left(node.home)]


def _stopped(node: Node) -> list[psutil.Process]:
    """Everything of a machine, in the midst of what it does."""
    found: dict[int, psutil.Process] = {}
    while fresh := [each for each in _all_of(node) if each.pid not in found]:
        for each in fresh:
            found[each.pid] = each
            with contextlib.suppress(psutil.NoSuchProcess):
                each.send_signal(signal.SIGSTOP)
    return list(found.values())


def _cut(node: Node, disk: Disk, asking: Asking) -> dict[str, str]:
    """A power cut; what had been answered by then."""
    stopped = _stopped(node)
    copy, answered = disk.copied(), dict(asking.answers)
    for each in stopped:
        processes.kill(each)
    node.kill()
    asking.over()
    processes.wait_until(lambda: not processes.processes_left(node.home), WITHIN, "the end of all processes")
    disk.go_on_with(copy)
    with closing(sqlite3.connect(node.home / "relay.db")) as store, store:
        store.execute("UPDATE attempts SET boot = 'another' WHERE boot IS NOT NULL")
    return answered


def _rows(node: Node) -> dict[str, dict[str, Any]]:
    with closing(sqlite3.connect(node.home / "relay.db")) as store:
        found = store.execute("SELECT id, state, live, attempt FROM spawns").fetchall()
    return {row[0]: {"state": row[1], "live": row[2], "attempt": row[3]} for row in found}


def _faults(answered: dict[str, str], rows: dict[str, dict[str, Any]], ran: Counter[str]) -> Iterator[str]:
    for spawn, state in answered.items():
        if spawn not in rows:
            yield f"{spawn} was answered as {state}, and is not known any more"
        elif state == "completed" and rows[spawn]["state"] != state:
            yield f"{spawn} was answered as completed, and is {rows[spawn]['state']}"
    for spawn, times in ran.items():
        if times > 1:
            yield f"{spawn} ran {times} times: {rows.get(spawn)}"
        if spawn not in rows:
            yield f"{spawn} ran, and is not known"
    for spawn, row in rows.items():
        if row["state"] == "completed" and ran[spawn] != 1:
            yield f"{spawn} is called completed, and ran {ran[spawn]} times"


def _settled(*nodes: Node) -> None:
    processes.wait_until(
        lambda: not any(row["live"] for node in nodes for row in _rows(node).values()), WITHIN, "the end of all"
    )


@pytest.mark.parametrize("who", ["alone", "the target", "the origin"])
def test_after_power_cuts_nothing_runs_twice_and_what_was_answered_stays_true(who: str) -> None:
    """20 cuts of one machine, each in the midst of starts and ends; the counts are printed."""
    answered: dict[str, str] = {}
    with Mesh.scratch("relay-cuts-") as mesh:
        (mesh.folder / "one").mkdir()
        disk = Disk.made(mesh.folder / "disk", mesh.folder / "one")
        ledger = mesh.folder / "ledger"
        try:
            one, origin, target = _placed(mesh, who)
            for _ in range(ROUNDS):
                asking = Asking(origin, target, ledger)
                time.sleep(random.uniform(0.2, 1.5))
                answered |= _cut(one, disk, asking)
                one.start()
                _settled(one, origin, target)
                rows, ran = _rows(origin), Counter(ledger.read_text().split())
                faults = [*_faults(answered, rows, ran), *_differences(rows, _rows(target))]
                assert not faults, "\n".join(faults)
            one.stop()
            with closing(sqlite3.connect(one.home / "relay.db")) as store:
                assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        finally:
            mesh.end()
            disk.unmount()
    states = Counter(row["state"] for row in rows.values())
    unrun = sum(row["state"] == "lost" and not ran[spawn] for spawn, row in rows.items())
    again = sum(row["attempt"] > 1 for row in rows.values())
    counts = f"{len(rows)} tasks, {dict(states)}; {unrun} lost without a run, {again} begun anew"
    print(f"\n{ROUNDS} power cuts, {who}: {counts}")
    assert states["completed"] and (states["lost"] or who == "the origin")


def _placed(mesh: Mesh, who: str) -> tuple[Node, Node, Node]:
    """Whose power is cut, who asks, and where it runs."""
    one = mesh.add("one")
    if who == "alone":
        return one, one, one
    two = mesh.join(one, "two")
    origin, target = (two, one) if who == "the target" else (one, two)
    mesh.grant(on=target, to=origin)
    return one, origin, target


def _differences(origin: dict[str, dict[str, Any]], target: dict[str, dict[str, Any]]) -> Iterator[str]:
    for spawn, row in target.items():
        if origin.get(spawn, {}).get("state") != row["state"]:
            yield f"{spawn} is {row['state']} where it ran, and at its origin {origin.get(spawn)}"
