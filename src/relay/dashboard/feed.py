"""`WS /events`: what happens, as it happens."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from relay.broker.control.application import event_document
from relay.broker.devices import shown
from relay.broker.words import rfc3339
from relay.dashboard.sockets import BAD_REQUEST, GOING, Document, Over, first_of, say
from relay.store import events

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Send

    from relay.broker.broker import Broker
    from relay.store.devices import Device

BEAT_S = 15.0


class Feed:
    """Tells devices what happens.

    Args:
        broker: whose events.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def talk(self, device: Device, first: Document, receive: Receive, send: Send) -> None:
        """Say hello, then every event, until it or the broker goes.

        Args:
            device: who listens.
            first: its first message, with `since`.
            receive, send: of ASGI.
        """
        await first_of(self._tell(device, _since(first.get("since")), send), _beats(send), _left(receive))

    async def _tell(self, device: Device, since: int | None, send: Send) -> None:
        broker, newest = self._broker, await self._broker.store.one(events.HIGHEST) or 0
        hello = {
            "kind": "hello",
            "seq": newest,
            "at": rfc3339(time.time_ns() // 1_000_000),
            "broker": broker.members.label(broker.members.own),
            "version": broker.facts.version,
            "device": shown(device),
        }
        await say(send, hello)
        if since is not None and since > newest:
            # the numbers of another store: what it has seen is not what happened here
            await say(send, {"kind": "reset", "seq": newest})
            since = None
        async for event in broker.hub.stream(newest if since is None else since, True):
            await say(send, event_document(event))
        raise Over(GOING, "the broker stops")


def _since(value: Any) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not 0 <= value < 2**53:
        raise Over(BAD_REQUEST, "since is a number, or null")
    return value


async def _beats(send: Send) -> None:
    while True:
        await asyncio.sleep(BEAT_S)
        await say(send, {"kind": "beat", "at": rfc3339(time.time_ns() // 1_000_000)})


async def _left(receive: Receive) -> None:
    """Until the other side leaves; what it says beside that means nothing."""
    message: Message = {"type": ""}
    while message["type"] != "websocket.disconnect":
        message = await receive()
