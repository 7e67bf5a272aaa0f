"""Programs that say what they should not, come twice, or speak for another's calls: nothing comes of it."""

from __future__ import annotations

import asyncio
import os
import secrets
from typing import Any

import pytest

from relay.api.home import Home
from relay.api.program_link import Message, ProgramLink
from relay.core.errors import RelayError
from relay.testing.processes import wait_until
from tests.e2e.scene import fresh
from tests.tools.conftest import Ground
from tests.tools.program import definition

WITHIN_S = 20.0


def hello(*names: str, **fields: Any) -> Message:
    """The first line of a program that this process plays."""
    offers = [{"name": name, "definition": definition(name), "share": "test"} for name in names]
    said = {"program": secrets.token_hex(16), "kind": "library", "title": fresh("played"), "pid": os.getpid()}
    return said | {"started": 0.0, "offers": offers, "holding": []} | fields


async def heard(link: ProgramLink, what: str) -> Any:
    """The next message of a kind."""
    async with asyncio.timeout(WITHIN_S):
        async for message in link:
            if what in message:
                return message[what]
    raise AssertionError(f"no {what}")


async def ended(link: ProgramLink) -> None:
    """The end of a connection."""
    async with asyncio.timeout(WITHIN_S):
        while await link.receive() is not None:
            pass


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"program": "short"}, "26 to 64"),
        ({"program": 7}, "26 to 64"),
        ({"kind": "virus"}, "its kind"),
        ({"title": "a\x1b[2J"}, "its kind"),
        ({"pid": 1 << 30}, "its pid"),
        ({"pid": True}, "its pid"),
        ({"offers": {}}, "its offers"),
        ({"offers": [{}] * 600}, "its offers"),
        ({"holding": ["x"]}, "what it holds"),
        ({"holding": 7}, "what it holds"),
        ({"parallel": 0}, "at once"),
        ({"parallel": 10**9}, "at once"),
    ],
)
def test_a_hello_of_another_form_is_refused_with_the_reason(ground: Ground, fields: Message, why: str) -> None:
    async def connect() -> None:
        await ProgramLink.open(Home(str(ground.vps.home)), hello("x", **fields))

    with pytest.raises(RelayError) as refused:
        asyncio.run(connect())
    assert why in refused.value.why and refused.value.hint


def test_offers_that_cannot_be_told_are_named_and_the_others_served(ground: Ground) -> None:
    good, bad = fresh("tool"), fresh("tool")

    async def play() -> Any:
        said = hello(good)
        said["offers"] += [{"name": bad, "definition": {"name": "other"}}, {"name": "a b"}, 7, said["offers"][0]]
        async with await ProgramLink.open(Home(str(ground.vps.home)), said) as link:
            return [await heard(link, "refused") for _ in range(4)]

    refused = asyncio.run(play())
    assert [each["code"] for each in refused] == ["bad_offer", "bad_name", "bad_name", "name_in_use"]
    assert refused[0]["name"] == bad and ground.tool(ground.vps, good) and not ground.tool(ground.vps, bad)


def test_what_is_too_much_for_one_list_is_said_to_be_told_to_nobody(ground: Ground) -> None:
    small, large = fresh("tool"), [fresh("tool") for _ in range(8)]
    said = hello(small)
    for name in large:
        about = {"name": name, "description": secrets.token_hex(30_000)}
        said["offers"].append({"name": name, "definition": about, "share": "test"})

    async def play() -> None:
        async with await ProgramLink.open(Home(str(ground.vps.home)), said) as link:
            await heard(link, "welcome")
            await asyncio.to_thread(wait_until, lambda: ground.tool(ground.laptop, small), WITHIN_S, "it to be told")
            told = [name for name in large if ground.tool(ground.laptop, name)]
            why = {name: (ground.tool(ground.vps, name) or {})["reason"] for name in (small, *large)}
            assert 0 < len(told) < len(large) and {name for name, reason in why.items() if not reason} == {small, *told}
            assert "told to nobody" in why[next(name for name in large if name not in told)]
            await link.send({"offers": []})
            await asyncio.to_thread(
                wait_until, lambda: not ground.tool(ground.vps, small), WITHIN_S, "nothing to be offered"
            )

    asyncio.run(play())


LINES = ("[]", "nonsense", '{"result": 7}', '{"result": {"call": 7}}', '{"offers": 7}', '{"a": NaN}')


@pytest.mark.parametrize("line", LINES)
def test_a_line_that_cannot_be_read_ends_the_connection_with_a_word(ground: Ground, line: str) -> None:
    async def play() -> Any:
        async with await ProgramLink.open(Home(str(ground.vps.home)), hello()) as link:
            link._writer.write(b"%x\r\n%b\n\r\n" % (len(line) + 1, line.encode()))
            refused = await heard(link, "refused")
            await ended(link)
            return refused

    assert asyncio.run(play())["name"] is None


def test_odd_words_are_passed_over(ground: Ground) -> None:
    tool = fresh("tool")

    async def play() -> Any:
        async with await ProgramLink.open(Home(str(ground.vps.home)), hello(tool)) as link:
            for odd in (7, "x" * 99, {"call": 7}, {"call": "a" * 16, "done": "x"}, None):
                for key in ("running", "progress", "what"):
                    await link.send({key: odd})
            asking = asyncio.create_task(asyncio.to_thread(ground.call, tool, on=ground.vps))
            call = await heard(link, "call")
            await link.send({"result": {"call": call["id"], "outcome": "done", "result": {"content": []}}})
            assert await heard(link, "kept") == call["id"]
            return await asking

    assert asyncio.run(play())["state"] == "completed"


def test_a_program_ends_its_own_calls_alone(ground: Ground) -> None:
    tool = fresh("tool")
    program = ground.serve(tool)
    gate = ground.vps.scratch / fresh("gate")
    call = ground.call(tool, wait_s=0, arguments={"do": "wait", "gate": str(gate)})
    ground.reaches(call["id"], "running")

    async def play() -> None:
        async with await ProgramLink.open(Home(str(ground.vps.home)), hello(holding=[call["id"]])) as link:
            assert (await heard(link, "cancel"))["call"] == call["id"]
            await link.send({"result": {"call": call["id"], "outcome": "done", "result": {"content": []}}})
            assert await heard(link, "kept") == call["id"]

    asyncio.run(play())
    assert ground.ended(call["id"], 0)["state"] == "running"
    gate.touch()
    done = ground.ended(call["id"])
    assert done["result"]["content"] and program.lines("ran") == [call["id"]]


def test_a_program_that_comes_twice_is_heard_over_its_last_connection_alone(ground: Ground) -> None:
    tool, said = fresh("tool"), hello()
    said["offers"] = hello(tool)["offers"]

    async def play() -> Any:
        home = Home(str(ground.vps.home))
        first = await ProgramLink.open(home, said)
        await heard(first, "welcome")
        asking = asyncio.create_task(asyncio.to_thread(ground.call, tool, broker="vps"))
        call = await heard(first, "call")
        second = await ProgramLink.open(home, said)  # it does not say that it holds the call
        again = await heard(second, "call")
        assert again["id"] == call["id"]
        await ended(first)
        await first.close()
        await second.send({"result": {"call": call["id"], "outcome": "done", "result": {"content": [1]}}})
        answer = await asking
        await second.close()
        return answer

    assert asyncio.run(play())["result"] == {"content": [1]}


def test_what_a_program_did_not_get_to_say_it_says_over_its_next_connection(ground: Ground) -> None:
    tool, said = fresh("tool"), hello()
    said["offers"] = hello(tool)["offers"]

    async def play() -> Any:
        home = Home(str(ground.vps.home))
        first = await ProgramLink.open(home, said)
        await heard(first, "welcome")
        asking = asyncio.create_task(asyncio.to_thread(ground.call, tool, broker="vps"))
        call = await heard(first, "call")
        await first.send({"running": call["id"]})
        await first.close()
        async with await ProgramLink.open(home, said | {"holding": [call["id"]]}) as second:
            await heard(second, "welcome")
            known = await asyncio.to_thread(ground.ended, call["id"], 0, ground.vps)
            assert known["state"] in ("starting", "running"), known
            for _ in range(2):  # a result that is said twice ends the call once
                await second.send({"result": {"call": call["id"], "outcome": "done", "result": {"content": []}}})
                assert await heard(second, "kept") == call["id"]
            return await asking

    assert asyncio.run(play())["state"] == "completed"
