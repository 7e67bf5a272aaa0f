"""Answers where they take effect: who may answer what (design, section 5), once, before the question expires."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from relay.broker.auditor import Auditor, Decision, refusal
from relay.broker.gate import Gate
from relay.broker.inbox import Act, Opened
from relay.broker.members import Members
from relay.broker.words import rfc3339
from relay.core.errors import Code, Misuse, Refused, RelayError
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.questions import Answer, Asked, Outcome, Reply, answer_from_content
from relay.core.spawning import MODES
from relay.core.states import IN_HAND, State
from relay.spawn.settling import Settling
from relay.store import questions
from relay.store.journal import Entry, Letter
from relay.store.questions import Question
from relay.store.spawn_rows import BY_ID, SpawnRow

OUTCOME_TTL = 30 * 86_400_000
_TOLD = ("code", "message", "why", "hint")


class Answering:
    """Judges answers to what is asked about spawns of this machine.

    Args:
        members: names.
        gate: what others may do.
        auditor: the audit log.
        settling: carries out what may be.
        may_expire: whether this clock is believed, so that a question may be over by it.
    """

    def __init__(
        self, members: Members, gate: Gate, auditor: Auditor, settling: Settling, may_expire: Callable[[], bool]
    ) -> None:
        self.may_expire = may_expire
        self._members = members
        self._gate = gate
        self._auditor = auditor
        self._settling = settling

    @property
    def acts(self) -> dict[Kind, Act]:
        """By kind."""
        return {Kind.ANSWER: self._answer}

    def _answer(self, entry: Entry, each: Opened) -> None:
        answer = answer_from_content(each.body.content)
        outcome = self.decide(entry, each.header.origin, answer, each.body.operation)
        mark = hashlib.sha256(each.body.operation.encode()).hexdigest()
        content = outcome.to_content()
        entry.post(
            Letter(each.header.origin, Kind.ANSWERED, content, f"answered/{mark}", OUTCOME_TTL, answer.spawn)
        )

    def decide(self, entry: Entry, by: BrokerId, answer: Answer, operation: str) -> Outcome:
        """Let an answer take effect, or not; either way it is audited.

        Args:
            entry: the transaction.
            by: whose it is.
            answer: what is answered.
            operation: its id.
        """
        detail = f"{answer.spawn} request {answer.request or '(none)'} by {answer.person or 'a request'}"
        action = str(answer.verb)
        try:
            said = self._settled(entry, by, answer)
        except RelayError as error:
            self._auditor.write(entry, refusal(by, action, error, detail))
            told = {key: str(value)[:600] for key, value in error.to_json().items() if key in _TOLD}
            return Outcome(operation, False, error.message[:1000], told)
        self._auditor.write(entry, Decision(by, action, detail=detail))
        return Outcome(operation, True, said[:1000])

    def _settled(self, entry: Entry, by: BrokerId, answer: Answer) -> str:
        row = BY_ID.one(entry.tx, id=answer.spawn)
        if row is None or row.target != self._members.own:
            here = self._members.own_name
            raise Misuse(f"there is no spawn {answer.spawn} on {here}", code=Code.UNKNOWN_SPAWN, hint="relay ps --all")
        self._require_some(by, row, entry.now)
        question = self._meant(entry, row, answer)
        if question is None:
            self._require(by, "send", row, entry.now)
            return self._settling.type_in(entry, row, answer.text)
        self._require_may(entry, by, row, question, answer)
        self._require_open(entry, row, question)
        return self._settling.settle(entry, row, question, answer, by)

    def _meant(self, entry: Entry, row: SpawnRow, answer: Answer) -> Question | None:
        if answer.request:
            found = questions.BY_REQUEST.one(entry.tx, request=answer.request, spawn=row.id)
            if found is None:
                raise _no_question(row, f"it was never asked {answer.request}")
            return found
        if answer.verb is not Reply.SEND:
            raise _no_question(row, "an approval or a denial names the request that it answers")
        # text for whoever is listening: an agent's question where there is one, else its input
        still_open = questions.OPEN_OF.all(entry.tx, spawn=row.id)
        listening = [each for each in still_open if each.kind in (Asked.QUESTION, Asked.SILENT)]
        return listening[0] if len(listening) == 1 else None

    # who may

    def _require_may(self, entry: Entry, by: BrokerId, row: SpawnRow, question: Question, answer: Answer) -> None:
        if question.kind is Asked.HELD:
            self._require_other(by, row, answer.verb)
            self._require(by, "approve", row, entry.now)
        elif question.kind is Asked.PERMISSION and answer.verb is not Reply.DENY and self._is_beyond(row, question):
            self._require(by, "approve", row, entry.now)
        else:
            # whoever may say yes to what goes beyond a mode may say yes, or no, to less; a text is typed into the task
            is_approver = answer.verb is not Reply.SEND and self._gate.may(by, "approve")
            self._require(by, "approve" if is_approver else "send", row, entry.now)

    def _require_some(self, by: BrokerId, row: SpawnRow, now: int) -> None:
        """Let who may answer anything here go on: to others the words on what is not asked would tell its name."""
        try:
            self._require(by, "send", row, now)
        except Refused as refused:
            try:
                self._require(by, "approve", row, now)
            except Refused:
                raise refused from None

    def _require_other(self, by: BrokerId, row: SpawnRow, verb: Reply) -> None:
        if by not in (row.origin, *row.chain):
            return
        here = self._members.own_name
        elsewhere = f"on a machine that {here} grants approve: relay approve {row.id}"
        hint = elsewhere if by == self._members.own else f"on {here}: relay approve {row.id}; or {elsewhere}"
        raise Refused(
            "nobody approves their own request",
            code=Code.OWN_REQUEST,
            why=f"{self._members.name(by)} is on the chain of origin of {row.name}",
            hint=f"relay stop {row.id}" if verb is Reply.DENY else hint,
        )

    def _require(self, by: BrokerId, verb: str, row: SpawnRow, now: int) -> None:
        if by != self._members.own:
            self._gate.require(by, verb, row.origin == by, now)

    def _is_beyond(self, row: SpawnRow, question: Question) -> bool:
        if question.mode not in MODES:
            return True
        granted = min(MODES.index(self._gate.mode_of(each)) for each in (row.origin, *row.chain))
        return MODES.index(question.mode) > granted

    # once, in time

    def _require_open(self, entry: Entry, row: SpawnRow, question: Question) -> None:
        if question.closed is not None:
            raise self._closed(row, question)
        if question.expires is not None and question.expires <= entry.now and self.may_expire():
            raise Refused(
                "the question has expired",
                code=Code.EXPIRED,
                why=f"it could be answered until {_at(question.expires)}",
                hint="relay review   shows what is asked now",
            )
        if question.kind is Asked.HELD and row.state is not State.HELD:
            raise _no_question(row, f"it is {row.state}")
        if question.kind is not Asked.HELD and row.state not in IN_HAND:
            raise _no_question(row, f"it is {row.state}")

    def _closed(self, row: SpawnRow, question: Question) -> Refused:
        how = {"approve": "approved", "deny": "denied", "send": "answered"}.get(question.closed_as or "")
        if how is None or question.closed_by is None:
            why = "it was no more needed" if question.closed_as == questions.WITHDRAWN else f"{row.name} is {row.state}"
            return Refused("nothing is asked any more", code=Code.ANSWERED, why=why, hint=f"relay show {row.id}")
        where = self._members.name(question.closed_by)
        who = f"{question.person} on {where}" if question.person else where
        return Refused(
            "it was answered already",
            code=Code.ANSWERED,
            why=f"{how} by {who} at {_at(question.closed)}; the first answer counts",
            hint=f"relay show {row.id}",
        )


def _at(moment: int | None) -> str:
    return rfc3339(moment) or ""


def _no_question(row: SpawnRow, why: str) -> Misuse:
    return Misuse(
        f"{row.name} is not asking that", code=Code.UNKNOWN_REQUEST, why=why, hint="relay review"
    )
