"""`relay spawn --dry-run`: asks the target, live, what would become of a request, and believes its word alone."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from relay.broker.asked_before import earlier_schedule, earlier_spawn
from relay.broker.elsewhere import THERE_S
from relay.broker.inbox import Hear, Opened
from relay.broker.looks import SILENT_S, IsThere, comes
from relay.broker.members import Members
from relay.broker.mesh import Mesh
from relay.broker.orders import Order
from relay.broker.trial_serving import TrialServer
from relay.broker.views import place_view
from relay.broker.words import rfc3339
from relay.core.errors import Code, Misuse, PeerFault, RelayError, Unreachable
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.streams import STREAM_BYTES, stream_of
from relay.core.trials import Question, Verdict, Word, hash_of
from relay.store import peers
from relay.store.journal import Journal
from relay.store.schedules import Schedule
from relay.store.spawn_rows import SpawnRow
from relay.store.spawns import require_free_name
from relay.trust.trials import verified_word

WITHIN_S = 30.0
"""A target looks at the agent's program, its version and its login, 10 s each at most."""
UNKNOWN, KNOWN = "unknown", "known"
Known = Callable[[BrokerId], Awaitable[dict[str, Any]]]
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Asked:
    """One open question."""

    target: BrokerId
    hash: bytes
    envelope: bytes = b""
    word: asyncio.Future[Word] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def end(self, error: RelayError) -> None:
        if not self.word.done():
            self.word.set_exception(error)


def _refusal(error: RelayError, own: BrokerId, now: int) -> Word:
    """This broker's own no, before anything is sent."""
    told = {key: str(value) for key, value in error.to_json().items()}
    return Word(bytes(32), own, own, now, Verdict.REFUSE, error.message, told)


class Trials:
    """Asks what would become of requests.

    Args:
        members: names and keys.
        journal: where names in use are looked up.
        mesh: the way to the others.
        server: answers for this machine.
        known: what is known here of a broker that does not answer.
        is_there: whether a broker answers anything, found out within `elsewhere.THERE_S`.
    """

    def __init__(
        self, members: Members, journal: Journal, mesh: Mesh, server: TrialServer, known: Known, is_there: IsThere
    ) -> None:
        self._is_there = is_there
        self._members = members
        self._journal = journal
        self._mesh = mesh
        self._server = server
        self._known = known
        self._open: dict[bytes, _Asked] = {}

    @property
    def hears(self) -> dict[Kind, Hear]:
        """By kind."""
        return self._server.hears | {Kind.TRIAL_WORD: self._heard}

    def close(self) -> None:
        """Stop answering and asking."""
        self._server.close()
        for asked in self._open.values():
            asked.end(Unreachable("this broker is stopping", hint="relay up --detach"))

    async def of(self, order: Order, every: str | None) -> dict[str, Any]:
        """What would become of an order: the target's word, or why there is none and what is known here."""
        question = Question(order.request, every)
        try:
            if (earlier := await self._earlier(order, every)) is not None:
                return self._known_already(order, earlier)
            word = await self._word(question, order)
        except Unreachable as error:
            return self._shown(order, UNKNOWN, error.message, error.to_json()) | {
                "known_here": await self._known(order.target)
            }
        except Misuse as error:  # a key that was used for something else
            own, now = self._members.own, self._journal.clock()
            word = _refusal(error, own, now)
        ahead = peers.told_earlier(await self._journal.store.one(peers.SKEW, id=word.target))
        truth = {"from": word.target, "at": rfc3339(max(word.at - ahead, 0))}
        return self._shown(order, word.verdict, word.reason, word.error, truth, word.facts)

    def _shown(
        self,
        order: Order,
        verdict: str,
        reason: str,
        error: dict[str, Any] | None,
        truth: dict[str, Any] | None = None,
        facts: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        following = facts["next"] if facts else None
        facts = facts and {key: value for key, value in facts.items() if key != "next"}
        wishes = order.request.wishes
        asked = {
            "priority": wishes.priority,
            "retries": wishes.retries,
            "not_before": rfc3339(wishes.not_before),
            "after": [{"id": each.spawn, "condition": each.condition} for each in wishes.after],
            "collect": list(wishes.collect),
            "place": place_view(wishes.place),
            "expires": rfc3339(order.request.expires),
        }
        shown = {
            "broker": self._members.label(order.target),
            "name": order.request.name,
            "verdict": str(verdict),
            "reason": reason,
            "error": error,
            "truth": truth,
        }
        return shown | asked | {"next": rfc3339(following), "facts": facts, "known_here": None, "earlier": None}

    # asking

    async def _word(self, question: Question, order: Order) -> Word:
        if order.target == self._members.own:
            return await self._server.here(question, order.operation)
        refusal = await self._refused_here(question, order)
        return refusal or await self._ask(question, order.target)

    async def _refused_here(self, question: Question, order: Order) -> Word | None:
        """What this broker itself would refuse before it sends anything: a name that lives there."""
        if question.every is not None:
            return None
        own, name = self._members.own, order.request.name
        try:
            await self._journal.commit(lambda entry: require_free_name(entry.tx, name, order.target, own))
        except RelayError as error:
            return _refusal(error, self._members.own, self._journal.clock())
        return None

    # a request that was made before

    async def _earlier(self, order: Order, every: str | None) -> SpawnRow | Schedule | None:
        """What the same request, sent before under its idempotency key, has made."""
        if every is None:
            return await self._journal.commit(lambda entry: earlier_spawn(entry.tx, order))
        return await self._journal.commit(lambda entry: earlier_schedule(entry.tx, order, every))

    def _known_already(self, order: Order, earlier: SpawnRow | Schedule) -> dict[str, Any]:
        kind = "spawn" if isinstance(earlier, SpawnRow) else "schedule"
        reason = f"its idempotency key made the {kind} {earlier.id}, which is {earlier.state}"
        truth = {"from": self._members.own, "at": rfc3339(self._journal.clock())}
        told = {"kind": kind, "id": earlier.id, "name": earlier.name, "state": str(earlier.state)}
        there = {"broker": self._members.label(earlier.target), "name": earlier.name, "earlier": told}
        return self._shown(order, KNOWN, reason, None, truth) | there

    async def _ask(self, question: Question, target: BrokerId) -> Word:
        if not self._mesh.has_way(target):
            raise self._away(target)
        stream, data = os.urandom(STREAM_BYTES), question.to_bytes()
        asked, over = _Asked(target, hash_of(stream, data)), self._mesh.way_link(target)
        self._open[stream] = asked
        try:
            envelope = self._mesh.ask(target, Kind.TRIAL_ASK, {"stream": stream, "question": data})
            if envelope is None:
                raise self._away(target)
            asked.envelope = envelope
            async with asyncio.timeout(WITHIN_S):
                return await self._awaited(asked)
        except TimeoutError:
            self._mesh.probe(target, over)  # asked again, it goes another way where there is one
            raise self._silent(target, WITHIN_S) from None
        finally:
            del self._open[stream]

    async def _awaited(self, asked: _Asked) -> Word:
        """The word; to look at its agent may take its target long, and to answer at all may not."""
        if not await comes(asked.word, self._mesh, asked.target, self._is_there):
            raise self._silent(asked.target, SILENT_S + THERE_S)
        return asked.word.result()

    def _heard(self, each: Opened) -> None:
        content, origin = each.body.content, each.header.origin
        asked = self._open.get(stream_of(content, "a trial"))
        if asked is None or asked.word.done():
            return
        if asked.target != origin:
            _log.warning("%s answered a dry run that was asked of another", self._members.name(origin))
            return
        keys = self._members.keys(origin)
        word, signature = content["word"], content["signature"]
        if keys is None or type(word) is not bytes or type(signature) is not bytes:
            raise PeerFault("the word on a trial was refused", why="it has another form")
        own = self._members.own
        asked.word.set_result(
            verified_word(keys.public, word, signature, hash=asked.hash, asker=own, target=asked.target)
        )

    def refused(self, peer: BrokerId, envelope: bytes, error: PeerFault) -> None:
        """That broker will not have an envelope; nothing where that was no question of ours."""
        for asked in self._open.values():
            if asked.target == peer and asked.envelope == envelope:
                asked.end(self._not_understood(peer, error))

    def link_changed(self) -> None:
        """A link came or went."""
        for asked in self._open.values():
            if not self._mesh.has_way(asked.target):
                asked.end(self._away(asked.target))

    # why there is no word

    def _away(self, target: BrokerId) -> Unreachable:
        name = self._members.name(target)
        return Unreachable(
            f"{name} is not in reach now, and only {name} can say",
            hint=f"ask again when it is back: relay brokers; or spawn it: it is queued, and {name} decides",
        )

    def _silent(self, target: BrokerId, seconds: float) -> Unreachable:
        name = self._members.name(target)
        return Unreachable(
            f"{name} gave no answer within {seconds:.0f} s",
            code=Code.TIMED_OUT,
            why="it is asleep and the link has not noticed yet, or it is too busy",
            hint=f"relay broker ping {name}",
        )

    def _not_understood(self, target: BrokerId, error: PeerFault) -> Unreachable:
        name = self._members.name(target)
        if error.code is not Code.UNKNOWN_KIND:
            return Unreachable(f"{name} did not take the question", code=error.code, why=error.why, hint="relay doctor")
        return Unreachable(
            f"{name} runs an older relay, which knows no dry run",
            code=Code.UNKNOWN_KIND,
            why="it can be spawned there all the same",
            hint=f"upgrade relay on {name}; or ask its grants: on {name}: relay trust test {self._members.own_name}",
        )
