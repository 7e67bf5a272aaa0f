"""A ration counts requests, not how often each of them comes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from relay.broker import rationing
from relay.broker.auditor import Auditor
from relay.broker.inbox import Opened
from relay.broker.rationing import A_DAY, AT_ONCE, Rationing
from relay.core.envelope import Body, unpack_envelope
from relay.core.errors import Code
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.store import outbox
from relay.testing.bench_node import BenchNode, bench_mesh
from relay.testing.carrier import MemoryNetwork

if TYPE_CHECKING:
    import pytest


async def _waiting(node: BenchNode, peer: BrokerId) -> list[bytes]:
    page = await node.store.all(outbox.PAGE, recipient=peer, after=0, limit=1_000, max_bytes=1 << 24)
    return [row.envelope for row in page]


async def test_what_was_taken_in_and_comes_again_is_receipted_though_the_ration_is_used_up(tmp_path: Path) -> None:
    answers: list[tuple[Kind, Any]] = []
    async with bench_mesh(tmp_path, 2, MemoryNetwork(), apart=[(0, 1)]) as (asker, target):
        for at in range(AT_ONCE + 1):
            await asker.post(target.id, f"operation-{at}")
        first, *others = await _waiting(asker, target.id)
        auditor = Auditor(target.store, target.place.identity)
        rationing = Rationing(lambda origin, verb: False, auditor, target.store)
        target.inbox._ration = rationing.refusal
        target.inbox._answer = lambda origin, kind, content, giver=None: answers.append((kind, content))
        await target.inbox.take([first], asker.id)
        await target.inbox.take(others, asker.id)
        refused = [content for kind, content in answers if kind is Kind.NACK]
        assert [each["code"] for each in refused] == [Code.RATE_LIMITED]  # the one that is over the ration
        answers.clear()
        for _ in range(3):
            await target.inbox.take([first], asker.id)
        receipted = [content["ids"] for kind, content in answers if kind is Kind.RECEIPT]
        assert len(receipted) == len(answers) == 3
        assert sorted(await target.acted()) == sorted(f"operation-{at}" for at in range(AT_ONCE))


async def test_who_may_answer_and_stop_but_not_spawn_answers_as_often_as_it_likes(tmp_path: Path) -> None:
    async with bench_mesh(tmp_path, 2, MemoryNetwork(), apart=[(0, 1)]) as (asker, target):
        await asker.post(target.id, "operation")
        (raw,) = await _waiting(asker, target.id)
        auditor = Auditor(target.store, target.place.identity)
        rationing = Rationing(lambda origin, verb: verb in ("approve", "stop"), auditor, target.store)

        async def refused(kind: Kind) -> int:
            asked = Opened(unpack_envelope(raw), kind, Body("operation", {}), asker.id)
            return sum([await rationing.refusal(asked) is not None for _ in range(AT_ONCE + 10)])

        assert [await refused(kind) for kind in (Kind.ANSWER, Kind.STEER, Kind.STOP, Kind.SPAWN)] == [0, 0, 0, 10]


async def test_who_asks_on_and_on_without_a_grant_is_heard_a_thousand_times_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0
    monkeypatch.setattr(rationing, "monotonic_ms", lambda: now)
    async with bench_mesh(tmp_path, 2, MemoryNetwork(), apart=[(0, 1)]) as (asker, target):
        heard = Rationing(lambda origin, verb: False, Auditor(target.store, target.place.identity), target.store)

        def a_day_of_it() -> int:
            nonlocal now
            taken = 0
            for _ in range(43_200):
                now += 2_000
                taken += heard.may_be_written(asker.id)
            return taken

        assert 2 * A_DAY - 5 < a_day_of_it() < 2 * A_DAY + 5  # those of the day before were left
        assert A_DAY - 5 < a_day_of_it() < A_DAY + 5
