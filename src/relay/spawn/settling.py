"""What an answer does to a spawn of this machine, once it is known that whoever gives it may."""

from __future__ import annotations

from collections.abc import Callable

from relay.core.errors import Code, LocalFault, Misuse, Refused, RelayError
from relay.core.ids import BrokerId
from relay.core.questions import Answer, Asked, Reply, request_hash
from relay.core.states import IN_HAND, State
from relay.spawn.agents.agent import Agent
from relay.spawn.agents.asking import AgentQuestion, is_answerable
from relay.spawn.agents.registry import Agents
from relay.spawn.asking import Asking
from relay.spawn.feeding import Feeding
from relay.spawn.ledger import Ledger, Step
from relay.spawn.requests import request_of
from relay.spawn.supervisor import Supervisor
from relay.store import questions, queueing
from relay.store.journal import Entry
from relay.store.questions import Question
from relay.store.spawn_rows import SpawnRow


class Settling:
    """Carries answers out.

    Args:
        supervisor: starts and stops.
        asking: knows what is asked.
        ledger: takes the steps.
        agents: put answers into their own form.
        feeding: types.
        name: what people call a broker.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        asking: Asking,
        ledger: Ledger,
        agents: Agents,
        feeding: Feeding,
        name: Callable[[BrokerId], str],
    ) -> None:
        self._supervisor = supervisor
        self._asking = asking
        self._ledger = ledger
        self._agents = agents
        self._feeding = feeding
        self._name = name

    def settle(self, entry: Entry, row: SpawnRow, question: Question, answer: Answer, by: BrokerId) -> str:
        """Carry out the answer to an open question; what it did, in words.

        Raises:
            Refused: it is no answer to this question, or the request was changed since.
        """
        who = self._who(answer, by)
        if question.kind is Asked.HELD:
            said = self._held(entry, row, question, answer, who, by)
        elif question.kind is Asked.SILENT:
            said = self._silent(entry, row, question, answer, who, by)
        else:
            said = self._asked(entry, row, question, answer, who, by)
        return said

    def _who(self, answer: Answer, by: BrokerId) -> str:
        here = self._name(by)
        return f"{answer.person} on {here}" if answer.person else here

    def _close(self, entry: Entry, question: Question, answer: Answer, by: BrokerId) -> None:
        questions.close(
            entry.tx, question.request, entry.now, str(answer.verb), by, answer.person, answer.text[:1000]
        )

    # held

    def _held(
        self, entry: Entry, row: SpawnRow, question: Question, answer: Answer, who: str, by: BrokerId
    ) -> str:
        if answer.verb is Reply.SEND:
            raise _no_answer("it is held, and has not started", row, question)
        if answer.verb is Reply.APPROVE:
            self._require_same(row, question, answer)
        self._close(entry, question, answer, by)
        if answer.verb is Reply.DENY:
            error = _denied(who, answer.text)
            self._ledger.step(entry, row, Step(State.REJECTED, error.message, error=error.to_json()))
            return f"{row.name} is refused; {'it is not tried again' if row.attempt else 'nothing ran'}"
        waiting = self._ledger.step(entry, row, Step(State.WAITING, f"approved by {who}"))
        self._ledger.tell_latest(entry, waiting)
        self._supervisor.room.release(entry, [row.id])
        return f"{row.name} is approved"

    def _require_same(self, row: SpawnRow, question: Question, answer: Answer) -> None:
        if question.hash == answer.hash == request_hash(row.origin, request_of(row)):
            return
        raise Refused(
            "what was approved is not what would start",
            code=Code.REQUEST_CHANGED,
            why="the request was changed since it was read, or the approval names another one",
            hint=f"read it again: relay review, then relay approve {row.id}",
        )

    # silent

    def _silent(
        self, entry: Entry, row: SpawnRow, question: Question, answer: Answer, who: str, by: BrokerId
    ) -> str:
        if answer.verb is Reply.SEND:
            self.type_in(entry, row, answer.text)
        self._close(entry, question, answer, by)
        row = self._asking.go_on(entry, row)
        if answer.verb is Reply.DENY:
            self._supervisor.stop(entry, row, _stopped_by(who, answer.text))
            return f"{row.name} is being stopped"
        return f"{row.name} goes on" if answer.verb is Reply.APPROVE else f"sent to {row.name}"

    # asked by the agent

    def _asked(
        self, entry: Entry, row: SpawnRow, question: Question, answer: Answer, who: str, by: BrokerId
    ) -> str:
        agent = self._agent(row)
        if not is_answerable(agent):
            raise _no_answer("its agent cannot be answered any more", row, question)
        asked = AgentQuestion(
            question.name or "", question.kind, question.text, question.tool, question.input, question.mode
        )
        self._feeding.accept(entry, row, agent.reply(asked, answer.verb, answer.text))
        self._close(entry, question, answer, by)
        self._asking.go_on(entry, row)
        verb = {Reply.APPROVE: "allowed", Reply.DENY: "denied", Reply.SEND: "answered"}[answer.verb]
        return f"{row.name} is told: {verb} by {who}"

    def _agent(self, row: SpawnRow) -> Agent | None:
        try:
            return self._agents.get(row.agent)
        except RelayError:
            return None

    # typing

    def type_in(self, entry: Entry, row: SpawnRow, text: str) -> str:
        """Send a line to a running task; what it did, in words.

        Raises:
            Misuse: it does not run.
            LocalFault: `input_closed`: it was started without input.
            Refused: it does not read.
        """
        if row.state not in IN_HAND:
            raise Misuse(
                f"{row.name} does not run", code=Code.CONFLICT, why=f"it is {row.state}", hint=f"relay show {row.id}"
            )
        onward = queueing.ONWARD.one(entry.tx, spawn=row.id)
        if onward is not None and onward.terminal:
            raise _in_its_interface(row)
        agent = self._agent(row)
        if is_answerable(agent):
            data = agent.message(text)
        elif row.wishes.stdin or row.wishes.tty:
            data = f"{text}\n".encode("utf-8", "replace")
        else:
            raise _no_input(row)
        self._feeding.accept(entry, row, data)
        return f"sent to {row.name}"


def _stopped_by(who: str, text: str) -> str:
    why = "".join(each if each.isprintable() else " " for each in text[:500]).strip()
    return f"{who}: {why}" if why else who


def _denied(who: str, text: str) -> Refused:
    said = f": {text[:500]}" if text else ""
    return Refused(
        f"denied by {who}{said}", code=Code.DENIED, why="its grant asks for a person's yes", hint="ask that person"
    )


def _no_answer(why: str, row: SpawnRow, question: Question) -> Refused:
    verbs = "relay approve or relay deny" if question.kind is Asked.HELD else "relay stop"
    return Refused("that is no answer to it", code=Code.CONFLICT, why=why, hint=f"{verbs} {row.id}")


def _in_its_interface(row: SpawnRow) -> LocalFault:
    return LocalFault(
        f"{row.name} takes no lines now",
        code=Code.INPUT_CLOSED,
        why="its agent is open in its own interface",
        hint=f"relay attach {row.id}",
    )


def _no_input(row: SpawnRow) -> LocalFault:
    return LocalFault(
        f"{row.name} takes no input",
        code=Code.INPUT_CLOSED,
        why="it was started without; its standard input is empty",
        hint="the next time: relay spawn NAME AGENT TASK --stdin",
    )
