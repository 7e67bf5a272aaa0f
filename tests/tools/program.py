"""A program that serves runners, as another one than ours might be written: each does what its arguments say.

    python -m tests.tools.program HOME JOURNAL TITLE KIND SHARE NAME...

It writes a line to its journal each time that a call is really begun, and one at each end. It keeps what it runs and
what was not acknowledged, says so when it connects again, and gives every result until it is kept.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
from typing import Any

from relay.api.home import Home
from relay.api.program_link import ProgramLink
from relay.core.errors import Misuse, RelayError

AGAIN_S = 0.05


def definition(name: str, version: str = "1") -> dict[str, Any]:
    """What is offered under a name, as an MCP server would."""
    schema = {"type": "object", "properties": {"do": {"type": "string"}}, "additionalProperties": True}
    about = f"Does it, version {version}."
    return {"name": name, "description": about, "inputSchema": schema, "annotations": {"x": 1.5}}


def is_open(gate: str) -> bool:
    """Whether a file is there."""
    return os.path.exists(gate)


class Program:
    """The process, over all its connections."""

    def __init__(self, home: str, journal: str, title: str, kind: str, share: str, names: list[str]) -> None:
        self.home, self.journal, self.title, self.kind = Home(home), journal, title, kind
        self.share, self.names = share or None, names
        self.version = "1"
        self.id = secrets.token_hex(16)
        self.held: dict[str, dict[str, Any] | None] = {}
        self.cancelled: dict[str, asyncio.Event] = {}
        self.link: ProgramLink | None = None
        self.work: set[asyncio.Task[None]] = set()

    def note(self, what: str, call: str) -> None:
        """Write a line that outlives a kill."""
        handle = os.open(self.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, f"{what} {call}\n".encode())
        os.close(handle)

    def offers(self) -> list[dict[str, Any]]:
        """What it offers."""
        told = {each: definition(each, self.version) for each in self.names}
        return [{"name": name, "definition": each, "share": self.share} for name, each in told.items()]

    async def run(self) -> None:
        """Until it is told to go away."""
        while True:
            try:
                await self.connected()
            except Misuse:
                raise
            except RelayError:
                await asyncio.sleep(AGAIN_S)
            finally:
                self.link = None

    async def connected(self) -> None:
        """One connection."""
        hello = {"program": self.id, "kind": self.kind, "title": self.title, "pid": os.getpid(), "started": 0.0}
        hello |= {"offers": self.offers(), "holding": list(self.held)}
        hello |= {"parallel": int(os.environ.get("PARALLEL", "16"))}
        async with await ProgramLink.open(self.home, hello) as link:
            self.link = link
            for result in list(self.held.values()):
                if result is not None:
                    await link.send({"result": result})
            async for message in link:
                await self.heard(message)

    async def heard(self, message: dict[str, Any]) -> None:
        """One message of the broker."""
        if "call" in message:
            call = message["call"]
            self.note("twice" if call["id"] in self.held else "given", call["id"])
            self.held[call["id"]] = None
            self.cancelled[call["id"]] = asyncio.Event()
            task = asyncio.get_running_loop().create_task(self.called(call))
            self.work.add(task)
            task.add_done_callback(self.work.discard)
        elif "kept" in message:
            self.held.pop(message["kept"], None)
        elif "cancel" in message:
            self.note("cancel", message["cancel"]["call"])
            self.cancelled.setdefault(message["cancel"]["call"], asyncio.Event()).set()
        elif "refused" in message:
            self.note(f"refused:{message['refused']['code']}", str(message["refused"]["name"]))
        elif "end" in message:
            self.note("end", message["end"].replace(" ", "_"))
            sys.exit(0)

    async def say(self, message: dict[str, Any]) -> None:
        """Say something where it is connected; a result is said again by `connected`."""
        if self.link is not None:
            try:
                await self.link.send(message)
            except RelayError:
                self.link = None

    async def called(self, call: dict[str, Any]) -> None:
        """Run one call."""
        asked, name = call["arguments"], call["id"]
        self.die(asked, "given")
        self.note("ran", name)
        self.die(asked, "entered")
        await self.say({"running": name})
        await asyncio.sleep(0)
        self.die(asked, "running")
        result = await self.done(asked, name)
        self.note("ended", name)
        self.die(asked, "ended")
        self.held[name] = result
        await self.say({"result": result})
        self.die(asked, "told")

    def die(self, asked: dict[str, Any], step: str) -> None:
        """End by a signal that nobody can catch, where the arguments say so."""
        if asked.get("die") == step:
            os.kill(os.getpid(), signal.SIGKILL)

    async def done(self, asked: dict[str, Any], name: str) -> dict[str, Any]:
        """What comes of a call."""
        do = asked.get("do", "echo")
        if do == "progress":
            for n in range(3):
                await self.say({"progress": {"call": name, "done": n, "of": 3, "words": f"step {n}"}})
        if do in ("wait", "progress"):
            while not is_open(asked["gate"]):
                if asked.get("obey") and self.cancelled[name].is_set():
                    return {"call": name, "outcome": "cancelled", "result": None, "error": None}
                await asyncio.sleep(0.02)
        if do == "change":
            self.version = "2"
            await self.say({"offers": self.offers()})
        text = "x" * asked["size"] if do == "big" else json.dumps(asked, sort_keys=True)
        result = {"content": [{"type": "text", "text": text}]}
        said: dict[str, Any] = {"call": name, "outcome": "done", "result": result}
        if do == "raise":
            said |= {"outcome": "error", "result": None, "error": {"code": "ValueError", "message": "no such row"}}
        if do == "iserror":
            said["result"] |= {"isError": True}
        if do == "status":
            said["result"] |= {"structuredContent": {"status": "failed"}}
        if do == "approval":
            said["outcome"] = "awaiting_approval"
        if do == "say":
            said |= asked["said"]
        return said


def main() -> None:
    """Be it."""
    home, journal, title, kind, share, *names = sys.argv[1:]
    asyncio.run(Program(home, journal, title, kind, share, names).run())


if __name__ == "__main__":
    main()
