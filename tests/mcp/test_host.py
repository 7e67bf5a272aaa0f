"""The host of shared MCP servers: what it starts, what it says, and what is left where it or its broker is killed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.e2e.scene import relay, relay_json
from tests.mcp.scripted import TOOLS
from tests.mcp.sharing import (
    begin,
    call,
    command,
    host_of,
    is_gone,
    processes_of,
    seen,
    share,
    share_of,
    shown,
    until,
    until_runs,
    words_of,
)


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """A broker by itself; it is stopped as a person stops it, and nothing may be left."""
    with Mesh.scratch("relay-host-") as mesh:
        made = mesh.add("mini")
        # offers nothing, and keeps the host from a start of 1 s of processor time for each test
        relay(made, "tools", "share", "stays", "--mcp", command(made.work), "--only", "none")
        yield made
        if made.running:
            made.relay("down")
        for log in (made.log(), (made.home / "tools" / "host.log").read_text()):
            assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:6000]


@pytest.fixture
def odd(node: Node, tmp_path: Path) -> Iterator[Path]:
    """The folder of a scripted server that is shared for one test."""
    share(node, "odd", tmp_path)
    yield tmp_path
    relay(node, "tools", "unshare", "odd")


def _pid(folder: Path) -> int:
    return int(seen(folder, "start")[-1].split()[1])


def test_the_tools_are_offered_as_the_server_words_them(node: Node, odd: Path) -> None:
    tools = {each["name"]: each for each in relay_json(node, "tools")["tools"]}
    for definition in TOOLS[:-1]:
        assert json.dumps(tools[definition["name"]]["definition"]) == json.dumps(definition)
    assert "odd name/here" not in tools
    assert "odd name/here" in share_of(node, "odd")["reason"]
    assert "not offered" in relay(node, "tools").stderr.decode()
    echoed = call(node, "echo", text="é", nothing=None)
    assert list(echoed["result"]) == ["x-more", "structuredContent", "content"]
    assert echoed["result"]["structuredContent"] == {"given": {"text": "é", "nothing": None}}


def test_what_fails_says_why_and_the_server_is_back_after_it_died(node: Node, odd: Path) -> None:
    failed = call(node, "fail", status=1)
    assert (failed["state"], failed["error"]["message"]) == ("failed", "the oven is cold")
    assert failed["result"]["isError"] is True
    assert call(node, "refuse", status=1)["error"]["message"] == "nothing of that kind"
    died = call(node, "die", status=1)
    assert died["error"]["code"] == "tool_server_ended" and "may have acted" in died["error"]["why"]
    assert call(node, "echo", text="again")["state"] == "completed"
    assert len(seen(odd, "start")) == 2 and len(seen(odd, "die")) == 1


def test_one_that_closes_its_input_and_lives_on_is_started_again(node: Node, odd: Path) -> None:
    server = _pid(odd)
    call(node, "deafen")
    wait_until(lambda: len(seen(odd, "start")) == 2, 20, "another server")
    assert call(node, "echo", text="x")["state"] == "completed" and is_gone(server)
    assert "it closed its input" in (node.home / "tools" / "host.log").read_text()


def test_other_tools_of_the_server_are_other_offers(node: Node, odd: Path) -> None:
    assert call(node, "grow")["state"] == "completed"

    def grown() -> bool:
        tools = {each["name"]: each["definition"] for each in relay_json(node, "tools")["tools"]}
        return "new" in tools and tools["echo"]["description"] == "Another one."

    wait_until(grown, 20, "the new tools")
    assert call(node, "new")["result"]["content"][0]["text"] == "new"


def test_a_tool_that_is_none_is_left_out_and_takes_nothing_along(node: Node, odd: Path) -> None:
    """Neither the other tools, nor the server, nor what runs in it."""
    running = begin(node, "slow", seconds=6, steps=4)
    until(node, running, "running", "completed")
    assert call(node, "sour")["state"] == "completed"
    wait_until(lambda: "no-schema" in share_of(node, "odd")["reason"], 20, "it to be told")
    why = share_of(node, "odd")["reason"]
    for words in ("no-schema (it is no tool by the protocol: inputSchema: Field required)", "of-no-object", "by-7"):
        assert words in why and words in (node.home / "tools" / "host.log").read_text()
    assert "one without a name" in why and "no-schema" in relay(node, "tools").stderr.decode()
    checks = relay_json(node, "doctor", status=None)
    assert "no-schema" in next(each for each in checks if each["name"] == "share odd")["detail"]
    assert {each["name"] for each in TOOLS[:-1]} <= {each["name"] for each in relay_json(node, "tools")["tools"]}
    assert until(node, running, "completed", "failed")["state"] == "completed" and len(seen(odd, "start")) == 1


def test_what_is_shared_otherwise_keeps_what_waits_and_what_it_need_not_end(node: Node, odd: Path) -> None:
    """Other tools of the same server are no reason to start it again; other values of its environment are."""
    running = begin(node, "slow", seconds=6)
    until(node, running, "running", "completed")
    share(node, "odd", odd, "--only", "slow", "--only", "echo")
    wait_until(lambda: share_of(node, "odd")["tools"] == ["echo", "slow"], 20, "the others to be left out")
    assert until(node, running, "completed", "failed")["state"] == "completed" and len(seen(odd, "start")) == 1
    for _ in range(64):  # as many as run at once
        filling = begin(node, "slow", seconds=90)
    until(node, filling, "running")
    waiting = begin(node, "echo", text="later")
    assert until(node, waiting, "waiting")["reason"] == "64 ahead"
    share(node, "odd", odd, "--only", "slow", "--only", "echo", "--env", "KEY", KEY="another")
    assert until(node, waiting, "completed", "rejected", "failed")["state"] == "completed"
    assert until(node, filling, "failed")["error"]["code"] == "tool_server_ended" and len(seen(odd, "start")) == 2
    assert len(seen(odd, "echo")) == 1


def test_results_may_be_long_and_not_endless(node: Node, odd: Path) -> None:
    long = call(node, "big", letters=2_000_000)
    assert len(long["result"]["content"][0]["text"]) == 2_000_000
    endless = call(node, "big", status=1, letters=17 << 20)
    assert endless["error"]["code"] == "result_too_large" and len(seen(odd, "big")) == 2


def test_a_call_that_is_stopped_is_cancelled_at_its_server(node: Node, odd: Path) -> None:
    running = begin(node, "slow", seconds=20, steps=40)
    until(node, running, "running")
    wait_until(lambda: shown(node, running)["progress"] is not None, 20, "its progress")
    relay(node, "tools", "stop", running)
    assert until(node, running, "cancelled")["ended"]
    wait_until(lambda: bool(seen(odd, "cancelled")), 10, "the server to hear of it")


def test_a_call_that_is_stopped_as_it_is_given_ends(node: Node, odd: Path) -> None:
    """Its program reads both words at once: it was cancelled before it began, and stood as starting for ever."""
    host, asked = host_of(node), len(seen(odd, "slow {"))
    host.suspend()
    try:
        given = begin(node, "slow", seconds=20, steps=40)
        until(node, given, "starting")
        with node.control() as control:
            control.post(f"calls/{given}/stop", {"requested_by": "anna"})
    finally:
        host.resume()
    assert until(node, given, "cancelled")["reason"] == "stopped by anna"
    assert len(seen(odd, "slow {")) == asked


def test_a_killed_broker_finds_the_call_still_running(node: Node, odd: Path) -> None:
    running = begin(node, "slow", seconds=4)
    until(node, running, "running", "completed")  # who looks late finds it at its end
    host = host_of(node).pid
    node.restart()
    assert until(node, running, "completed")["result"]["content"][0]["text"] == "slept"
    assert host_of(node).pid == host and len(seen(odd, "slow {")) == 1 and len(seen(odd, "start")) == 1


def test_a_broker_that_is_started_again_finds_the_call_still_running(node: Node, odd: Path) -> None:
    """As its service manager does it, and not `relay down`."""
    running = begin(node, "slow", seconds=4)
    until(node, running, "running", "completed")  # who looks late finds it at its end
    node.stop()
    node.start()
    assert until(node, running, "completed")["result"]["content"][0]["text"] == "slept"
    assert len(seen(odd, "slow {")) == 1 and len(seen(odd, "start")) == 1


def test_of_a_killed_host_nothing_is_left_and_another_serves(node: Node, odd: Path) -> None:
    orphan = int(call(node, "orphan")["result"]["content"][0]["text"])
    server, running = _pid(odd), begin(node, "slow", seconds=60)
    until(node, running, "running")
    host_of(node).kill()
    wait_until(lambda: is_gone(server) and is_gone(orphan), 15, "the end of the server and of what it left")
    lost = until(node, running, "lost")
    assert "may have acted" in lost["reason"]
    until_runs(node, "odd")
    assert call(node, "echo", text="x")["state"] == "completed"
    assert len(seen(odd, "slow {")) == 1


def test_what_a_host_and_its_keepers_left_behind_is_ended_by_the_next(node: Node, odd: Path) -> None:
    orphan = int(call(node, "orphan")["result"]["content"][0]["text"])
    host = host_of(node)
    keeper = next(each for each in host.children() if "keeper.py" in " ".join(each.cmdline()))
    host.suspend()  # so that neither hears of the other's end
    keeper.kill()
    host.kill()
    wait_until(lambda: is_gone(orphan), 30, "the end of what nobody keeps")


def test_a_server_that_cannot_start_is_shown_with_the_reason(node: Node, tmp_path: Path) -> None:
    for name, line, why in (
        ("nowhere", "no-such-program --at-all", "there is no program no-such-program"),
        ("broken", f"{sys.executable} -c 'import sys; sys.exit(\"no key was given\")'", "no key was given"),
        ("mute", "/bin/echo hello", "exit status 0"),
    ):
        relay(node, "tools", "share", name, "--mcp", line)
        wait_until(lambda name=name, why=why: why in share_of(node, name)["reason"], 20, why)  # type: ignore[misc]
        assert why in relay(node, "tools").stderr.decode()
    checks = relay_json(node, "doctor", status=None)
    found = next(each for each in checks if each["name"] == "share nowhere")
    assert not found["ok"] and "no-such-program" in found["detail"]
    for name in ("nowhere", "broken", "mute"):
        assert relay(node, "tools", "unshare", name).returncode == 0


def test_one_that_writes_rubbish_without_end_is_given_up_and_hinders_no_other(node: Node, odd: Path) -> None:
    relay(node, "tools", "share", "noise", "--mcp", "yes")
    try:
        why = "lines that are not the protocol"
        wait_until(lambda: why in share_of(node, "noise")["reason"], 20, "it to be given up")
        relay(node, "tools", "unshare", "odd")
        share(node, "odd", odd)  # beside what it still does, each time that it is started again
    finally:
        assert relay(node, "tools", "unshare", "noise").returncode == 0


def test_a_server_has_what_it_was_given_and_nothing_shows_that(node: Node, tmp_path: Path) -> None:
    secret = "k3y-of-nobody"
    share(node, "keyed", tmp_path, "--env", "API_KEY", "--only", "environment", API_KEY=secret, OTHER="stays here")
    try:
        found = json.loads(call(node, "environment")["result"]["content"][0]["text"])
        assert found["API_KEY"] == secret and "OTHER" not in found and "PATH" in found
        assert not {name for name in found if name.startswith("RELAY_")} - {"RELAY_SHARE_OF", "RELAY_SHARE_RUN"}
        assert share_of(node, "keyed")["tools"] == ["environment"]
        told = relay(node, "tools", "--json").stdout + json.dumps(share_of(node, "keyed")).encode()
        assert secret.encode() not in told and share_of(node, "keyed")["env"] == ["API_KEY"]
        assert secret not in node.log() + (node.home / "tools" / "host.log").read_text()
        assert not any(secret in word for each in processes_of(node) for word in words_of(each))
        kept = node.home / "tools" / "shares.json"
        assert secret in kept.read_text() and kept.stat().st_mode & 0o077 == 0
    finally:
        relay(node, "tools", "unshare", "keyed")
    refused = relay(node, "tools", "share", "keyed", "--mcp", "x", "--env", f"API_KEY={secret}")
    assert refused.returncode == 2 and b"does not belong on the command line" in refused.stderr


def test_a_server_of_the_newer_era_is_shared_as_well(node: Node, tmp_path: Path) -> None:
    share(node, "newer", tmp_path, more=("modern",))
    try:
        assert call(node, "echo", text="x")["result"]["structuredContent"] == {"given": {"text": "x"}}
        assert call(node, "grow")["state"] == "completed"
        names: list[Any] = []

        def grown() -> bool:
            names[:] = [each["name"] for each in relay_json(node, "tools")["tools"]]
            return "new" in names

        wait_until(grown, 20, "the new tool")
    finally:
        relay(node, "tools", "unshare", "newer")


def test_a_server_is_no_person_and_may_look_alone(node: Node, odd: Path) -> None:
    """Else whoever may call a tool that runs programs could do all that this machine's person may."""
    relay_here = [sys.executable, "-m", "relay", "--home", str(node.home)]

    def said(*words: str) -> str:
        given = call(node, "run", words=[*words])
        return str(given["result"]["content"][0]["text"])

    for words in (("spawn", "-", "shell", "true"), ("tools", "call", "echo"), ("tools", "unshare", "odd")):
        assert "a shared server may not ask for that" in said(*relay_here, *words)
        assert "a shared server may not ask for that" in said("setsid", "-f", "-w", *relay_here, *words)
    assert "mini" in said(*relay_here, "status")
    assert relay_json(node, "ps", "--all") == []


def test_what_is_shared_no_more_is_ended(node: Node, tmp_path: Path) -> None:
    relay(node, "tools", "unshare", "stays")
    share(node, "brief", tmp_path)
    server, running = _pid(tmp_path), begin(node, "slow", seconds=60)
    until(node, running, "running")
    assert relay(node, "tools", "unshare", "brief").returncode == 0
    wait_until(lambda: is_gone(server) and not processes_of(node), 10, "the end of the host")
    assert relay_json(node, "tools")["tools"] == []
    assert shown(node, running)["error"]["code"] == "tool_server_ended"
    for verb in (("share", "brief", "--mcp", command(tmp_path)), ("unshare", "brief")):
        assert relay(node, "tools", *verb).returncode == 0
    wait_until(lambda: not processes_of(node), 10, "the end of a host that has only begun")
    assert relay_json(node, "tools", "unshare", "brief", status=2)["error"]["code"] == "unknown_share"


def test_a_broker_that_is_stopped_takes_its_servers_along(node: Node, tmp_path: Path) -> None:
    share(node, "last", tmp_path)
    server = _pid(tmp_path)
    running = begin(node, "slow", seconds=60)
    until(node, running, "running")
    said = relay(node, "down")
    assert b"what it was running goes on" not in said.stdout and b"with the calls that ran in them: last" in said.stderr
    wait_until(lambda: not processes_of(node), 15, "the end of the host")
    assert is_gone(server)
    node.start()
    ended = shown(node, running)
    assert ended["error"]["code"] == "tool_server_ended" and "may have acted" in ended["error"]["why"]
    until_runs(node, "last")
    assert call(node, "echo", text="x")["state"] == "completed" and len(seen(tmp_path, "start")) == 2
    relay(node, "tools", "unshare", "last")
