"""The states that a spawn has been through, and who said so when: from the signed words that are kept.

A time is on the clock of who said it. Only its target knows how a spawn stands; before its first word there is what
this broker itself did: it was asked, or it had the receipt.
"""

from __future__ import annotations

from typing import Any

from relay.broker.members import Members
from relay.broker.words import rfc3339
from relay.core.ids import BrokerId
from relay.core.states import TERMINAL, State
from relay.store import peers, questions, words
from relay.store.engine import Store
from relay.store.questions import Question
from relay.store.spawn_rows import SpawnRow

MOST_STEPS = 64


async def timeline(store: Store, members: Members, row: SpawnRow) -> dict[str, Any]:
    """What `show` tells of a spawn's course.

    Args:
        store: where the words are.
        members: names.
        row: the spawn.

    Returns:
        `timeline`: the newest 64 steps, oldest first; `timeline_earlier`: how many words of its target came before
        them that are not here, because they were overtaken on their way or are no longer kept; `marks`: what persons
        and questions put beside the states; `clock_skew_ms`: the target's clock minus this machine's, or None.
    """
    peer = await store.one(peers.BY_ID, id=row.target)
    skew = peer.clock_skew_ms if peer else None
    told = await _told(store, row) or _looked_at(row, members.own, peers.told_earlier(skew))
    steps = [*_before(row, members.own, told), *told, *_unsaid_end(row, members.own, told)]
    shown = steps[-MOST_STEPS:]
    return {
        "timeline": [_step(members, each) for each in shown],
        "timeline_earlier": _earlier(told, shown),
        "marks": await _marks(store, members, row),
        "clock_skew_ms": skew,
    }


async def _told(store: Store, row: SpawnRow) -> list[words.Step]:
    kept = await store.all(words.NEWEST, spawn=row.id, limit=MOST_STEPS)
    said = [_of_word(each, row.target) for each in reversed(kept)]
    folded = await store.one(words.FOLDED, spawn=row.id) or []
    first = said[0].order if said else (1 << 62, 0)
    return [each for each in (words.Step(*fields, row.target) for fields in folded) if each.order < first] + said


def _of_word(word: words.SignedWord, target: BrokerId) -> words.Step:
    return words.Step(word.attempt, word.seq, word.state, word.at, words.reason_of(word), target)


def _before(row: SpawnRow, own: BrokerId, told: list[words.Step]) -> list[words.Step]:
    """What this broker did before the target's first word; a receipt that came after it says nothing more."""
    if own not in (row.origin, row.target) or (row.schedule is not None and row.target != own):
        return []  # it is only looked at, or was made there as a run: what its target tells of it is all there is
    if row.origin != own or row.target == own:
        return [words.Step(0, 0, State.DELIVERED, row.first_word or row.created, "", own)]
    asked = words.Step(0, 0, State.QUEUED, row.created, "", own)
    if row.first_word is None or (told and told[0].at <= row.first_word):
        return [asked]
    return [asked, words.Step(0, 0, State.DELIVERED, row.first_word, "", own)]


def _looked_at(row: SpawnRow, own: BrokerId, ahead: int) -> list[words.Step]:
    """What the row alone says of a spawn that this broker neither asked for nor runs: on its target's clock again."""
    if own in (row.origin, row.target):
        return []
    now = words.Step(row.attempt, row.seq, row.state, row.since + ahead, row.reason, row.target)
    if row.started is None or row.state in (State.STARTING, State.RUNNING):
        return [now]
    return [words.Step(row.attempt, max(row.seq - 1, 1), State.RUNNING, row.started + ahead, "", row.target), now]


def _unsaid_end(row: SpawnRow, own: BrokerId, told: list[words.Step]) -> list[words.Step]:
    """An end that this broker wrote down by itself: nobody had taken it."""
    if row.state not in TERMINAL or row.seq or told:
        return []
    return [words.Step(0, 0, row.state, row.since, row.reason, own)]


def _earlier(told: list[words.Step], shown: list[words.Step]) -> int:
    first = next((each.seq for each in shown if each.seq), 0)
    return first - 1 if first and told else 0


def _step(members: Members, step: words.Step) -> dict[str, Any]:
    return {
        "at": rfc3339(step.at),
        "state": str(step.state),
        "attempt": step.attempt,
        "seq": step.seq,
        "reason": step.reason,
        "from": members.label(step.by),
    }


async def _marks(store: Store, members: Members, row: SpawnRow) -> list[dict[str, Any]]:
    found = [mark for each in await store.all(questions.OF_SPAWN, spawn=row.id) for mark in _asked(members, each)]
    if row.paused is not None:
        found.append(_mark(row.paused, "paused", row.paused_by or "", ""))
    if row.stop_requested is not None:
        # what was asked of another broker was asked here; else the word on the end says who did
        by = members.name(members.own) if row.origin == members.own != row.target else ""
        found.append(_mark(row.stop_requested, "stop asked for", by, ""))
    if row.resolved is not None:
        found.append(_mark(row.resolved["at"], f"resolved as {row.resolved['as']}", **_said(row.resolved)))
    return sorted(found, key=lambda mark: str(mark["at"]))[-MOST_STEPS:]


def _said(resolved: dict[str, Any]) -> dict[str, str]:
    return {"by": str(resolved["by"]), "text": str(resolved["notes"])}


def _asked(members: Members, question: Question) -> list[dict[str, Any]]:
    asked = _mark(question.asked, f"asked ({question.kind})", "", question.text)
    if question.closed is None or question.closed_as in (None, questions.ENDED):
        return [asked]
    if question.closed_as == questions.WITHDRAWN:
        return [asked, _mark(question.closed, "no longer asked", "", "")]
    where = f" on {members.name(question.closed_by)}" if question.closed_by else ""
    by = f"{question.person}{where}" if question.person else where.removeprefix(" on ")
    return [asked, _mark(question.closed, f"answered: {question.closed_as}", by, question.answer)]


def _mark(at: int, mark: str, by: str, text: str) -> dict[str, Any]:
    return {"at": rfc3339(at), "mark": mark, "by": by, "text": text}
