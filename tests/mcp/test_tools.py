"""`relay mcp`: what a model sees, asks and is told, over the protocol's own client, in both of its eras."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from relay.testing.processes import wait_until
from tests.e2e.scene import Scene, fresh, relay, relay_json
from tests.e2e.stand_ins import on_path, with_claude
from tests.e2e.test_continue import CLAUDE
from tests.mcp.clients import LEGACY, MODERN, opened
from tests.mcp.odd import HELLO, odd_messages

if TYPE_CHECKING:
    from mcp.client.client import Client

ERAS = (LEGACY, MODERN)
Work = Callable[["Client"], Awaitable[None]]


@pytest.fixture(scope="module")
def two() -> Iterator[Scene]:
    """A laptop and a vps that lets it run commands, and a `claude` of its own."""
    with with_claude(CLAUDE, "relay-mcp-") as scene:
        scene.grant("--agent", "shell", "--agent", "claude", "--dir", "new", "--dir", str(scene.vps.work))
        yield scene


def _client(
    two: Scene, mode: str = MODERN, names: str = "dots", folder: Path | None = None
) -> AbstractAsyncContextManager[Client]:
    return opened(two.laptop, "--names", names, mode=mode, folder=folder)


def _with(two: Scene, work: Work, **settings: Any) -> None:
    """Do this with a server of its own."""

    async def all_of_it() -> None:
        async with _client(two, **settings) as client:
            await work(client)

    asyncio.run(asyncio.wait_for(all_of_it(), 60))


@pytest.fixture(scope="module")
def with_client(two: Scene) -> Iterator[Callable[[Work], None]]:
    """Do something with the server that the tests of this module share: a start is 2 s of processor time."""
    with asyncio.Runner() as runner:
        loop, over = runner.get_loop(), asyncio.Event()
        opened: asyncio.Future[Client] = loop.create_future()

        async def stay_open() -> None:
            async with _client(two) as client:
                opened.set_result(client)
                await over.wait()

        async def do(work: Work) -> None:
            first: list[asyncio.Future[Any]] = [opened, staying]
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            assert opened.done(), staying.exception()
            await work(opened.result())

        async def close() -> None:
            over.set()
            await staying

        staying = loop.create_task(stay_open())
        yield lambda work: runner.run(asyncio.wait_for(do(work), 60))
        runner.run(asyncio.wait_for(close(), 20))


async def _ask(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    done = await client.call_tool(tool, arguments)
    assert not done.is_error, done.content
    listed = {each.name: each for each in (await client.list_tools()).tools}
    schema = listed[tool].output_schema
    assert schema is not None
    jsonschema.Draft202012Validator(schema).validate(done.structured_content)
    answer: dict[str, Any] = done.structured_content
    return answer


@pytest.mark.parametrize("mode", ERAS)
def test_an_agent_is_added_on_another_broker_and_its_end_comes_back(
    two: Scene, with_client: Callable[[Work], None], mode: str
) -> None:
    told: list[str] = []

    async def work(client: Client) -> None:
        async def progress(progress: float, total: float | None, message: str | None) -> None:
            told.append(message or "")

        task = "sleep 1; echo there > made; echo done"
        arguments = {"name": fresh("mcp"), "cli": "shell", "task": task, "cwd": "new", "broker": "vps", "wait": 30}
        added = await client.call_tool("agent.add", arguments, progress_callback=progress)
        answer = added.structured_content
        assert not added.is_error and answer["state"] == "completed" and answer["broker"] == "vps", added.content
        assert added.content[0].text.startswith(answer["spoken"])  # type: ignore[union-attr]
        assert answer["spoken"] == f"{arguments['name']} on vps finished."
        shown = relay_json(two.vps, "show", answer["id"])
        assert shown["state"] == "completed" and (Path(shown["cwd"]) / "made").read_text() == "there\n"
        result = await _ask(client, "agent.result", id=answer["id"])
        assert result["output_tail"] == "done\n" and result["agent"]["id"] == answer["id"]
        assert (await _ask(client, "agent.logs", id=answer["id"]))["text"] == "done\n"

    if mode == "auto":
        with_client(work)
    else:
        _with(two, work, mode=mode)
    assert told, "progress while it waited"


def test_what_is_said_is_what_is(two: Scene, with_client: Callable[[Work], None]) -> None:
    """At once, while it runs, stopped, failed, refused, and for a machine that is away."""

    async def work(client: Client) -> None:
        runs = await _ask(client, "agent.add", name=fresh("mcp"), cli="shell", task="sleep 60", cwd="new", broker="vps")
        assert not runs["ended"] and runs["state"] in ("queued", "delivered", "waiting", "starting", "running")
        assert (await _ask(client, "agent.wait", id=runs["id"], seconds=0.2))["ended"] is False
        stopped = await _ask(client, "agent.stop", id=runs["id"])
        assert stopped["state"] == "cancelled" and "was stopped" in stopped["spoken"]
        failed = await _ask(
            client, "agent.add", name=fresh("mcp"), cli="shell", task="exit 3", cwd="new", broker="vps", wait=30
        )
        assert failed["state"] == "failed" and "ran into trouble" in failed["spoken"] and failed["exit_code"] == 3
        refused = await _ask(
            client, "agent.add", name=fresh("mcp"), cli="codex", task="x", cwd="new", broker="vps", wait=30
        )
        assert refused["state"] == "rejected" and "was not run" in refused["spoken"] and refused["error"]
        nowhere = await _ask(client, "agent.add", name=fresh("mcp"), cli="shell", task="true", broker="vps", wait=30)
        assert nowhere["state"] == "rejected" and "--cwd" in nowhere["error"], nowhere
        brokers = {each["name"]: each for each in (await _ask(client, "broker.list"))["brokers"]}
        assert brokers["laptop"]["self"] and "shell" in brokers["vps"]["agents"] and "spawn" in brokers["vps"]["may"]
        listed = await _ask(client, "agent.list", broker="vps", states=["failed"], limit=1)
        assert [each["id"] for each in listed["agents"]] == [nowhere["id"]] and listed["more"] == 2
        two.vps.stop()
        try:
            wait_until(lambda: two.laptop.status()["links"] == 0, 20, "the end of the link")
            queued = await _ask(client, "agent.add", name=fresh("q"), cli="shell", task="true", cwd="new", broker="vps")
            assert queued["state"] == "queued" and "vps" in queued["spoken"] and "starts when" in queued["spoken"]
        finally:
            with on_path(two.vps.scratch / "programs"):
                two.vps.start()
        assert (await _ask(client, "agent.wait", id=queued["id"], seconds=30))["state"] == "completed"

    with_client(work)


def test_an_agent_works_in_a_tree_of_a_repository(
    two: Scene, with_client: Callable[[Work], None], tmp_path: Path
) -> None:
    for words in (("init", "-q"), ("commit", "-q", "--allow-empty", "-m", "first")):
        subprocess.run(("git", "-c", "user.name=a", "-c", "user.email=a@b", *words), cwd=tmp_path, check=True)

    async def work(client: Client) -> None:
        asked = {"name": fresh("mcp"), "cli": "shell", "task": "echo new > made", "repo": str(tmp_path)}
        done = await _ask(client, "agent.add", **asked, wait=60)
        assert done["state"] == "completed" and done["branch"] == f"relay/{asked['name']}", done
        both = await client.call_tool("agent.add", asked | {"name": fresh("mcp"), "cwd": "new"})
        assert both.is_error and "cwd does not go with repo" in both.content[0].text  # type: ignore[union-attr]

    with_client(work)


def test_a_session_goes_on_and_a_question_is_answered(two: Scene, with_client: Callable[[Work], None]) -> None:
    async def work(client: Client) -> None:
        first = await _ask(
            client, "agent.add", name=fresh("mcp"), cli="claude", task="plan it", cwd="new", broker="vps", wait=30
        )
        assert first["state"] == "completed" and "agent.continue" in first["next"]
        again = await _ask(client, "agent.continue", id=first["id"], task="now the tests", wait=30)
        assert again["state"] == "completed" and "--resume" in again["summary"]
        two.grant("--agent", "shell", "--dir", "new", "--ask")
        held = await _ask(
            client, "agent.add", name=fresh("mcp"), cli="shell", task="true", cwd="new", broker="vps", wait=30
        )
        assert held["state"] == "held" and held["question"] and "ask the person" in held["next"]
        own = await client.call_tool("agent.approve", {"id": held["id"], "allow": True})
        assert own.is_error or own.structured_content["accepted"] is False, "nobody approves their own request"
        relay(two.vps, "approve", held["id"])
        wait_until(lambda: relay_json(two.laptop, "show", held["id"])["state"] != "held", 20, "the vps' word")
        assert (await _ask(client, "agent.wait", id=held["id"], seconds=30))["state"] == "completed"

    try:
        with_client(work)
    finally:
        two.grant("--agent", "shell", "--agent", "claude", "--dir", "new", "--no-ask")


def test_what_a_model_gets_wrong_is_a_tool_error_that_it_can_act_on(with_client: Callable[[Work], None]) -> None:
    async def work(client: Client) -> None:
        wrong: list[tuple[str, dict[str, Any], str]] = [
            ("agent.add", {"name": "x", "cli": "shell"}, "'task' is a required property"),
            ("agent.add", {"name": "x", "cli": "shell", "task": "true", "to": "vps"}, "'to' was unexpected"),
            ("agent.add", {"name": "x y", "cli": "shell", "task": "true", "cwd": "new"}, "error:"),
            ("agent.add", {"name": "x", "cli": "shell", "task": "true", "broker": "nobody"}, "unknown_broker"),
            ("agent.add", {"name": "x", "cli": "shell", "task": "true", "timeout": "soon"}, "bad_duration"),
            ("agent.get", {"id": "nobody"}, "unknown_spawn"),
            ("agent.get", {"id": "../x"}, "unknown_spawn"),
            ("agent.wait", {"id": "x", "seconds": -1}, "minimum"),
            ("agent.approve", {"id": "x", "allow": True, "request": ""}, "non-empty"),
            ("agent.nothing", {}, "there is no tool"),
        ]
        for tool, arguments, said in wrong:
            done = await client.call_tool(tool, arguments)
            assert done.is_error and said in done.content[0].text, (tool, arguments, done)  # type: ignore[union-attr]
            assert "Traceback" not in done.content[0].text  # type: ignore[union-attr]

    with_client(work)


def test_clients_that_refuse_dots_get_none(two: Scene) -> None:
    async def work(client: Client) -> None:
        tools = (await client.list_tools()).tools
        assert {"agent_add", "broker_list"} <= {each.name for each in tools}
        assert not any("." in each.name for each in tools)
        assert not any("agent.add" in (each.description or "") for each in tools)
        arguments = {"name": "-", "cli": "shell", "task": "true", "wait": 20, "cwd": "new"}
        done = await client.call_tool("agent_add", arguments)
        assert "agent_result" in done.structured_content["next"]

    _with(two, work, names="underscore")


def test_what_is_local_starts_where_the_client_stands(two: Scene, tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        made = await _ask(client, "agent.add", name=fresh("mcp"), cli="shell", task="pwd", wait=30)
        assert made["state"] == "completed" and made["summary"] == str(tmp_path)

    _with(two, work, folder=tmp_path)


def test_without_a_broker_it_says_so_and_goes_on(two: Scene, with_client: Callable[[Work], None]) -> None:
    async def work(client: Client) -> None:
        two.laptop.stop()
        try:
            done = await client.call_tool("agent.list", {})
            assert done.is_error and "relay" in done.content[0].text  # type: ignore[union-attr]
        finally:
            two.laptop.start()
        assert not (await client.call_tool("agent.list", {})).is_error

    with_client(work)


def test_whatever_is_written_to_it_the_next_message_is_answered(two: Scene) -> None:
    words = [sys.executable, "-m", "relay", "--home", str(two.laptop.home), "mcp"]
    call = {"jsonrpc": "2.0", "id": 77, "method": "tools/call", "params": {"name": "broker.list", "arguments": {}}}
    ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    lines = [*odd_messages(7, 40), json.dumps(HELLO).encode(), json.dumps(ready).encode(), *odd_messages(8, 40)]
    typed = b"".join(line + b"\n" for line in [*lines, json.dumps(call).encode()])
    pipe = subprocess.PIPE
    with subprocess.Popen(words, env=two.laptop.environment(), stdin=pipe, stdout=pipe, stderr=pipe) as server:
        assert server.stdin is not None and server.stdout is not None
        writing = threading.Thread(target=lambda: (server.stdin.write(typed), server.stdin.flush()))  # type: ignore[union-attr]
        writing.start()
        answers = (json.loads(line) for line in server.stdout)
        last = next(each for each in answers if each.get("id") == 77)
        assert last["result"]["structuredContent"]["brokers"], last
        writing.join()
        _, noted = server.communicate(timeout=20)
        assert server.returncode == 0 and b"RecursionError" not in noted, noted[-2000:]


def test_nothing_else_imports_the_package_of_the_protocol() -> None:
    imports = "import sys, relay.daemon, relay.cli.app, relay.cli.verbs.mcp"
    code = f"{imports}; relay.cli.app.build(); print('mcp' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
