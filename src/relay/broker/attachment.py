"""One who is attached to a task: what it sees, what it types, its seat.

What comes one by one goes straight on, from the frame that brought it to the task's door and back: no queue, no task.
Only what cannot go at once waits for the tasks below, which go on in the same order.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from relay.broker import log_pieces
from relay.broker.acknowledging import Acknowledging
from relay.broker.asking import Asked, size_of
from relay.broker.attempt_logs import NOTE
from relay.broker.channel import WINDOW, BrokeOff, Conversation, Message
from relay.broker.direct_way import DirectWay, listens_at
from relay.broker.rights import ATTACH, SEND
from relay.core.errors import PeerFault, RelayError
from relay.core.ids import BrokerId
from relay.core.log_places import attempt_of, offset_of, start_of
from relay.core.states import TERMINAL
from relay.core.terminal_questions import without_stale_questions
from relay.spawn import door
from relay.spawn.transcript import Chunk
from relay.store.spawn_rows import SpawnRow

if TYPE_CHECKING:
    from relay.broker.attaching import AttachServer

RECALLED = 16 * 1024  # bytes of what was shown before that a new viewer sees
VIEW = "view"
MOST_LOOK, MOST_TYPE = 16, 28  # at its door, which has 64 places: each may come by a direct way too, and others send


def _as_of_now(chunk: Chunk) -> bytes:
    return without_stale_questions(chunk.data, chunk.at_ms, time.time_ns() // 1_000_000)


class Attachment:
    """One viewer, who may drive.

    Args:
        server: what it needs of its machine.
        channel: to the viewer.
        origin: the viewer's broker.
        row: the spawn.
        asked: what the viewer asked for.
    """

    def __init__(
        self, server: AttachServer, channel: Conversation, origin: BrokerId, row: SpawnRow, asked: Asked
    ) -> None:
        self.row, self.is_over = row, False  # the task is
        self._server, self._channel, self.origin, self._asked = server, channel, origin, asked
        self._drives = False
        self._task: door.Door | None = None
        self._may_type, self._size = asyncio.Event(), asked.size
        self._said: asyncio.Queue[Message] = asyncio.Queue(WINDOW)
        self._typed_soon = Acknowledging(lambda message: self._do(self._channel.send(message)))
        self._allowed_on: object = ()  # what it was found to be allowed to type on, last
        self._is_idle = False  # it waits for something to be typed
        self._told: set[asyncio.Task[None]] = set()
        self._seat_words = asyncio.Lock()  # in their order: after the last one the viewer sends, or does not
        self.title = server.label(asked.who, origin)
        address = listens_at(channel.ends, server.listens()) if asked.direct and server.listens else None
        self._direct = DirectWay(channel, address, asked.source, lambda: self._drives and self.may_drive())

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
        self._channel.at_once = self._heed_at_once
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
        finally:
            self._channel.at_once = None
            self._typed_soon.over()
            for task in (*tasks, *self._told):
                task.cancel()
            await asyncio.gather(*tasks, *self._told, return_exceptions=True)

    async def _listen(self) -> None:
        while (message := await self._channel.receive()) is not None:
            if not self._direct.heeds(message):
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
            at_door = contextlib.nullcontext() if self._task else self._server.at_door(row.id, MOST_LOOK)
            with contextlib.suppress(door.DoorShut), at_door:
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

        def show_at_once(shown: door.Shown) -> bool:
            nonlocal at
            after = _following(shown, at)
            if after is None or not self._channel.send_now(self._output(shown.data, start + after)):
                return False
            self._typed_soon.told()
            at = after
            return True

        # over the door that it types into, where it does: the shim says then at once what was taken and what is shown
        opened = door.opened(log.parent) if self._task is None else contextlib.nullcontext(self._task)
        async with opened as watching, self._direct.along(watching, self.row):
            watching.at_once = show_at_once
            again: int | None = start + at
            while again is not None:
                at = again - start
                with contextlib.suppress(door.DoorShut):
                    async for shown in watching.watch():
                        after = _following(shown, at)
                        if after is not None:
                            at = after
                            await self._out(shown.data, start + at)
                        elif shown.end > at or not shown.end:
                            at = await self._catch_up(log, start, at)
                again = await self._direct.back()
        return start + at

    async def _catch_up(self, log: Path, start: int, at: int) -> int:
        while found := await asyncio.to_thread(log_pieces.read, log, at):
            for chunk in found:
                await self._out(_as_of_now(chunk), start + chunk.next_offset, chunk.stream)
                at = chunk.next_offset
        return at

    async def _out(self, data: bytes, following: int, stream: int = 0) -> None:
        message = self._output(data, following, stream)
        self._typed_soon.told()
        await self._channel.send(message)

    def _output(self, data: bytes, following: int, stream: int = 0) -> Message:
        return {"k": "out", "data": data, "next": following, "stream": stream} | self._typed_soon.along

    # what it types

    async def _type(self) -> None:
        while True:
            self._is_idle = True
            message = await self._said.get()
            self._is_idle = False
            await self._may_type.wait()  # what is typed before an attempt runs is for that one
            await self._heed(message)

    @contextlib.asynccontextmanager
    async def _typing_into(self, row: SpawnRow) -> AsyncIterator[None]:
        """Let what is typed reach an attempt while the block runs."""
        async with contextlib.AsyncExitStack() as stack:
            if self._wants_to_type:  # also who waits for the driver to leave
                with contextlib.suppress(door.DoorShut):
                    stack.enter_context(self._server.at_door(row.id, MOST_TYPE))
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
        if self._type_now(message):
            return
        kind, n, data = message.get("k"), cast("int", message.get("n")), message.get("data", b"")
        if kind == "size":
            self._size = size_of(message)
            with contextlib.suppress(door.DoorShut):
                await self._resize(self._size)
            return
        if kind not in ("in", "end") or not _is_typed(n, data):
            raise PeerFault("a message was refused", why="it has another form")
        if await self._typed(kind, n, data):
            self._typed_soon.soon(n)
        else:
            await self._channel.send({"k": "typed", "n": n, "taken": False})

    def _heed_at_once(self, message: Message) -> bool:
        is_idle = self._is_idle and self._said.empty() and self._may_type.is_set()
        return is_idle and self._type_now(message)

    def _type_now(self, message: Message) -> bool:
        """Type what is in order and may be typed, without waiting; all else is for `_heed`, which says why not."""
        n: Any = message.get("n")
        data: Any = message.get("data")
        if message.get("k") != "in" or not _is_typed(n, data):
            return False
        if self._task is None or not self._drives or not self.may_drive():
            return False
        return self._task.feed_now(n, data, self._asked.source, partial(self._answer, n))

    def _answer(self, n: int, takes: bool) -> None:
        if takes:
            self._typed_soon.soon(n)
        else:
            self._do(self._channel.send({"k": "typed", "n": n, "taken": False}))

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

    # its seat

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
        rights = self._server.rights
        basis = rights.basis(self.origin), self._verb, self.row.agent
        if basis == self._allowed_on:
            return True
        if not rights.may(self.origin, self._verb, self.row):
            return False
        self._allowed_on = basis
        return True

    def replaced_by(self, title: str) -> None:
        """Another drives now."""
        self._drives = False
        self._direct.changed()
        self._do(self._tell_seat({"driver": title}))

    def given_back(self) -> None:
        """It drives again: who did has left."""
        self._drives = True
        self._direct.changed()
        self._do(self._take_seat())

    async def _take_seat(self) -> None:
        await self._tell_seat({"driver": self.title, "drives": True})
        with contextlib.suppress(door.DoorShut):
            await self._resize(self._size)

    async def _tell_seat(self, seat: Message) -> None:
        async with self._seat_words:
            await self._channel.send({"k": "driver"} | seat)

    def superseded(self) -> None:
        """The same one is attached over another connection: maybe one it gave up, so that it is told of no end."""
        self._drives = False
        self._direct.changed()
        self._channel.close(BrokeOff("the connection broke off", why="it is made anew", hint="attach again"))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(_unless_it_ended(work))
        self._told.add(task)
        task.add_done_callback(self._told.discard)


def _is_typed(n: Any, data: Any) -> bool:
    return type(n) is int and 0 < n < 2**53 and type(data) is bytes


def _following(shown: door.Shown, at: int) -> int | None:
    """Where the log goes on after what is shown, where that follows on `at`; None where something is between."""
    if not shown.data or shown.start not in (at, shown.end):
        return None
    return at if shown.start == shown.end else shown.end


async def _unless_it_ended(work: Coroutine[Any, Any, None]) -> None:
    with contextlib.suppress(RelayError):
        await work
