"""Attempts outlive the code they began in: a broker of another version takes over, and the older one takes it back."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import relay as package
from relay.spawn.shim import record
from relay.testing.mesh import Mesh
from relay.testing.node import DAEMON, Node
from relay.testing.processes import kill
from tests.e2e.scene import TERMINAL, Scene, started

TASKS = 20
CHANGES = {
    # a shim that says more than we know, of another protocol, and divides its log in other ways
    "spawn/shim/record.py": (("PROTOCOL = 1", "PROTOCOL = 7"),),
    "spawn/shim/run.py": (('"protocol": record.PROTOCOL,', '"protocol": record.PROTOCOL, "mood": "calm",'),),
    "spawn/shim/logfile.py": (('"log_error": self.error,', '"log_error": self.error, "phase": [1],'),),
    "spawn/shim/segments.py": (("_HEAD_PART = 4", "_HEAD_PART = 2"), ("_SEGMENTS = 12", "_SEGMENTS = 5")),
    # a broker that asks for more than we know
    "spawn/launching.py": (
        ("wire.pack(self._fields(serial),", 'wire.pack(self._fields(serial) | {"colour": "blue"},'),
    ),
    "__init__.py": ((f'"{package.__version__}"', '"9.0.0"'),),
}


def another_version(folder: Path) -> Path:
    """A copy of the package that differs from this one as a later version does."""
    copy = folder / "later"
    shutil.copytree(Path(package.__file__).parent, copy / "relay", ignore=shutil.ignore_patterns("__pycache__"))
    for name, changes in CHANGES.items():
        file = copy / "relay" / name
        text = file.read_text()
        for before, after in changes:
            assert before in text, (name, before)
            text = text.replace(before, after)
        file.write_text(text)
    return copy


def of(copy: Path) -> tuple[str, ...]:
    """The words that start a broker of that copy."""
    return ("/usr/bin/env", f"PYTHONPATH={copy}", sys.executable, "-m", "relay.daemon")


@pytest.fixture
def pair(mesh: Mesh) -> Iterator[Scene]:
    scene = Scene.made(mesh)
    scene.vps.configure("max_parallel = 64", 'log_limit = "1MiB"')
    scene.vps.restart()
    scene.linked()
    scene.grant()
    yield scene


def become(node: Node, launcher: tuple[str, ...], version: str) -> None:
    """Go on with another version."""
    node.stop()
    node.launcher = launcher
    node.start()
    assert node.status()["broker"]["version"] == version


def counts_until(file: Path, code: int) -> str:
    """A script that counts aloud until a file comes, then (one in five) prints more than its log may have."""
    lines = f"i=0; until [ -e {file} ]; do i=$((i+1)); echo line $i; sleep 0.05; done"
    flood = "" if code % 5 else "head -c 1500000 /dev/zero | tr '\\0' x;"
    return f"{lines}; {flood} echo; echo last of $i; exit {code}"


def protocols(node: Node) -> set[int]:
    """Which protocols the shims of what runs have promised by."""
    found = set()
    for folder in (node.home / "attempts").glob("*-1"):
        with (folder / "record").open("rb") as file:
            slots = record.read_slots(file.fileno())
        intent = slots[record.INTENT]
        if intent and not slots[record.EXIT]:
            found.add(int(str(intent["protocol"])))
    return found


def check_followed(followed: bytes, told: bytes) -> None:
    """Every line came once, over all the changes, and what was not kept was said."""
    counted, _, rest = followed.decode().partition("xxx")
    lines = counted.split("\n")[:-1]
    assert lines == [f"line {number}" for number in range(1, len(lines) + 1)] and lines
    assert rest.endswith(f"\nlast of {len(lines)}\n")
    assert len(rest) > 1_400_000 or b"are no longer kept" in told


def replace_files(node: Node, copy: Path) -> None:
    """An upgrade in place: the next fork server of the running broker is made of other files than the broker."""
    source = Path(package.__file__).parent / "spawn" / "shim"
    shutil.copytree(source, copy / "relay" / "spawn" / "shim", dirs_exist_ok=True)
    (server,) = node.fork_servers()
    kill(server)


def begin(pair: Scene, file: Path, codes: range) -> dict[str, int]:
    """Tasks that run, by their exit codes to be."""
    with pair.laptop.control() as control:
        begun = {
            control.spawn("/bin/sh", "-c", counts_until(file, code), broker="vps", cwd=str(pair.vps.work))["id"]: code
            for code in codes
        }
    for spawn in begun:
        pair.until(spawn, "running")
    return begun


@pytest.mark.timeout(120)
def test_twenty_tasks_live_through_an_upgrade_and_a_downgrade(pair: Scene, tmp_path: Path) -> None:
    vps, copy = pair.vps, another_version(tmp_path)
    go = vps.work / "go"
    early = begin(pair, go, range(TASKS // 2))
    with ExitStack() as stack:
        followers = [stack.enter_context(started(pair.laptop, "logs", spawn, "-f")) for spawn in list(early)[::5]]
        become(vps, of(copy), "9.0.0")
        late = begin(pair, go, range(100, 100 + TASKS // 2))
        followers += [stack.enter_context(started(pair.laptop, "logs", spawn, "-f")) for spawn in list(late)[::5]]
        assert protocols(vps) == {record.PROTOCOL, 7}
        replace_files(vps, copy)
        assert pair.shell("echo hello; exit 3")["exit_code"] == 3
        become(vps, DAEMON, package.__version__)
        go.touch()
        for spawn, code in (early | late).items():
            found = pair.until(spawn, *TERMINAL, within=40)
            assert (found["state"], found["exit_code"]) == ("failed" if code else "completed", code), found
            assert found["result"]["output_tail"].splitlines()[-1].startswith("last of "), found["result"]
        for follower in followers:
            followed, told = follower.communicate(timeout=30)
            check_followed(followed, told)
