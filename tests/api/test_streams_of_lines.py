"""A stream of lines whose reader leaves before the first: nothing goes on for nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request

from relay.broker.control.answers import stream


async def test_a_reader_that_leaves_before_the_first_line_ends_it() -> None:
    left, ended = asyncio.Event(), asyncio.Event()

    async def receive() -> dict[str, Any]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def never() -> AsyncIterator[bytes]:
        try:
            await asyncio.Event().wait()
            yield b""
        finally:
            ended.set()

    answering = asyncio.ensure_future(stream(never(), reader=Request({"type": "http"}, receive)))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not answering.done() and not ended.is_set()
    left.set()
    async with asyncio.timeout(10):
        assert (await answering).body == b""
    assert ended.is_set()


async def test_a_first_line_begins_the_answer() -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError("it is cancelled before")

    async def lines() -> AsyncIterator[bytes]:
        yield b"one\n"
        yield b"two\n"

    answer: Any = await stream(lines(), reader=Request({"type": "http"}, receive))
    assert [each async for each in answer.body_iterator] == [b"one\n", b"two\n"]
