"""`relay result --files` of what has not come yet: what is on its way is waited for, what does not come is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.testing import blob_traps, processes
from relay.testing.node import DAEMON
from tests.e2e.scene import Done, Scene, fresh, relay, relay_json


@pytest.fixture
def slow(granted: Scene) -> Iterator[Callable[[float], None]]:
    """Makes vps one that takes so many seconds for each piece that it reads for somebody."""

    def started(launcher: tuple[str, ...]) -> None:
        granted.vps.kill()
        granted.vps.launcher = launcher
        granted.vps.start()

    def made(seconds: float) -> None:
        started(blob_traps.launcher(granted.mesh.folder / fresh("served"), slow=seconds))
        granted.linked()

    yield made
    started(DAEMON)


def _made(two: Scene, script: str, pattern: str) -> str:
    place = two.vps.work / fresh("place")
    place.mkdir()
    words = two.words("shell", script, cwd=place, options=("--collect", pattern))
    return str(relay_json(two.laptop, *words, "--wait")["id"])


def _written(two: Scene, spawn: str, within: float) -> tuple[Done, Path]:
    out = two.mesh.folder / fresh("out")
    return relay(two.laptop, "result", spawn, "--files", str(out), timeout=within), out


def test_files_behind_others_are_waited_for(granted: Scene, slow: Callable[[float], None]) -> None:
    slow(0.1)
    _made(granted, "for i in 1 2 3 4; do head -c 7000000 /dev/urandom > big$i; done", "big*")
    done, out = _written(granted, _made(granted, "echo small > z", "z"), within=90)  # ten on a free machine
    assert done.returncode == 0, done.stderr.decode()
    assert (out / "z").read_bytes() == b"small\n"
    assert "it waits for its turn" in done.stderr.decode()


def test_many_files_that_do_not_come_are_waited_for_once(granted: Scene, slow: Callable[[float], None]) -> None:
    slow(9.0)
    spawn = _made(granted, "for i in $(seq 12); do echo $i > f$i; done", "f*")
    granted.vps.kill()
    done, _ = _written(granted, spawn, within=30)
    assert done.returncode == 1
    said = done.stderr.decode()
    assert "12 of 12 files are not here yet" in said and "were written" not in said


def _file(two: Scene, spawn: str) -> dict[str, Any]:
    (found,) = two.show(spawn)["result"]["files"]
    return dict(found)


def test_who_has_lost_its_grant_is_given_its_files_once_it_has_another(granted: Scene) -> None:
    text = fresh("mine")  # what another test had in a file is here already
    words = granted.words("shell", f"echo {text} > a.txt; sleep 60", options=("--collect", "a.txt"))
    spawn = str(relay_json(granted.laptop, *words)["id"])
    granted.until(spawn, "running")
    relay(granted.vps, "trust", "revoke", granted.laptop.id)
    granted.until(spawn, "cancelled")
    processes.wait_until(lambda: "no grant" in (_file(granted, spawn)["why"] or ""), 15, "what became of the file")
    assert not _file(granted, spawn)["here"]
    granted.grant()
    _, out = _written(granted, spawn, within=30)
    assert (out / "a.txt").read_text() == f"{text}\n"
