"""A target whose words lack what others have, or would steer a terminal: every view of them is whole and harmless."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from relay.testing.mesh import Mesh
from tests.e2e.lying_words_program import LAUNCHER
from tests.e2e.scene import TERMINAL, Scene, relay, started

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"
VIEWS = (("show",), ("result",), ("wait",), ("stop",), ("diff",), ("edit", "--priority", "2"))
LISTS = ((), ("ps", "--all"), ("failures",), ("review",), ("queue",), ("events",))
_EVIL_RESULT = dict.fromkeys(("status", "outcome", "summary", "output_tail", "session", "branch", "diffstat"), EVIL)


@pytest.fixture(scope="module")
def lied() -> Iterator[Scene]:
    """vps says what stands in its `lies.json`."""
    with Mesh.scratch("relay-lies-") as mesh:
        scene = Scene.made(mesh)
        scene.grant()
        scene.vps.stop()
        scene.vps.launcher = LAUNCHER
        scene.vps.start()
        scene.linked()
        yield scene


@pytest.mark.parametrize(
    "lies",
    [
        {"result": dict.fromkeys(("usage", "notes", "session", "branch", "diffstat"), "-")},
        {"error": {"why": "-", "hint": "-"}},
        {"error": {"why": None, "hint": None}},
        {"result": _EVIL_RESULT | {"notes": [EVIL], "usage": {EVIL: 5}}},
        {"result": {"usage": {"input_tokens": 1e308, "cost_usd": -1e308, "turns": True, "output_tokens": [1]}}},
        {"error": dict.fromkeys(("code", "message", "why", "hint"), EVIL), "reason": EVIL, "cwd": EVIL},
    ],
    ids=["little", "no hint", "null", "evil result", "odd use", "evil error"],
)
def test_whatever_a_target_says_every_view_is_whole_and_harmless(lied: Scene, lies: dict[str, Any]) -> None:
    (lied.vps.home / "lies.json").write_text(json.dumps(lies))
    spawn = lied.begin("exit 3")
    lied.until(spawn, *TERMINAL)
    for words in (*((verb, spawn, *rest) for verb, *rest in VIEWS), *LISTS):
        shown = relay(lied.laptop, *words)
        said = (shown.stdout + shown.stderr).decode()
        assert "in relay itself" not in said, (words, said)
        if words[:1] != ("result",):  # which gives a pipe the text as it was
            assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(said), (words, said)


def test_what_a_target_says_of_a_port_steers_no_terminal(lied: Scene) -> None:
    lied.grant("--agent", "shell", "--verb", "forward")
    (lied.vps.home / "lies.json").write_text(json.dumps({"port": EVIL}))
    spawn = lied.begin("sleep 60")
    lied.until(spawn, "running")
    with started(lied.laptop, "forward", spawn, "1", "--local", "0") as process:
        assert process.stderr is not None
        said = process.stderr.readline().decode()
    assert said.endswith(" yet\n") and "owned" in said
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(said), said
    relay(lied.laptop, "stop", spawn)
