"""Shared servers that answer with what is no answer, and that say without end that they have changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.e2e.scene import relay
from tests.mcp.sharing import call, command, seen, share, share_of, until_runs

_ANSWER = '{"jsonrpc": "2.0", "id": REQUEST, "result": %s}'
_DEEP = "[" * 20_000 + "]" * 20_000


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Mesh.scratch("relay-odd-") as mesh:
        made = mesh.add("mini")
        yield made
        made.relay("down")
        for log in (made.log(), (made.home / "tools" / "host.log").read_text()):
            assert "Traceback" not in log, log[-6000:]


@pytest.fixture
def odd(node: Node) -> Path:
    """The folder of the scripted server, which runs; a test may have ended it."""
    with node.control() as control:
        if all(each["name"] != "odd" for each in control.get("shares")):
            share(node, "odd", node.work)
    return node.work


@pytest.mark.parametrize(
    "line",
    [
        _ANSWER % "[1]",
        _ANSWER % "null",
        _ANSWER % '{"content": [{"type": "text", "text": "\xff"}]}',
        _ANSWER % ('{"content": [], "structuredContent": {"n": ' + "9" * 5_000 + "}}"),
        _ANSWER % ('{"content": [], "structuredContent": {"n": ' + _DEEP + "}}"),
        '{"jsonrpc": "2.0", "id": REQUEST, "error": "no"}',
    ],
    ids=["list", "null", "no UTF-8", "digits", "deep", "error"],
)
def test_an_answer_that_cannot_be_read_ends_its_call(node: Node, odd: Path, line: str) -> None:
    starts = seen(odd, "start")
    failed = call(node, "raw", None, line=line)
    assert failed["state"] == "failed" and failed["error"]["code"] == "bad_result"
    assert "may have acted" in failed["error"]["why"]
    assert seen(odd, "start") == starts


def test_an_error_of_the_server_is_its_word_whatever_its_code(node: Node, odd: Path) -> None:
    line = '{"jsonrpc": "2.0", "id": REQUEST, "error": {"code": -32000, "message": "the disk is full"}}'
    failed = call(node, "raw", None, line=line)
    assert failed["error"]["code"] == "runner_failed" and failed["error"]["message"] == "the disk is full"


def test_what_a_client_takes_for_an_error_is_no_success(node: Node, odd: Path) -> None:
    line = _ANSWER % '{"content": [{"type": "text", "text": "the door is shut"}], "isError": "yes"}'
    failed = call(node, "raw", None, line=line)
    assert failed["state"] == "failed" and failed["error"]["message"] == "the door is shut"


def test_progress_that_no_number_is_costs_no_connection(node: Node, odd: Path) -> None:
    told = '{"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": TOKEN, "progress": %s}}'
    lines = "\n".join([*(told % number for number in ("NaN", "1e999")), _ANSWER % '{"content": []}'])
    assert call(node, "raw", line=lines)["state"] == "completed"
    assert "not served" not in (node.home / "tools" / "host.log").read_text()


def test_of_two_servers_with_one_tool_the_first_keeps_it_and_the_other_says_so(node: Node, odd: Path) -> None:
    folder = node.work / "second"
    folder.mkdir()
    relay(node, "tools", "share", "before-odd", "--mcp", command(folder), "--only", "echo")
    wait_until(lambda: "the share odd has it" in share_of(node, "before-odd")["reason"], 20, "it to say so")
    call(node, "echo", text="who?")
    assert not seen(folder, "echo")
    relay(node, "tools", "unshare", "odd")
    until_runs(node, "before-odd")
    call(node, "echo", text="who?")
    assert seen(folder, "echo")
    relay(node, "tools", "unshare", "before-odd")


def test_one_that_changes_without_end_is_asked_ever_more_seldom(node: Node) -> None:
    share(node, "ever", node.work, more=("restless",))
    with node.control() as control:
        before = control.get("tools")["tools"]
        wait_until(lambda: control.get("tools")["tools"] != before, 20, "a change of it to be known")
    wait_until(lambda: len(seen(node.work, "listed")) > 4, 20, "it to be asked a few times")
    with pytest.raises(TimeoutError):
        wait_until(lambda: len(seen(node.work, "listed")) > 12, 2, "it to be asked without end")
    relay(node, "tools", "unshare", "ever")
