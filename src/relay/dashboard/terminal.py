"""`WS /api/v1/spawns/{ref}/attach`: a task's terminal, for browsers, which cannot speak on while they are answered.

Each message either way is one line of the control API's `POST spawns/{ref}/attach`; the first has the token beside.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from relay.broker.auditor import ALLOWED, Decision
from relay.broker.control.live import DIRECT, packed, unpacked
from relay.broker.devices import actor
from relay.core.errors import RelayError
from relay.dashboard.sockets import Document, first_of, read, say

if TYPE_CHECKING:
    from starlette.types import Receive, Send

    from relay.broker.broker import Broker
    from relay.broker.channel import Conversation
    from relay.store.devices import Device

_PATH = re.compile(r"/api/v1/spawns/([^/]+)/attach\Z")


def spawn_of(path: str) -> str | None:
    """The spawn whose terminal a path means; None where it means none."""
    found = _PATH.match(path)
    return None if found is None else found[1]


class Terminal:
    """Attaches devices to tasks.

    Args:
        broker: whose.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def talk(self, ref: str, device: Device, first: Document, receive: Receive, send: Send) -> None:
        """Carry both directions until one ends.

        Args:
            ref: which spawn.
            device: who attaches.
            first: what it asks, as the first line of the API's.
            receive, send: of ASGI.
        """
        decision = Decision(actor(device), "dashboard", ALLOWED, "", f"WS attach {ref}"[:200])
        await self._broker.journal.commit(lambda entry: self._broker.auditor.write(entry, decision))
        try:
            ask, elsewhere = unpacked(first), self._broker.queueing.elsewhere
            ask.pop(DIRECT, None)  # a browser can go by none
            # who goes on after a break waits for its broker to be back
            row = await (elsewhere.find_again(ref) if ask.get("again") is True else elsewhere.find(ref))
            conversation = await self._broker.live.attach(row, ask)
        except RelayError as error:
            await say(send, {"error": error.to_json()})
            return
        try:
            await first_of(_tell(conversation, send), _hear(conversation, receive))
        except RelayError as error:
            await say(send, {"error": error.to_json()})
        finally:
            conversation.close()


async def _tell(conversation: Conversation, send: Send) -> None:
    while (message := await conversation.receive()) is not None:
        await say(send, packed(message))


async def _hear(conversation: Conversation, receive: Receive) -> None:
    while True:
        await conversation.send(unpacked(read(await receive())))
