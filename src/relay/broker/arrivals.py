"""What arrives over one link and is dealt with beside its reading: taken in, kept for others, handed on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from relay.broker.host import Host
from relay.core import ids
from relay.core.envelope import unpack_envelope
from relay.core.errors import LocalFault, PeerFault, RelayError
from relay.core.frames import MAX_BATCH_BYTES, Custody, Frame, Taken
from relay.core.ids import BrokerId
from relay.core.link import Keep, PassOn, Take

MOST_AFTERWARDS = 2 * MAX_BATCH_BYTES
CANNOT_KEEP = "it cannot write to its store now"
_log = logging.getLogger(__name__)


class Arrivals:
    """Deals with what one link brings.

    Args:
        host: the mesh.
        peer: who is at the other end.
        say: puts a frame on the wire.
        refuse: ends the link for this reason.
        done: called with the bytes that were dealt with.
    """

    def __init__(
        self,
        host: Host,
        peer: BrokerId,
        say: Callable[[Frame], None],
        refuse: Callable[[str], None],
        done: Callable[[int], None],
    ) -> None:
        self._host = host
        self._peer = peer
        self._say = say
        self._refuse = refuse
        self._done = done
        self._tasks: dict[asyncio.Task[None], int] = {}

    def deal_with(self, arrived: Take | Keep | PassOn) -> None:
        """Begin to deal with it."""
        task = asyncio.get_running_loop().create_task(self._dealt_with(arrived))
        self._tasks[task] = sum(map(len, arrived.envelopes))
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)

    async def _dealt_with(self, arrived: Take | Keep | PassOn) -> None:
        try:
            await self._by_kind(arrived)
        except PeerFault as fault:
            self._refuse(f"refused: {fault.message}")
        except RelayError as error:
            # not receipted, so the other side sends it again; a store that cannot commit must not end the link
            _log.error("envelopes from %s were not taken in: %s %s", ids.short(self._peer), error.message, error.why)
        except Exception:
            _log.exception("envelopes from %s were not taken in", ids.short(self._peer))
        self._done(sum(map(len, arrived.envelopes)))

    async def _by_kind(self, arrived: Take | Keep | PassOn) -> None:
        match arrived:
            case Take(envelopes):
                if done := await self._host.take(self._peer, envelopes):
                    self._say(Taken(tuple(done)))
            case Keep(envelopes):
                self._say(Custody(tuple(await self._kept(envelopes))))
            case PassOn(envelopes):
                self._host.pass_on(self._peer, envelopes)

    async def _kept(self, envelopes: Sequence[bytes]) -> list[tuple[bytes, str]]:
        try:
            return await self._host.keep(self._peer, envelopes)
        except LocalFault as fault:
            # said, so that their origin takes another way instead of asking here again and again
            _log.error("nothing is kept for %s: %s %s", ids.short(self._peer), fault.message, fault.why)
            return [(unpack_envelope(raw).header.id, CANNOT_KEEP) for raw in envelopes]

    async def finish(self, within: float) -> None:
        """The link has ended: deal with what had come before.

        Who says something and leaves, as one does who closes the lid, has said it. Beyond what two frames hold
        nothing is kept for a link that is no more: its other side has no receipts, and sends it again.

        Args:
            within: seconds for it.
        """
        left = MOST_AFTERWARDS
        for task, size in list(self._tasks.items()):
            left -= size
            if left < 0:
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within)
        for task in list(self._tasks):
            task.cancel()
