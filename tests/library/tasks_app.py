"""A program whose runners take a task: `python -m tests.library.tasks_app HOME FOLDER`."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import relay

FOLDER = Path(sys.argv[2])


def _note(key: str, word: str) -> None:
    with (FOLDER / f"{key}.ran").open("a") as file:
        file.write(f"{word}\n")


@relay.runner("write")
async def write(task: str, cwd: str, call: relay.Call) -> str:
    """Write something, in two steps."""
    _note(task, "began")
    call.progress(1, 2, "half of it")
    try:
        while not (FOLDER / f"{task}.go").exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.02)
    except asyncio.CancelledError:
        _note(task, "stopped")
        raise
    _note(task, "ended")
    return f"{task} is written in {cwd}"


@relay.runner("refuse")
async def refuse(task: str) -> relay.Failed:
    """Do not do it."""
    return relay.Failed(f"no: {task}")


@relay.runner("ask.first")
async def ask_first(task: str) -> relay.AwaitingApproval:
    """Have a person approve it."""
    return relay.AwaitingApproval(f"shall I {task}?")


@relay.runner("secret")
async def secret(task: str) -> None:
    """Not for everybody."""
    _note("secret", "ran")


@relay.runner("numbers")
async def numbers(first: int, second: int) -> int:
    """Takes no task."""
    return first + second


async def main() -> None:
    """Serve until SIGTERM."""
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    async with relay.serving(home=sys.argv[1], title="tasks"):
        (FOLDER / "served").touch()
        await over.wait()


if __name__ == "__main__":
    asyncio.run(main())
