"""The programs in docs/library.md run as they stand there."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import relay
from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.e2e.scene import Scene

_TEXT = (Path(__file__).parents[2] / "docs" / "library.md").read_text()
_INDENT = 4


def _programs() -> list[str]:
    """The whole programs among the examples."""
    blocks = re.findall(r"(?:^ {4}.*\n|^\n)+", _TEXT, re.M)
    texts = ["".join(line[_INDENT:] or "\n" for line in block.splitlines(keepends=True)) for block in blocks]
    return [text for text in texts if "asyncio.run(main())" in text]


def _spawned(node: Node, text: str, folder: Path) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    file = folder / "program.py"
    file.write_text(text)
    pipe, words = subprocess.PIPE, [sys.executable, str(file)]
    return subprocess.Popen(words, env=node.environment(), cwd=folder, stdout=pipe, stderr=pipe, text=True)


def _printed(node: Node, text: str, folder: Path) -> list[str]:
    with _spawned(node, text, folder) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out.splitlines()


@contextlib.contextmanager
def _served(two: Scene, text: str) -> Iterator[None]:
    with _spawned(two.vps, text, two.vps.work / "example") as process:
        try:
            wait_until(lambda: _is_known(two), 20, "its offer to be told")
            yield
        finally:
            process.kill()


def _is_known(two: Scene) -> bool:
    with two.laptop.control() as control:
        return any(each["name"] == "invoice.check" for each in control.get("tools")["tools"])


def test_the_examples_run(two: Scene) -> None:
    """Each prints what its text says of it."""
    first, events, server, caller = _programs()
    assert _printed(two.laptop, first, two.laptop.work / "first") == ["completed built"]
    states = [line.split()[1] for line in _printed(two.laptop, events, two.laptop.work / "events")]
    assert states[-1] == "completed"
    with _served(two, server):
        data, failed = _printed(two.laptop, caller, two.laptop.work / "caller")
        told = two.vps.relay("tools", "shares").stderr  # with those that other tests serve on it meanwhile
        assert told.startswith("shared by the programs that serve them: ") and "invoice.check" in told
        assert two.laptop.relay("tools", "--broker", "nobody", check=False).returncode == 2, "not that it has none"
    assert data == "{'number': 7, 'asked by': 'laptop'}" and failed.endswith(" failed")


def test_the_names_are_there() -> None:
    """What the text names of `relay` is exported."""
    named = set(re.findall(r"\brelay\.([A-Za-z]+)\b", _TEXT))
    assert named and not [name for name in named if not hasattr(relay, name)]
