"""Serving `relay attach`: a task's output as it comes, and what is typed, to its terminal or its standard input.

    hello ─ what there is to attach to, and who drives
    out, typed, driver ◄─┐
                         ├─ until the task or the other side ends
    in, end, size ───────┘

Beside it a direct way may carry what is typed and shown (`direct_way`).

Any number may look; one drives (`seats`). Who asks to drive takes over from who did, who is told by whom, and drives
again when that one leaves. What is typed carries a source and a number down to the shim, so that what is sent again
after a broken connection is typed once.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from relay.broker.asking import Asked
from relay.broker.attachment import VIEW, Attachment
from relay.broker.channel import Conversation, Message
from relay.broker.logs import LocalLogs
from relay.broker.rights import Rights
from relay.broker.seats import Seats
from relay.core.ids import BrokerId
from relay.core.states import IN_HAND, TERMINAL
from relay.spawn.door import DoorShut
from relay.spawn.supervisor import Supervisor
from relay.store.spawn_rows import SpawnRow


class AttachServer:
    """Serves those who attach to tasks of this machine.

    Args:
        rights: who may.
        supervisor: where the tasks are.
        logs: what they have written.
        name: a broker's, for people.
        listens: where this broker does, `host:port` each; None where there are to be no direct ways.
    """

    def __init__(
        self,
        rights: Rights,
        supervisor: Supervisor,
        logs: LocalLogs,
        name: Callable[[BrokerId], str],
        listens: Callable[[], tuple[str, ...]] | None,
    ) -> None:
        self._rights = rights
        self._supervisor = supervisor
        self._logs = logs
        self._name = name
        self.listens = listens
        self.seats = Seats()
        self._at_door: Counter[str] = Counter()

    async def serve(self, channel: Conversation, origin: BrokerId, spawn: str, ask: Message) -> None:
        """Serve one viewer until the task has ended, or the viewer leaves.

        Raises:
            RelayError: it may not, or the connection broke.
        """
        asked = Asked.read(ask)
        row = await self._rights.row(spawn)
        attachment = Attachment(self, channel, origin, row, asked)
        try:
            with self._rights.served(channel, origin, VIEW, row):
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

    @contextlib.contextmanager
    def at_door(self, spawn: str, most: int) -> Iterator[None]:
        """One of so many places at a task's door, for the length of a block.

        Raises:
            DoorShut: there is none left.
        """
        if self._at_door[spawn] >= most:
            why = f"{most} are attached to it, and the places that are left are for what is sent"
            hint = f"relay send {spawn} TEXT   types a line without one"
            raise DoorShut("too many are attached to it", why=why, hint=hint)
        self._at_door[spawn] += 1
        try:
            yield
        finally:
            self._at_door[spawn] -= 1
            self._at_door += Counter()  # those that are at none are forgotten

    def log_of(self, row: SpawnRow) -> Path:
        """Its transcript."""
        return self._supervisor.log_of(row.id, row.attempt)
