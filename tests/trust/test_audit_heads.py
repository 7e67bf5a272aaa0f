"""Ends of audit logs between brokers: whose word on a log is believed."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.broker.audit_heads import Heads
from relay.core.hello import AuditHead, Binding, Hello, Role, pack_hello, unpack_hello
from relay.store.engine import Store
from relay.store.journal import Entry, Journal, Letter
from relay.trust.audit import sign_head

from .seeds import LAPTOP, NOW, STRANGER, VPS

HEAD = AuditHead(5, b"\x05" * 32)


class _Nobody:
    """A postbox for entries that post nothing."""

    def post(self, tx: object, letter: Letter, now: int) -> None:
        return None


def hello(head: AuditHead = HEAD, **more: object) -> Hello:
    said = Hello(
        versions=(1,),
        public=VPS.public,
        name="vps",
        role=Role.MEMBER,
        incarnation=1,
        nonce=bytes(16),
        roster_head=bytes(32),
        audit_head=head,
        binding=Binding(VPS.public, LAPTOP.public).digest,
        seen_of_you=0,
        addresses=(),
        clock_ms=NOW,
        audit_proof=sign_head(VPS, head),
    )
    return dataclasses.replace(said, **more)  # type: ignore[arg-type]


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with await Store.open(tmp_path / "relay.db") as store:
        yield Journal(store, _Nobody(), lambda: NOW)


async def heard(journal: Journal, heads: Heads, said: Hello) -> list[str]:
    def decide(entry: Entry) -> list[str]:
        return heads.heard(entry, said)

    return await journal.commit(decide)


async def test_a_shorter_log_or_another_at_its_end_is_cut_and_a_longer_one_is_not(journal: Journal) -> None:
    for later, cut in (
        (AuditHead(4, HEAD.hash), True),
        (AuditHead(5, bytes(32)), True),
        (AuditHead(6, bytes(32)), False),
    ):
        heads = Heads(LAPTOP, journal.store)
        assert await heard(journal, heads, hello()) == []
        assert await heard(journal, heads, hello()) == []
        assert bool(await heard(journal, heads, hello(later))) is cut
        assert (VPS.id in heads.cut_elsewhere) is cut
        await journal.commit(lambda entry, heads=heads: heads.forget(entry, VPS.id))  # type: ignore[misc]


async def test_a_longer_log_with_another_entry_at_the_old_end_is_cut(journal: Journal) -> None:
    heads = Heads(LAPTOP, journal.store)
    await heard(journal, heads, hello())
    longer = AuditHead(9, b"\x09" * 32)
    assert await heard(journal, heads, hello(longer, audit_at=(4, bytes(32)))) == []
    heads = Heads(LAPTOP, journal.store)
    await heads.open()
    assert await heard(journal, heads, hello(AuditHead(20, b"\x20" * 32), audit_at=(9, longer.hash))) == []
    assert len(await heard(journal, heads, hello(AuditHead(30, b"\x30" * 32), audit_at=(20, bytes(32))))) == 1


async def test_nobody_calls_this_log_cut_without_this_brokers_own_signature(journal: Journal) -> None:
    heads = Heads(LAPTOP, journal.store)
    for signer in (VPS, STRANGER):
        claim = (7, b"\x07" * 32, sign_head(signer, AuditHead(7, b"\x07" * 32)))
        assert await heard(journal, heads, hello(seen_audit_of_you=claim)) == []
        assert heads.held == []
    mine = (7, b"\x07" * 32, sign_head(LAPTOP, AuditHead(7, b"\x07" * 32)))
    assert len(await heard(journal, heads, hello(seen_audit_of_you=mine))) == 1
    assert heads.held == [(VPS.id, 7, False)]
    assert await heard(journal, heads, hello(seen_audit_of_you=mine)) == []


async def test_an_end_with_a_false_proof_is_not_kept(journal: Journal) -> None:
    heads = Heads(LAPTOP, journal.store)
    await heard(
        journal, heads, hello(AuditHead(99, bytes(32)), audit_proof=sign_head(STRANGER, AuditHead(99, bytes(32))))
    )
    assert await heard(journal, heads, hello()) == [] and not heads.cut_elsewhere


async def test_what_a_hello_tells_is_read_as_it_was_written(journal: Journal) -> None:
    heads = Heads(LAPTOP, journal.store)
    mine = (7, b"\x07" * 32, sign_head(LAPTOP, AuditHead(7, b"\x07" * 32)))
    await heard(journal, heads, hello(seen_audit_of_you=mine))
    told = heads.told(VPS.id, AuditHead(2, bytes(32)))
    assert told["seen_audit_of_you"] == (5, HEAD.hash, sign_head(VPS, HEAD))
    assert told["audit_at"] == (7, bytes(32))
    said = hello(**told)
    assert unpack_hello(pack_hello(said)) == said
