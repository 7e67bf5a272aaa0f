"""A program of somebody's own that serves runners beside what it is for: `python -m tests.library.app HOME FOLDER`.

What it is for is a server on a socket of its own, which answers each line with it in capitals. Each run of a runner
leaves a line in a file of FOLDER, and what waits there is let go by a file.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import relay

FOLDER = Path(sys.argv[2])
SHOUTS = "shouts.sock"


def _note(key: str, word: str) -> None:
    with (FOLDER / f"{key}.ran").open("a") as file:
        file.write(f"{word}\n")


async def _until_let_go(key: str) -> None:
    while not (FOLDER / f"{key}.go").exists():  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0.02)


@relay.runner("greet", share=True)
async def greet(name: str, call: relay.Call, loud: bool = False) -> dict[str, Any]:
    """Greet somebody."""
    words = f"hello {name}"
    return {"words": words.upper() if loud else words, "from": call.origin.name, "by": call.requested_by}


@relay.runner("step", share=True)
async def step(key: str, call: relay.Call) -> str:
    """Note that it began, wait to be let go, note that it ended."""
    _note(key, "began")
    call.progress(1, 2, "waiting to be let go")
    await _until_let_go(key)
    _note(key, "ended")
    return f"{key} is done"


@relay.runner("narrow", share=True, at_once=1)
async def narrow(key: str) -> str:
    """As `step`, one at a time."""
    _note(key, "began")
    await _until_let_go(key)
    return key


@relay.runner("sends", share=True)
async def sends(key: str) -> dict[str, str]:
    """Say that it was sent, and send it later."""

    async def later() -> None:
        await _until_let_go(key)
        _note(key, "sent")

    asyncio.create_task(later())  # noqa: RUF006 - many a program does it
    return {"status": "sent"}


@relay.runner("fails", share=True)
async def fails(how: str) -> Any:
    """Fail in this way."""
    if how == "raises":
        raise ValueError("there is no such invoice")
    if how == "returns":
        return relay.Failed("the invoice is locked")
    return {"status": "failed", "message": "the invoice is paid already"}


@relay.runner("hangs", share=True)
async def hangs(key: str) -> None:
    """Never end; note that it was cancelled."""
    _note(key, "began")
    try:
        await asyncio.Event().wait()
    finally:
        _note(key, "cancelled")


@relay.runner("forks", share=True)
async def forks(key: str) -> None:
    """Leave a process behind that holds all that this one has open; note its pid, and never end."""
    child = os.fork()
    if not child:
        signal.pause()
        os._exit(0)
    _note(key, str(child))
    await asyncio.Event().wait()


@relay.runner("asks", share=True)
async def asks() -> relay.AwaitingApproval:
    """Have something ready that a person has to approve."""
    return relay.AwaitingApproval("pay invoice 7?", {"invoice": 7})


@relay.runner("large", share=True)
async def large(bytes: int) -> str:
    """A result of so many letters."""
    return "x" * bytes


async def _shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line.upper())
    writer.close()


async def main() -> None:
    """Serve both, until SIGTERM, which is this program's own to handle."""
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    async with (
        await asyncio.start_unix_server(_shout, FOLDER / SHOUTS),
        relay.serving(home=sys.argv[1], title="invoices"),
    ):
        (FOLDER / "served").touch()
        await over.wait()


if __name__ == "__main__":
    asyncio.run(main())
