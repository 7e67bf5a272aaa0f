"""The pipes of one MCP server, as the streams that the protocol's package reads and writes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sys
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import anyio
from mcp.shared.message import SessionMessage

from relay.mcp_server.host import keeper
from relay.mcp_server.host.keeper import OF, RUN
from relay.mcp_server.host.messages import message_of

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from relay.mcp_server.host.log import ServerLog

MAX_LINE = 32 << 20
"""A result that travels is 16 MiB at most; twice that is written by nobody who means it."""
CLOSE_S, END_S, NOTE_S = 1.0, 6.0, 0.5
DEAF_S = 1.0
"""Who ends closes its input as well: who still lives after this hears nothing more."""
MOST_PASSED_OVER, MOST_NOTED = 10_000, 100
"""Lines in a row that are no messages: after so many it is no server of the protocol; so many of them are logged."""
KEEPER = (sys.executable, "-I", keeper.__file__)


class Pipes:
    """One run of a server.

    Args:
        process: its keeper.
        lifeline: the descriptor whose end ends the server.
        log: where goes what it says beside the protocol.

    Attributes:
        read, write: the messages.
        closed: set when nothing more comes of it.
        fault: why nothing more is read of it, where it has not ended.
    """

    fault = ""

    def __init__(self, process: Process, lifeline: int, log: ServerLog) -> None:
        self._process = process
        self._lifeline: int | None = lifeline
        self._log = log
        self.closed = asyncio.Event()
        self._in, self.read = _stream()
        self.write, self._out = _stream()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(each) for each in (self._reading(), self._writing(), self._noting())]
        self._deaf = loop.create_task(self._until_deaf())

    @property
    def status(self) -> int | None:
        """How it ended, as a shell has it; None while it runs."""
        return self._process.returncode

    async def ended(self) -> int:
        """Its exit status, once it and its whole tree have ended."""
        return await self._process.wait()

    async def close(self) -> None:
        """End it: its input first, then the tree."""
        assert self._process.stdin is not None
        self._deaf.cancel()
        self._process.stdin.close()
        self._tasks[0].cancel()
        await asyncio.gather(self._tasks[0], return_exceptions=True)
        self._tasks[0] = asyncio.get_running_loop().create_task(self._draining())
        await self._gone(CLOSE_S)
        self._let_go()
        if not await self._gone(END_S):
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        await asyncio.wait([self._tasks[0], self._tasks[-1]], timeout=NOTE_S)  # its last words say why
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, self._deaf, return_exceptions=True)
        for stream in (self._in, self.read, self.write, self._out):
            stream.close()

    def _let_go(self) -> None:
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None

    async def _gone(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._process.wait()
        except TimeoutError:
            return False
        return True

    async def _reading(self) -> None:
        assert self._process.stdout is not None
        passed_over = 0
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError), self._in:
            while passed_over < MOST_PASSED_OVER and (line := await self._line(self._process.stdout)):
                message = message_of(line)
                if message is not None:
                    passed_over = 0
                    await self._in.send(message)
                    continue
                passed_over += 1
                if passed_over <= MOST_NOTED:
                    self._log.write(b"not the protocol, and passed over: " + line[:200].rstrip() + b"\n")
                await asyncio.sleep(0)  # there may be no end of them, and others are served by this process
            if passed_over == MOST_PASSED_OVER:
                self.fault = f"it wrote {MOST_PASSED_OVER:,} lines that are not the protocol"
        self.closed.set()

    async def _draining(self) -> None:
        """Read to the end what nobody wants any more: without that asyncio does not see the end of the process."""
        assert self._process.stdout is not None
        while await self._process.stdout.read(1 << 20):
            continue

    async def _line(self, stream: asyncio.StreamReader) -> bytes:
        try:
            return await stream.readline()
        except ValueError:
            self._log.write(f"a line of more than {MAX_LINE >> 20} MiB: nothing more is read of it\n".encode())
            return b""

    async def _writing(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError, anyio.ClosedResourceError), self._out:
            async for message in self._out:
                text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                self._process.stdin.write(text.encode() + b"\n")
                await self._process.stdin.drain()

    async def _until_deaf(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):
            await self._process.stdin.wait_closed()
        if not await self._gone(DEAF_S):
            self.fault = "it closed its input, and did not end"
            self.closed.set()

    async def _noting(self) -> None:
        assert self._process.stderr is not None
        while data := await self._process.stderr.read(65536):
            self._log.write(data)


def _stream() -> tuple[MemoryObjectSendStream[SessionMessage], MemoryObjectReceiveStream[SessionMessage]]:
    return anyio.create_memory_object_stream[SessionMessage](0)


async def started(command: Sequence[str], environment: Mapping[str, str], home: str, log: ServerLog) -> Pipes:
    """Start a server.

    Args:
        command: its program and arguments.
        environment: all that it has of it; the marks of this run are added.
        home: the folder of the broker that shares it.
        log: for what it writes to its standard error.

    Raises:
        OSError: no process could be made.
    """
    ours, lifeline = os.pipe()  # closed by the end of this process too
    try:
        process = await asyncio.create_subprocess_exec(
            *KEEPER,
            str(ours),
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**environment, OF: home, RUN: secrets.token_hex(8)},
            cwd=environment.get("HOME", "/"),
            pass_fds=(ours,),
            start_new_session=True,
            limit=MAX_LINE,
        )
    except BaseException:
        os.close(lifeline)
        raise
    finally:
        os.close(ours)
    return Pipes(process, lifeline, log)
