"""What a person of this machine answers: found, sent to where it is asked, and its outcome waited for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

from relay.broker.answering import Answering
from relay.broker.asked_items import Item, item_of
from relay.broker.inbox import Act, Opened, Pointless
from relay.broker.members import Members, no_member
from relay.broker.requests import Requests
from relay.broker.reviewing import Review
from relay.core import ids
from relay.core.errors import Code, Misuse, Refused, RelayError, from_json
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.questions import Answer, Asked, Reply, is_request, outcome_from_content
from relay.core.states import TERMINAL
from relay.core.values import frozen
from relay.spawn.asking import needs_of
from relay.store import answers, operations, peers, questions
from relay.store.answers import Answered
from relay.store.journal import Entry, Journal, Letter
from relay.store.spawn_rows import SpawnRow

ANSWER_TTL = 7 * 86_400_000
MIN_PREFIX = 4


@frozen
class Typed:
    """What a client asked for.

    Attributes:
        operation: the client's; the same one acts once.
        ref: the spawn, as typed.
        request: which question of it, or None for the one there is.
        verb: what is answered.
        text: for `send`.
        person: who typed it.
    """

    operation: str
    ref: str
    request: str | None
    verb: Reply
    text: str
    person: str


@frozen
class _Found:
    """The spawn that was meant, what is asked about it as far as is known here, and what was asked last."""

    spawn: str
    name: str
    target: BrokerId
    items: tuple[Item, ...]
    last: Item | None = None


@frozen
class _Meant:
    """The question that is answered; all empty where text goes to a task that asks nothing."""

    request: str = ""
    hash: str = ""
    expires: int | None = None


class Answers:
    """Takes answers of this machine's clients.

    Args:
        members: names.
        journal: where they become durable.
        requests: finds spawns that are known here.
        elsewhere: finds those that a broker in reach runs, for text that answers nothing.
        review: finds those that are not.
        answering: for what is asked here.
    """

    def __init__(
        self,
        members: Members,
        journal: Journal,
        requests: Requests,
        elsewhere: Callable[[str], Awaitable[SpawnRow]],
        review: Review,
        answering: Answering,
    ) -> None:
        self._look = elsewhere
        self._members = members
        self._journal = journal
        self._requests = requests
        self._review = review
        self._answering = answering
        self._waiting: dict[str, asyncio.Event] = {}

    @property
    def acts(self) -> dict[Kind, Act]:
        """By kind."""
        return {Kind.ANSWERED: self._outcome}

    async def answer(self, typed: Typed, wait_s: float) -> dict[str, Any]:
        """Answer a question; what became of it within so many seconds.

        Args:
            typed: what the person wants.
            wait_s: how long another broker's word is waited for.

        Raises:
            Misuse: nothing of that kind is asked, or it is not clear which is meant.
            RelayError: it was refused, here or there.
        """
        kept = await self._journal.store.one(answers.BY_OPERATION, operation=typed.operation)
        if kept is None:
            found = await self._find(typed)
            meant = _meant(typed, found)
            kept = await self._journal.commit(lambda entry: self._accept(entry, typed, found, meant))
        return self._told(await self._settled(kept, wait_s))

    # finding

    async def _find(self, typed: Typed) -> _Found:
        try:
            row = await self._requests.find(typed.ref)
        except Misuse as unknown:
            if unknown.code is not Code.UNKNOWN_SPAWN:
                raise
            self._refuse_broker(typed)
            return await self._elsewhere(typed, unknown)
        return await self._known(row) if row.target == self._members.own else await self._asked_for(typed, row)

    def _refuse_broker(self, typed: Typed) -> None:
        if typed.verb is not Reply.SEND or not any(typed.ref in self._members.names(each) for each in self._all()):
            return
        why = "it names a broker, and this version sends to spawns alone"
        raise Misuse(f"{typed.ref!r} cannot be sent to", why=why, hint="relay ps")

    def _all(self) -> list[BrokerId]:
        return [self._members.own, *(each.id for each in self._members.others)]

    async def _asked_for(self, typed: Typed, row: SpawnRow) -> _Found:
        """A spawn that another runs. Its words name one question, the oldest: it is asked whether there are more."""
        told = [item_of(row, row.needs)] if row.needs and row.state not in TERMINAL else []
        if told and not is_request(typed.request):
            told = await self._review.of(row) or told
        return _Found(row.id, row.name, row.target, tuple(told))

    async def _known(self, row: SpawnRow) -> _Found:
        found = await self._journal.store.all(questions.OPEN_OF, spawn=row.id)
        last = await self._journal.store.one(questions.LAST_CLOSED, spawn=row.id)
        items = tuple(item_of(row, needs_of(each)) for each in found)
        return _Found(row.id, row.name, row.target, items, None if last is None else item_of(row, needs_of(last)))

    async def _elsewhere(self, typed: Typed, unknown: Misuse) -> _Found:
        """A spawn of which this broker knows nothing, but others are asking about."""
        ref = typed.ref
        gathered = await self._review.gathered()
        items, silent = gathered.items, gathered.silent
        name, at, broker = ref.partition("@")
        target = self._members.resolve(broker) if at else None
        meant = [each for each in items if _is_meant(each, name, target)]
        spawns = {each.spawn for each in meant}
        if len(spawns) > 1:
            listed = ", ".join(f"{each.name}@{self._members.name(each.target)} {each.spawn}" for each in meant[:10])
            raise Misuse(f"{ref!r} may be several spawns", code=Code.AMBIGUOUS, why=listed, hint="name one by its id")
        named = typed.verb is Reply.SEND or is_request(typed.request)
        if not meant and target is not None and ids.is_spawn_id(name) and named:
            return _Found(name, name, target, ())  # fully named: that broker knows how it stands
        if not meant:
            return await self._unasked(ref, unknown, silent)
        return _Found(meant[0].spawn, meant[0].name, meant[0].target, tuple(meant))

    async def _unasked(self, ref: str, unknown: Misuse, silent: Iterable[BrokerId]) -> _Found:
        """A spawn about which nobody asks, as far as those in reach let this broker view it."""
        try:
            row = await self._look(ref)
        except Misuse as error:
            if error.code is not Code.UNKNOWN_SPAWN:
                raise
            names = ", ".join(map(self._members.name, silent))
            reached = f"no broker that was reached asks about it; not reached: {names}" if names else ""
            why = "; ".join(each for each in (reached, error.why) if each)
            raise Misuse(error.message, code=Code.UNKNOWN_SPAWN, why=why, hint="relay review") from None
        return _Found(row.id, row.name, row.target, ())

    # accepting, inside a transaction

    def _accept(self, entry: Entry, typed: Typed, found: _Found, meant: _Meant) -> Answered:
        known = answers.BY_OPERATION.one(entry.tx, operation=typed.operation)
        if known is not None:
            return known
        if operations.ANSWER.one(entry.tx, op=typed.operation) is not None:
            raise Misuse(
                "this operation id was used for something else",
                code=Code.CONFLICT,
                hint="answer again under an operation id of its own",
            )
        operations.remember(entry.tx, typed.operation, entry.now, {"answer": typed.operation})
        answer = Answer(found.spawn, meant.request, typed.verb, typed.text, meant.hash, typed.person)
        kept = Answered(
            typed.operation, found.spawn, found.target, answer.request, str(typed.verb), typed.person, entry.now
        )
        if found.target == self._members.own:
            outcome = self._answering.decide(entry, self._members.own, answer, typed.operation)
            kept = replace(kept, outcome=outcome.to_content())
        else:
            self._send(entry, kept, answer, meant)
        answers.keep(entry.tx, kept)
        return kept

    def _send(self, entry: Entry, kept: Answered, answer: Answer, meant: _Meant) -> None:
        is_bounded = meant.expires is not None and self._answering.may_expire()
        ttl = min(ANSWER_TTL, (meant.expires or 0) - entry.now) if is_bounded else ANSWER_TTL
        if ttl <= 0:
            raise Refused("the question has expired", code=Code.EXPIRED, hint=f"relay show {answer.spawn}")
        # it expires by the clock of its target, which may be ahead of this one, and there the question is looked at too
        ttl += max(0, peers.SKEW.one(entry.tx, id=kept.target) or 0)
        letter = Letter(kept.target, Kind.ANSWER, answer.to_content(), kept.operation, ttl, answer.spawn)
        if not entry.post(letter):
            raise no_member(self._members.name(kept.target))

    # the outcome

    async def _settled(self, kept: Answered, wait_s: float) -> Answered:
        if kept.outcome is not None or wait_s <= 0:
            return kept
        event = self._waiting.setdefault(kept.operation, asyncio.Event())
        try:
            now = await self._now(kept)
            if now.outcome is None:
                async with asyncio.timeout(wait_s):
                    await event.wait()
        except TimeoutError:
            return kept
        finally:
            self._waiting.pop(kept.operation, None)
        return await self._now(kept)

    async def _now(self, kept: Answered) -> Answered:
        return await self._journal.store.one(answers.BY_OPERATION, operation=kept.operation) or kept

    def _told(self, kept: Answered) -> dict[str, Any]:
        outcome = kept.outcome
        if outcome is not None and not outcome["accepted"]:
            raise from_json(outcome["error"] or {"code": str(Code.CONFLICT), "message": outcome["said"]})
        return {
            "spawn": kept.spawn,
            "broker": self._members.label(kept.target),
            "request": kept.request or None,
            "verb": kept.verb,
            "accepted": None if outcome is None else True,
            "said": None if outcome is None else outcome["said"],
        }

    def _outcome(self, entry: Entry, each: Opened) -> None:
        outcome = outcome_from_content(each.body.content)
        self._settle(entry, each.header.origin, outcome.operation, outcome.to_content())

    def _settle(self, entry: Entry, target: BrokerId, operation: str, outcome: dict[str, Any]) -> None:
        if not answers.settle(entry.tx, operation, target, outcome):
            raise Pointless
        told = {"answer": operation, "accepted": outcome["accepted"], "said": outcome["said"], "broker": target}
        entry.event("spawn.answered", told)
        entry.then(lambda: self._wake(operation))

    def _wake(self, operation: str) -> None:
        event = self._waiting.get(operation)
        if event is not None:
            event.set()

    def refused_by_peer(self, entry: Entry, operation: str, target: BrokerId, error: RelayError) -> None:
        """The target answered the envelope of an answer with a NACK: it never took it."""
        self._ended(entry, operation, target, error)

    def dropped(self, entry: Entry, operation: str, target: BrokerId, by: str, hint: str) -> None:
        """A person took an answer that was never sent out of the outbox: no word on it will ever come."""
        self._ended(entry, operation, target, Refused(f"dropped by {by}, never sent", code=Code.DENIED, hint=hint))

    def _ended(self, entry: Entry, operation: str, target: BrokerId, error: RelayError) -> None:
        outcome = {"answer": operation, "accepted": False, "said": error.message, "error": error.to_json()}
        with contextlib.suppress(Pointless):
            self._settle(entry, target, operation, outcome)


def _is_meant(item: Item, name: str, target: BrokerId | None) -> bool:
    if target is not None and item.target != target:
        return False
    return item.name == name or (len(name) >= MIN_PREFIX and item.spawn.startswith(name.lower()))


def _meant(typed: Typed, found: _Found) -> _Meant:
    if typed.request is not None:
        return _named(typed.request.lower(), found)
    fitting = [each for each in found.items if typed.verb is not Reply.SEND or each.kind != Asked.HELD]
    if len(fitting) > 1:
        listed = ", ".join(f"{each.request} ({each.text[:80]})" for each in fitting[:10])
        hint = "relay review   has each with what answers it"
        raise Misuse(f"{found.name} asks several things", code=Code.AMBIGUOUS, why=listed, hint=hint)
    if fitting and typed.verb is Reply.SEND and fitting[0].kind == Asked.SILENT:
        return _Meant()  # text for the task itself: it counts as well where somebody has looked, or it spoke, meanwhile
    if fitting:
        return _of(fitting[0])
    if typed.verb is Reply.SEND:
        return _Meant()
    if found.last is not None:
        return _of(found.last)  # closed: it is refused with the name of who was first
    raise Misuse(
        f"{found.name} asks nothing", code=Code.UNKNOWN_REQUEST, why="as far as this broker knows", hint="relay review"
    )


def _named(request: str, found: _Found) -> _Meant:
    named = [each for each in found.items if request and each.request.startswith(request)]
    if len(named) == 1:
        return _of(named[0])
    if is_request(request):
        return _Meant(request)  # not open as far as is known here: where it was asked, they know
    why = f"the question {request[:40]!r} is not open" if not named else "that may be several questions"
    raise _nothing_asked(found, why)


def _of(item: Item) -> _Meant:
    return _Meant(item.request, item.hash, item.expires)


def _nothing_asked(found: _Found, why: str) -> Misuse:
    return Misuse(
        f"{found.name} is not asking that", code=Code.UNKNOWN_REQUEST, why=why, hint="relay review"
    )
