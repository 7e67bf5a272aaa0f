"""Real MCP servers of others, shared by one machine and called from another while it is down and while it is there."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.testing.mesh import Mesh
from relay.testing.processes import wait_until
from tests.agents.bench import BIN, PLACE
from tests.e2e.scene import Scene, relay, relay_json
from tests.mcp.clients import LEGACY, MODERN, opened, raw, words_of
from tests.mcp.sharing import call, processes_of, until, until_runs

pytestmark = [pytest.mark.agents, pytest.mark.timeout(180)]
FILES, EVERYTHING = "mcp-server-filesystem", "mcp-server-everything"


def _program(name: str) -> str:
    found = PLACE / "tools" / BIN / name
    assert found.exists() and shutil.which("node"), f"{name} not found: make agents"
    return str(found)


def _commands(scene: Scene) -> dict[str, str]:
    return {"files": f"{_program(FILES)} {scene.vps.work}", "all": _program(EVERYTHING)}


@pytest.fixture(scope="module")
def two() -> Iterator[Scene]:
    """vps shares both servers with laptop."""
    with Mesh.scratch("relay-shared-") as mesh:
        scene = Scene.made(mesh)
        mesh.grant(on=scene.vps, to=scene.laptop, words=("--verb", "tool"))
        for name, line in _commands(scene).items():
            assert relay(scene.vps, "tools", "share", name, "--mcp", line).returncode == 0
        for name in ("files", "all"):
            until_runs(scene.vps, name)
        wait_until(lambda: {"echo", "write_file"} <= _known(scene), 20, "the tools to be told")
        yield scene
        if not scene.vps.running:
            scene.vps.start()
        scene.vps.relay("down")
        assert "Traceback" not in scene.vps.log() + scene.laptop.log()


def _known(scene: Scene) -> set[str]:
    return {each["name"] for each in relay_json(scene.laptop, "tools")["tools"]}


@pytest.mark.parametrize("era", [LEGACY, MODERN])
def test_the_list_is_that_of_the_servers_byte_for_byte(two: Scene, era: str) -> None:
    direct: list[dict[str, Any]] = []
    for line in _commands(two).values():
        with raw(line.split()) as server:
            direct += server.tools()
    assert len(direct) > 20
    with raw(words_of(two.laptop), era, two.laptop.environment()) as client:
        here = {each["name"]: json.dumps(each, ensure_ascii=False) for each in client.tools()}
    assert {each["name"]: here[each["name"]] for each in direct} == {
        each["name"]: json.dumps(each, ensure_ascii=False) for each in direct
    }
    with raw(words_of(two.vps), era, two.vps.environment()) as client:
        assert not {each["name"] for each in client.tools()} & {each["name"] for each in direct}


def test_a_file_is_written_once_by_a_machine_that_was_down_when_it_was_asked(two: Scene) -> None:
    file = two.vps.work / "note"
    file.write_text("one\n")
    two.vps.relay("down")
    wait_until(lambda: two.laptop.status()["links"] == 0, 20, "the end of the link")
    edit = {"path": str(file), "edits": [{"oldText": "one\n", "newText": "one\ntwo\n"}]}
    asked = relay_json(two.laptop, "tools", "call", "edit_file", json.dumps(edit), "--no-wait")
    assert asked["state"] == "queued" and "vps" in asked["spoken"]
    assert file.read_text() == "one\n"
    two.vps.start()
    done = until(two.laptop, asked["id"], "completed")
    assert "+two" in done["result"]["content"][0]["text"]
    assert file.read_text() == "one\ntwo\n", "once: a second edit would have made two of it"
    read = call(two.laptop, "read_text_file", path=str(file))["result"]
    assert read["structuredContent"] == {"content": "one\ntwo\n"}


def test_results_are_those_of_the_servers(two: Scene) -> None:
    (two.vps.work / "some").mkdir()
    (two.vps.work / "some" / "ä").write_text("x")
    asked: dict[str, list[tuple[str, dict[str, Any]]]] = {
        "files": [
            ("list_directory", {"path": str(two.vps.work / "some")}),
            ("directory_tree", {"path": str(two.vps.work / "some")}),
            ("read_text_file", {"path": "/etc/passwd"}),
            ("read_text_file", {}),
        ],
        "all": [("echo", {"message": "hi"}), ("get-sum", {"a": 2, "b": 3}), ("get-tiny-image", {})],
    }
    with raw(words_of(two.laptop), env=two.laptop.environment()) as client:
        for share, line in _commands(two).items():
            with raw(line.split()) as direct:
                for tool, arguments in asked[share]:
                    there, here = (each.ask("tools/call", name=tool, arguments=arguments) for each in (direct, client))
                    assert json.dumps(here) == json.dumps(there), tool


def test_progress_of_a_long_call_comes_through(two: Scene) -> None:
    told: list[tuple[float, float | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total))

    async def work() -> None:
        async with opened(two.laptop) as client:
            arguments = {"duration": 6, "steps": 6}
            done = await client.call_tool("trigger-long-running-operation", arguments, progress_callback=hear)
            assert not done.is_error and "completed" in done.content[0].text  # type: ignore[union-attr]

    asyncio.run(asyncio.wait_for(work(), 60))
    # of words that wait together only the last is passed on: a broker that got no turn for long tells fewer
    steps = [progress for progress, total in told if total == 6]
    assert steps and steps == sorted(set(steps)) and steps[0] < 6, told


def test_what_was_shared_of_node_is_gone_with_its_share(two: Scene) -> None:
    folder = Path(_program(EVERYTHING)).resolve().parent
    assert relay(two.vps, "tools", "unshare", "all").returncode == 0
    wait_until(lambda: "echo" not in _known(two), 20, "the tools to be told of no more")
    def left() -> list[str]:
        return [line for each in processes_of(two.vps) if str(folder) in (line := " ".join(each.cmdline()))]

    wait_until(lambda: not left(), 10, "the end of its server")
