"""A group of tasks of which one fails leaves the task around it able to wait with a timeout."""

from __future__ import annotations

import asyncio

import pytest

from relay.broker.together import Together


async def _failing() -> None:
    await asyncio.sleep(0)
    raise ValueError


async def test_a_timeout_after_a_failure_is_a_timeout() -> None:
    task = asyncio.current_task()
    assert task is not None
    for _ in range(2):
        with pytest.raises(ExceptionGroup):
            async with Together() as group:
                group.create_task(_failing())
                group.create_task(asyncio.sleep(60))
        assert not task.cancelling()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.sleep(60)


async def test_who_is_cancelled_is() -> None:
    async def waits() -> None:
        async with Together() as group:
            group.create_task(asyncio.sleep(60))

    waiting = asyncio.create_task(waits())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
