"""Serving `relay attach`: a task's output as it comes, and what is typed, to its terminal or its standard input.

    hello ─ what there is to attach to, and who drives
    out, typed, driver ◄─┐
                         ├─ until the task or the other side ends
    in, end, size ───────┘

Any number may look; one drives (`seats`). Who asks to drive takes over from who did, who is told by whom, and drives
again when that one leaves. What is typed carries a source and a number down to the shim, so that what is sent again
after a broken connection is typed once.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

from relay.broker import log_pieces
from relay.broker.asking import Asked, size_of
from relay.broker.attempt_logs import NOTE
from relay.broker.channel import WINDOW, Conversation, Message
from relay.broker.logs import LocalLogs
from relay.broker.rights import ATTACH, SEND, Rights
from relay.broker.seats import Seats
from relay.core.errors import PeerFault, RelayError
from relay.core.ids import BrokerId
from relay.core.log_places import attempt_of, offset_of, start_of
from relay.core.states import IN_HAND, TERMINAL
from relay.core.terminal_questions import without_stale_questions
from relay.spawn import door
from relay.spawn.supervisor import Supervisor
from relay.spawn.transcript import Chunk
from relay.store.spawn_rows import SpawnRow

RECALLED = 16 * 1024
"""How much of what was shown before a new viewer sees, bytes."""
ECHO_S = 0.05
"""How long an acknowledgement waits for output that takes it along."""
VIEW = "view"


def _as_of_now(chunk: Chunk) -> bytes:
    return without_stale_questions(chunk.data, chunk.at_ms, time.time_ns() // 1_000_000)


class AttachServer:
    """Serves those who attach to tasks of this machine.

    Args:
        rights: who may.
        supervisor: where the tasks are.
        logs: what they have written.
        name: a broker's, for people.
    """

    def __init__(
        self, rights: Rights, supervisor: Supervisor, logs: LocalLogs, name: Callable[[BrokerId], str]
    ) -> None:
        self._rights = rights
        self._supervisor = supervisor
        self._logs = logs
        self._name = name
        self.seats = Seats()

    async def serve(self, channel: Conversation, origin: BrokerId, spawn: str, ask: Message) -> None:
        """Serve one viewer until the task has ended, or the viewer leaves.

        Raises:
            RelayError: it may not, or the connection broke.
        """
        asked = Asked.read(ask)
        row = await self._rights.row(spawn)
        attachment = _Attachment(self, channel, origin, row, asked)
        try:
            await attachment.admitted()
            await attachment.run()
        finally:
            self.seats.leave(spawn, attachment, is_over=attachment.is_over)

    # what an attachment needs

    @property
    def rights(self) -> Rights:
        """Who may do what."""
        return self._rights

    @property
    def logs(self) -> LocalLogs:
        """The transcripts."""
        return self._logs

    def label(self, who: str, origin: BrokerId) -> str:
        """How the others read who drives."""
        return f"{who}@{self._name(origin)}" if who else self._name(origin)

    async def begun(self, spawn: str) -> SpawnRow:
        """The spawn, once it runs or has ended."""
        grown = self._supervisor.growth.follow(spawn)
        try:
            while True:
                grown.clear()
                row = await self._rights.row(spawn)
                if row.state in IN_HAND or row.state in TERMINAL:
                    return row
                await grown.wait()
        finally:
            self._supervisor.growth.forget(spawn, grown)

    def log_of(self, row: SpawnRow) -> Path:
        """Its transcript."""
        return self._supervisor.log_of(row.id, row.attempt)


class _Attachment:
    """One viewer, who may drive."""

    def __init__(
        self, server: AttachServer, channel: Conversation, origin: BrokerId, row: SpawnRow, asked: Asked
    ) -> None:
        self.row = row
        self.is_over = False  # the task is
        self._server = server
        self._channel = channel
        self.origin = origin
        self._asked = asked
        self._drives = False
        self._task: door.Door | None = None
        self._may_type = asyncio.Event()
        self._size = asked.size
        self._said: asyncio.Queue[Message] = asyncio.Queue(WINDOW)
        self._typed_to: int | None = None
        self._told: set[asyncio.Task[None]] = set()
        self.title = server.label(asked.who, origin)

    @property
    def _takes_input(self) -> bool:
        return self.row.wishes.tty or self.row.wishes.stdin

    @property
    def _wants_to_type(self) -> bool:
        return self._asked.drive and self._takes_input

    @property
    def _verb(self) -> str:
        return ATTACH if self.row.wishes.tty else SEND

    async def admitted(self) -> None:
        """Check what it asked for, and answer."""
        rights, detail = self._server.rights, f"{self.row.id} {self.row.name}"
        await rights.ask(self.origin, VIEW, self.row, detail)
        if self._wants_to_type:
            await rights.ask(self.origin, self._verb, self.row, detail)
            self._drives = self._server.seats.come(self.row.id, self)
        await self._channel.send(self._hello())

    def _hello(self) -> Message:
        driver = self._server.seats.driver(self.row.id)
        return {
            "k": "hello",
            "terminal": self.row.wishes.tty,
            "input": self._takes_input,
            "drives": self._drives,
            "driver": driver.title if driver is not None else None,
            "state": str(self.row.state),
            "reason": self.row.reason,
        }

    async def run(self) -> None:
        """Show and type until one of the two is over, or the viewer leaves."""
        tasks = [asyncio.ensure_future(work) for work in (self._show(), self._type(), self._listen())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
        finally:
            for task in (*tasks, *self._told):
                task.cancel()
            await asyncio.gather(*tasks, *self._told, return_exceptions=True)

    async def _listen(self) -> None:
        while (message := await self._channel.receive()) is not None:
            await self._said.put(message)

    # what it sees

    async def _show(self) -> None:
        """All attempts, each from its first word to its last, until the task has ended."""
        place, over = self._asked.offset, False
        while not over:
            row = self.row = await self._server.begun(self.row.id)
            async with self._typing_into(row):
                place, over = await self._follow(row, place)
        self.is_over = True

    async def _follow(self, row: SpawnRow, place: int | None) -> tuple[int, bool]:
        """Show one attempt; where the next one begins, and whether there is none."""
        log = self._server.log_of(row)
        if place is None:
            place = start_of(row.attempt) + await asyncio.to_thread(log_pieces.recalled, log, RECALLED)
        if self._takes_input and row.state not in TERMINAL and attempt_of(place) == row.attempt:
            with contextlib.suppress(door.DoorShut):
                place = await self._watch(log, place)
        async with contextlib.aclosing(self._server.logs.read(row.id, place, None, follow=True)) as pieces:  # type: ignore[type-var]
            async for found in pieces:
                for chunk in found:
                    await self._out(_as_of_now(chunk), chunk.next_offset, chunk.stream)
                place = found[-1].next_offset
                if found[-1].stream == NOTE:
                    return place, False
        return place, True

    async def _watch(self, log: Path, place: int) -> int:
        """Show what the shim says it shows, as long as it is in order with the log; the log has what is missing."""
        start, at = place - offset_of(place), offset_of(place)
        async with door.opened(log.parent) as watching:
            async for shown in watching.watch():
                if shown.data and shown.start == shown.end:
                    await self._out(shown.data, start + at)
                elif shown.data and shown.start == at:
                    at = shown.end
                    await self._out(shown.data, start + at)
                elif shown.end > at or not shown.end:
                    at = await self._catch_up(log, start, at)
        return start + at

    async def _catch_up(self, log: Path, start: int, at: int) -> int:
        while found := await asyncio.to_thread(log_pieces.read, log, at):
            for chunk in found:
                await self._out(_as_of_now(chunk), start + chunk.next_offset, chunk.stream)
                at = chunk.next_offset
        return at

    async def _out(self, data: bytes, following: int, stream: int = 0) -> None:
        typed, self._typed_to = self._typed_to, None
        echo = {} if typed is None else {"typed": typed}
        await self._channel.send({"k": "out", "data": data, "next": following, "stream": stream} | echo)

    # what it types

    async def _type(self) -> None:
        while True:
            message = await self._said.get()
            await self._may_type.wait()  # what is typed before an attempt runs is for that one
            await self._heed(message)

    @contextlib.asynccontextmanager
    async def _typing_into(self, row: SpawnRow) -> AsyncIterator[None]:
        """Let what is typed reach an attempt while the block runs."""
        async with contextlib.AsyncExitStack() as stack:
            if self._wants_to_type:  # also who waits for the driver to leave
                with contextlib.suppress(door.DoorShut):
                    self._task = await stack.enter_async_context(door.opened(self._server.log_of(row).parent))
                    await self._resize(self._size)
            self._may_type.set()
            try:
                yield
            finally:
                self._may_type.clear()
                self._task = None

    async def _resize(self, size: tuple[int, int] | None) -> None:
        if size is not None and self._task is not None and self._drives:
            await self._task.resize(*size)

    async def _heed(self, message: Message) -> None:
        kind, n, data = message.get("k"), message.get("n"), message.get("data", b"")
        if kind == "size":
            self._size = size_of(message)
            with contextlib.suppress(door.DoorShut):
                await self._resize(self._size)
            return
        if kind not in ("in", "end") or type(n) is not int or not 0 < n < 2**53 or type(data) is not bytes:
            raise PeerFault("a message was refused", why="it has another form")
        if await self._typed(kind, n, data):
            self._acknowledge_soon(n)
        else:
            await self._channel.send({"k": "typed", "n": n, "taken": False})

    def _acknowledge_soon(self, n: int) -> None:
        """The echo brings it along, or it goes by itself: an envelope of its own would stand in the echo's way."""
        if self._typed_to is None:
            self._do(self._acknowledge())
        self._typed_to = n

    async def _acknowledge(self) -> None:
        await asyncio.sleep(ECHO_S)
        typed, self._typed_to = self._typed_to, None
        if typed is not None:
            await self._channel.send({"k": "typed", "n": typed, "taken": True})

    async def _typed(self, kind: str, n: int, data: bytes) -> bool:
        if self._task is None or not self._drives:
            return False
        self._server.rights.check(self.origin, self._verb, self.row)
        try:
            if kind == "end":
                await self._task.end(n, self._asked.source)
            else:
                await self._task.feed(n, data, self._asked.source)
        except door.DoorShut:
            return False
        return True

    @property
    def source(self) -> bytes:
        """Who it is, over all its connections."""
        return self._asked.source

    @property
    def goes_on(self) -> bool:
        """Whether it was attached before."""
        return self._asked.again

    def may_drive(self) -> bool:
        """Whether it may type, as it is granted now."""
        return self._server.rights.may(self.origin, self._verb, self.row)

    def replaced_by(self, title: str) -> None:
        """Another drives now."""
        self._drives = False
        self._do(self._channel.send({"k": "driver", "driver": title}))

    def given_back(self) -> None:
        """It drives again: who did has left."""
        self._drives = True
        self._do(self._take_seat())

    async def _take_seat(self) -> None:
        await self._channel.send({"k": "driver", "driver": self.title, "drives": True})
        with contextlib.suppress(door.DoorShut):
            await self._resize(self._size)

    def superseded(self) -> None:
        """The same one is attached over another connection."""
        self._drives = False
        self._channel.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(_unless_it_ended(work))
        self._told.add(task)
        task.add_done_callback(self._told.discard)


async def _unless_it_ended(work: Coroutine[Any, Any, None]) -> None:
    with contextlib.suppress(RelayError):
        await work
