"""Other machines' tools in `relay mcp`: listed and answered as their own server would, word for word."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from relay.testing.processes import wait_until
from tests.e2e.scene import Scene, fresh, relay, relay_json, started
from tests.mcp.clients import LEGACY, MODERN, RawClient, opened, raw, words_of
from tests.mcp.odd import HELLO
from tests.mcp.scripted import PNG, TOOLS
from tests.mcp.sharing import command, seen, share, until

if TYPE_CHECKING:
    from mcp.client.client import Client

ERAS = (LEGACY, MODERN)
SHARED = TOOLS[:-1]


@pytest.fixture(scope="module")
def two() -> Iterator[Scene]:
    """vps shares the scripted server with laptop; what the server notes is in the work folder of vps."""
    from relay.testing.mesh import Mesh

    with Mesh.scratch("relay-tools-") as mesh:
        scene = Scene.made(mesh)
        mesh.grant(on=scene.vps, to=scene.laptop, words=("--verb", "tool"))
        share(scene.vps, "odd", scene.vps.work)
        wait_until(lambda: relay_json(scene.laptop, "tools")["tools"], 20, "the tools to be told")
        yield scene
        if not scene.vps.running:
            scene.vps.start()
        scene.vps.relay("down")
        assert "Traceback" not in scene.vps.log() + scene.laptop.log()


@pytest.fixture(scope="module")
def legacy(two: Scene) -> Iterator[RawClient]:
    """A client of the older era, for the tests that need none of their own: each costs a second of processor time."""
    with raw(words_of(two.laptop), env=two.laptop.environment()) as client:
        client.tools()
        yield client


@contextlib.contextmanager
def _of_era(two: Scene, era: str, legacy: RawClient) -> Iterator[RawClient]:
    if era == LEGACY:
        yield legacy
        return
    with raw(words_of(two.laptop), era, two.laptop.environment()) as client:
        client.tools()  # it has started: no limit of a test's is to count that
        yield client


def _by_name(definitions: list[dict[str, Any]]) -> dict[str, str]:
    return {each["name"]: json.dumps(each) for each in definitions}


@pytest.mark.parametrize("era", ERAS)
def test_definitions_and_results_are_those_of_the_server_itself(
    two: Scene, era: str, legacy: RawClient, tmp_path: Path
) -> None:
    own = command(tmp_path, *(["modern"] if era == MODERN else [])).split()
    with raw(own, era) as direct, _of_era(two, era, legacy) as over:
        there, here = _by_name(direct.tools()), _by_name(over.tools())
        there.pop("odd name/here")
        assert {name: here[name] for name in there} == there
        for tool, arguments in (
            ("echo", {"text": "é\u2028", "deep": {"b": [None, 1.5, True], "a": {}}}),
            ("picture", {}),
            ("fail", {}),
            ("big", {"letters": 300_000}),
        ):
            called = [each.ask("tools/call", name=tool, arguments=arguments) for each in (direct, over)]
            assert json.dumps(called[0]) == json.dumps(called[1]), tool


def test_who_has_a_tool_is_not_shown_it_as_another_s(two: Scene) -> None:
    with raw(words_of(two.vps), env=two.vps.environment()) as client:
        assert not {each["name"] for each in client.tools()} & {each["name"] for each in TOOLS}


def test_progress_goes_through_and_what_takes_long_has_a_ticket(two: Scene) -> None:
    told: list[tuple[float, float | None, str | None]] = []
    heard = two.vps.work / fresh("heard")

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))
        if message == "step 2":
            heard.touch()

    async def work(client: Client) -> None:
        slept = await client.call_tool("slow", {"seconds": 1, "steps": 3, "until": str(heard)}, progress_callback=hear)
        assert slept.content[0].text == "slept"  # type: ignore[union-attr]
        ticket = await client.call_tool("slow", {"seconds": 12, "steps": 3})
        said, facts = ticket.content[0].text, ticket.structured_content  # type: ignore[union-attr]
        assert not ticket.is_error and not facts["ended"] and facts["ticket"] in said and "tool.result" in said
        early = await client.call_tool("tool.result", {"ticket": facts["ticket"]})
        assert not early.structured_content["ended"] and early.structured_content["result"] is None
        end = await client.call_tool("tool.result", {"ticket": facts["ticket"], "wait": 30})
        assert end.content[0].text == "slept" and end.structured_content["state"] == "completed"  # type: ignore[union-attr]
        assert end.structured_content["result"] == {"content": [{"type": "text", "text": "slept"}]}
        nothing = await client.call_tool("tool.result", {"ticket": "x"})
        assert nothing.is_error and "unknown_call" in nothing.content[0].text  # type: ignore[union-attr]

    _with(two, work, "--patience", "6s")
    own = [each for each in told if each[0] >= 1]
    assert (2.0, 3.0, "step 2") in own, told
    assert [each[0] for each in told] == sorted({each[0] for each in told}), "it never goes back"


def _with(two: Scene, work: Any, *options: str, **settings: Any) -> None:
    async def all_of_it() -> None:
        async with opened(two.laptop, *options, **settings) as client:
            await work(client)

    asyncio.run(asyncio.wait_for(all_of_it(), 60))


def test_what_goes_wrong_is_an_error_that_a_model_can_act_on(two: Scene, legacy: RawClient) -> None:
    def called(tool: str, **arguments: Any) -> tuple[bool, dict[str, Any]]:
        result = legacy.ask("tools/call", name=tool, arguments=arguments)
        return bool(result.get("isError")), result["content"][0]

    assert called("fail") == (True, {"type": "text", "text": "the oven is cold"})
    assert called("picture") == (False, {"type": "image", "data": PNG, "mimeType": "image/png"})
    for tool, arguments, words in (
        ("refuse", {}, ("nothing of that kind", "runner_failed")),
        ("die", {"status": 7}, ("it ended with exit status 7", "may have acted", "tool_server_ended")),
        ("no_such", {}, ("there is no tool",)),
    ):
        is_error, said = called(tool, **arguments)
        assert is_error and all(each in said["text"] for each in words), said
    relay(two.vps, "trust", "revoke", "laptop")
    assert called("echo", text="x")[0]
    two.mesh.grant(on=two.vps, to=two.laptop, words=("--verb", "tool"))
    wait_until(lambda: relay_json(two.laptop, "tools")["tools"], 20, "the tools to be told again")


@pytest.mark.parametrize("era", ERAS)
def test_a_client_hears_of_tools_that_come_and_go(two: Scene, era: str) -> None:
    """As a person hides and shows one, and as the other machine lets this one in no more."""
    heard = asyncio.Event()

    async def told(message: Any) -> None:
        if type(message).__name__ == "ToolListChangedNotification":
            heard.set()

    async def names(client: Client) -> set[str]:
        return {each.name for each in (await client.list_tools(cache_mode="refresh")).tools}

    async def until_told(client: Client, there: bool) -> None:
        while ("picture" in await names(client)) is not there:
            await asyncio.wait_for(heard.wait(), 20)
            heard.clear()

    async def steps(client: Client) -> None:
        assert "picture" in await names(client)
        for words, there in ((("hide", "picture"), False), (("unhide", "picture"), True)):
            assert (await asyncio.to_thread(relay, two.laptop, "tools", *words)).returncode == 0
            await until_told(client, there)

    async def listening(client: Client) -> None:
        async with client.listen(tools_list_changed=True) as changes:

            async def hear() -> None:
                async for _ in changes:
                    heard.set()

            hearing = asyncio.get_running_loop().create_task(hear())
            await steps(client)
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)

    _with(two, steps if era == LEGACY else listening, mode=era, message_handler=told)


def test_what_is_asked_of_a_machine_that_sleeps_runs_once_when_it_is_back(two: Scene) -> None:
    def runs() -> int:
        return len(seen(two.vps.work, 'echo {"text": "later"}'))

    async def work(client: Client) -> None:
        two.vps.relay("down")
        wait_until(lambda: two.laptop.status()["links"] == 0, 20, "the end of the link")
        assert "echo" in {each.name for each in (await client.list_tools()).tools}
        ticket = await client.call_tool("echo", {"text": "later"})
        # echo promises structure: what has none of it is no result
        assert ticket.is_error and "vps" in ticket.content[0].text  # type: ignore[union-attr]
        call = ticket.structured_content["ticket"]
        assert ticket.structured_content["state"] == "queued" and runs() == 0
        two.vps.start()
        end = await client.call_tool("tool.result", {"ticket": call, "wait": 40})
        assert end.structured_content["result"]["structuredContent"] == {"given": {"text": "later"}}
        assert until(two.laptop, call, "completed")["broker"]["name"] == "vps"

    _with(two, work, "--patience", "1s")
    assert runs() == 1


def test_calls_that_wait_hold_up_no_list_and_none_of_those_that_are_cancelled_runs(
    two: Scene, legacy: RawClient
) -> None:
    def standing(state: str) -> int:
        with two.laptop.control() as control:
            return sum(each["state"] == state for each in control.get("calls?limit=200"))

    two.vps.relay("down")
    wait_until(lambda: two.laptop.status()["links"] == 0, 20, "the end of the link")
    before = standing("cancelled")
    assert "picture" in _by_name(legacy.tools())
    asked = [legacy.begin("tools/call", name="echo", arguments={"text": "never"}) for _ in range(90)]
    wait_until(lambda: standing("queued") == 90, 20, "all of them to be on the disk")
    relay(two.laptop, "tools", "hide", "picture")
    # a list that had to wait for one of them would be what was known before
    assert "picture" not in _by_name(legacy.tools())
    relay(two.laptop, "tools", "unhide", "picture")
    for each in asked:
        legacy.cancel(each)
    wait_until(lambda: standing("cancelled") == before + 90, 20, "all of them to be taken back")
    two.vps.start()
    assert relay(two.laptop, "tools", "call", "echo", '{"text": "after"}').returncode == 0
    assert not seen(two.vps.work, 'echo {"text": "never"}')


@pytest.mark.parametrize("era", ERAS)
def test_a_call_that_is_cancelled_while_it_runs_is_stopped_and_one_whose_client_goes_away_is_not(
    two: Scene, era: str, legacy: RawClient
) -> None:
    def ids() -> list[str]:
        with two.laptop.control() as control:
            return [each["id"] for each in control.get("calls?limit=200") if each["tool"] == "slow"]

    def begun(client: RawClient, seconds: int) -> tuple[int, str]:
        before = ids()
        asked = client.begin("tools/call", name="slow", arguments={"seconds": seconds, "steps": 10 * seconds})
        wait_until(lambda: len(ids()) > len(before), 20, "it to be made")
        return asked, ids()[0]

    with _of_era(two, era, legacy) as client:
        goes_on = begun(client, 3)[1] if era == MODERN else None
        asked, call = begun(client, 20)
        until(two.laptop, call, "running")
        heard = len(seen(two.vps.work, "cancelled"))
        client.cancel(asked)
        stopped = until(two.laptop, call, "cancelled", "completed")
        assert (stopped["state"], stopped["reason"]) == ("cancelled", "stopped by laptop while it ran")
        wait_until(lambda: len(seen(two.vps.work, "cancelled")) > heard, 20, "its server to hear of it")
    if goes_on is not None:
        assert until(two.laptop, goes_on, "cancelled", "completed")["state"] == "completed"


def test_over_http_a_client_cancels_its_own_calls_alone(two: Scene) -> None:
    """Though both count their requests alike."""
    with started(two.laptop, "--json", "mcp", "--http", "--port", "0") as process, contextlib.ExitStack() as open_:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        token = Path(told["token_file"]).read_text().strip()

        def post(message: dict[str, Any], session: str = "") -> http.client.HTTPResponse:
            place = told["url"].removeprefix("http://").partition("/")[0]
            connection = open_.enter_context(contextlib.closing(http.client.HTTPConnection(place, timeout=20)))
            headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
            headers |= {"authorization": f"Bearer {token}"} | ({"mcp-session-id": session} if session else {})
            connection.request("POST", "/mcp", json.dumps({"jsonrpc": "2.0"} | message), headers)
            return connection.getresponse()

        calls = []
        for n in range(2):
            session = post(HELLO).getheader("mcp-session-id") or ""
            post({"method": "notifications/initialized"}, session)
            params = {"name": "slow", "arguments": {"seconds": 80, "who": n}}
            post({"id": 7, "method": "tools/call", "params": params}, session)
            wait_until(lambda n=n: seen(two.vps.work, f'slow {{"seconds": 80, "who": {n}}}'), 20, "it to run")  # type: ignore[misc]
            with two.laptop.control() as control:
                calls.append((session, control.get("calls?limit=1")[0]["id"]))
        for session, call in reversed(calls):
            assert until(two.laptop, call, "running", "cancelled")["state"] == "running"
            post({"method": "notifications/cancelled", "params": {"requestId": 7}}, session)
            assert until(two.laptop, call, "cancelled")["ended"]


@pytest.mark.parametrize("era", ERAS)
def test_a_restart_of_the_broker_is_nothing_to_a_call(two: Scene, era: str) -> None:
    """It is one call, and its client has the result: what reads as not made would be made again."""
    text = f"over a restart, {era}"

    def runs() -> int:
        return len([line for line in seen(two.vps.work, "slow {") if text in line])

    async def work(client: Client) -> None:
        hearing: Any = {} if era == LEGACY else {"progress_callback": _unheard}
        asked = asyncio.create_task(client.call_tool("slow", {"seconds": 3, "steps": 3, "text": text}, **hearing))
        await asyncio.to_thread(wait_until, runs, 20, "it to run")
        await asyncio.to_thread(two.laptop.restart)
        slept = await asked
        assert not slept.is_error and slept.content[0].text == "slept"  # type: ignore[union-attr]

    _with(two, work, mode=era)
    assert runs() == 1


async def _unheard(progress: float, total: float | None, message: str | None) -> None:
    """A client that wants to hear of progress."""


def test_the_verbs_of_tools_say_how_it_stands(two: Scene) -> None:
    listed = relay(two.laptop, "tools").stdout.decode()
    assert "echo" in listed and "vps" in listed and "offered" in listed
    done = relay(two.laptop, "tools", "call", "echo", "-", typed=b'{"text": "typed \\u001b[1m"}')
    assert (done.returncode, done.stdout) == (0, b"typed \x1b[1m\n"), "to a pipe it is as it was"
    called = relay_json(two.laptop, "tools", "calls", "-n", "1")
    assert [each["tool"] for each in called] == ["echo"] and called[0]["result"] is None
    assert called[0]["id"] in relay(two.laptop, "tools", "calls").stdout.decode()
    shares = relay(two.vps, "tools", "shares").stdout.decode()
    assert "odd" in shares and "running" in shares and "scripted.py" in shares
    pictured = relay(two.laptop, "tools", "call", "picture")
    assert pictured.stdout == b"seen\n" and b"image/png" in pictured.stderr
    failed = relay(two.laptop, "tools", "call", "fail")
    assert failed.returncode == 1 and b"the oven is cold" in failed.stderr
    asked = relay_json(two.laptop, "tools", "call", "slow", '{"seconds": 60}', "--no-wait")
    until(two.laptop, asked["id"], "running")
    going = relay(two.laptop, "tools", "result", asked["id"])
    assert going.returncode == 1 and b"--wait" in going.stderr
    assert relay(two.laptop, "tools", "stop", asked["id"]).returncode == 0
    assert relay(two.laptop, "tools", "result", asked["id"], "--wait").returncode == 130
    late = relay(two.laptop, "tools", "call", "slow", '{"seconds": 60}', "--timeout", "1s")
    assert late.returncode == 124
    for words, code in (
        (("call", "echo", "[1]"), 2),
        (("call", "echo", "{"), 2),
        (("call", "echo", "@/no/such/file"), 2),
        (("call", "no_such"), 1),
        (("call", "echo", "--broker", "nobody"), 2),
        (("result", "nothing"), 2),
        (("share", "x"), 2),
        (("share", "--runner", "x", "--only", "y"), 2),
        (("share", "x", "--mcp", "a 'b"), 2),
        (("unshare", "x"), 2),
    ):
        wrong = relay(two.laptop, "tools", *words)
        assert wrong.returncode == code and b"error:" in wrong.stderr and b"try:" in wrong.stderr, (words, wrong)
