"""Answering what would become of a request: for this machine's clients, and for other brokers in a signed word.

Nothing is told that a spawn would not tell: who may not spawn learns the refusal that a spawn would get, and no more.
Each question of another broker costs it a token; a refusal is written into the audit log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from relay.broker.auditor import Auditor, refusal
from relay.broker.inbox import Hear, Opened
from relay.broker.link import monotonic_ms
from relay.broker.mesh import Mesh
from relay.core.errors import Code, PeerFault, Refused, RelayError
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.rationing import Bucket
from relay.core.streams import stream_of
from relay.core.trials import Question, Verdict, Word, hash_of, question_from_bytes
from relay.spawn.logins import LOOKING, Logins
from relay.spawn.means import Means, why_it_would_fail
from relay.spawn.rehearsal import Rehearsal, Rehearsed
from relay.store.journal import Entry, Journal
from relay.trust.identity import Identity
from relay.trust.trials import sign_word

AT_ONCE, PER_SECOND = 20, 1.0
"""What one broker may ask, granted or not: a person's tries, and no more."""
MOST_IN_WORK = 8  # of one broker
TOLD_AT_ONCE, TOLD_PER_SECOND = 5, 0.2
"""How often one broker is told that it asks too much; beyond that it is told nothing."""


class TrialServer:
    """Answers trials of this machine.

    Args:
        identity: signs the words.
        journal: where requests are played through.
        rehearsal: plays them.
        means: what this machine has.
        logins: what it would refuse for want of a login.
        auditor: the audit log.
        mesh: carries the words.
        ration: whether a refusal to that broker is still written down by itself.
    """

    def __init__(
        self,
        identity: Identity,
        journal: Journal,
        rehearsal: Rehearsal,
        means: Means,
        logins: Logins,
        auditor: Auditor,
        mesh: Mesh,
        ration: Callable[[BrokerId], bool] = lambda origin: True,
    ) -> None:
        self._ration = ration
        self._identity = identity
        self._journal = journal
        self._rehearsal = rehearsal
        self._means = means
        self._logins = logins
        self._auditor = auditor
        self._mesh = mesh
        self._buckets: dict[BrokerId, tuple[Bucket, Bucket]] = {}
        self._in_work: dict[BrokerId, set[asyncio.Task[None]]] = {}

    @property
    def hears(self) -> dict[Kind, Hear]:
        """By kind."""
        return {Kind.TRIAL_ASK: self._asked}

    def close(self) -> None:
        """Stop answering."""
        for task in [task for tasks in self._in_work.values() for task in tasks]:
            task.cancel()

    # of another broker

    def _asked(self, each: Opened) -> None:
        origin, stream = each.header.origin, stream_of(each.body.content, "a trial")
        question = each.body.content["question"]
        if type(question) is not bytes:
            raise PeerFault("a trial was refused", why="it has another form")
        working = self._in_work.setdefault(origin, set())
        asking, telling = self._buckets.setdefault(
            origin, (Bucket(AT_ONCE, PER_SECOND), Bucket(TOLD_AT_ONCE, TOLD_PER_SECOND))
        )
        if len(working) >= MOST_IN_WORK or not asking.take(monotonic_ms()):
            if telling.take(monotonic_ms()):
                self._say(origin, stream, self._refused(origin, stream, question, _too_many()))
            return
        task = asyncio.get_running_loop().create_task(self._answer(origin, stream, question))
        working.add(task)
        task.add_done_callback(working.discard)

    async def _answer(self, origin: BrokerId, stream: bytes, data: bytes) -> None:
        try:
            question = question_from_bytes(data)
            word = await self._word(question, origin, hash_of(stream, data), f"trial/{stream.hex()}")
        except RelayError as error:
            word = self._refused(origin, stream, data, error)
        self._say(origin, stream, word)

    def _say(self, origin: BrokerId, stream: bytes, word: Word) -> None:
        data = word.to_bytes()
        signature = sign_word(self._identity, data)
        self._mesh.say(origin, Kind.TRIAL_WORD, {"stream": stream, "word": data, "signature": signature})

    def _refused(self, origin: BrokerId, stream: bytes, data: bytes, error: RelayError) -> Word:
        now = self._journal.clock()
        told = _told(error)
        return Word(hash_of(stream, data), origin, self._identity.id, now, Verdict.REFUSE, told["message"], told)

    # here

    async def here(self, question: Question, operation: str) -> Word:
        """This broker's own word, for a client of its own; the operation is one that nothing else has."""
        return await self._word(question, self._identity.id, bytes(32), f"trial/{operation}")

    async def _word(self, question: Question, origin: BrokerId, hash: bytes, operation: str) -> Word:
        played = await self._played(question, origin, operation)
        verdict, error = played.verdict, played.error
        if verdict is not Verdict.REFUSE and (refused := await self._logins.refusal(question.request)) is not None:
            verdict, error = Verdict.REFUSE, refused
        elif played.reason == LOOKING:
            played = await self._played(question, origin, operation)
            verdict, error = played.verdict, played.error
        facts = None if verdict is Verdict.REFUSE else await self._facts(question, played)
        if facts is not None and (failing := why_it_would_fail(facts, question.request)) is not None:
            verdict, error = Verdict.FAIL, failing
        reason = played.reason if error is None else error.message
        told = None if error is None else _told(error)
        return Word(hash, origin, self._identity.id, self._journal.clock(), verdict, reason[:1000], told, facts)

    async def _played(self, question: Question, origin: BrokerId, operation: str) -> Rehearsed:
        return await self._journal.commit(lambda entry: self._play(entry, question, origin, operation))

    def _play(self, entry: Entry, question: Question, origin: BrokerId, operation: str) -> Rehearsed:
        played = self._rehearsal.of(entry, question, origin, operation)
        if played.error is not None and origin != self._identity.id and self._ration(origin):
            request = question.request
            detail = f"{request.agent} in {request.cwd or '(no directory)'} mode {request.mode}"[:500]
            self._auditor.write(entry, refusal(origin, "dry-run", played.error, detail))
        return played

    async def _facts(self, question: Question, played: Rehearsed) -> dict[str, Any]:
        request, means = question.request, self._means
        where = "" if played.fresh else played.directory
        return {
            "agent": await means.agent(request, where),
            "directory": {"asked": request.cwd, "path": played.directory, "fresh": played.fresh},
            "mode": request.mode,
            "slots": played.slots,
            "limits": means.limits(request),
            "keep_awake": means.keep_awake(request),
            "timeout_s": means.timeout_s(request),
            "next": played.next,
        }


def _too_many() -> RelayError:
    why = f"a broker may ask {AT_ONCE} times at once, then once in {1 / PER_SECOND:.0f} s"
    return Refused("too many dry runs", code=Code.RATE_LIMITED, why=why, hint="wait a little, and ask again")


def _told(error: RelayError) -> dict[str, str]:
    return {key: str(value)[:1000] for key, value in error.to_json().items()}
