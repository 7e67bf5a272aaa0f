"""Versions that differ: an unknown kind is a dead letter with true words, another protocol is told on both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relay.broker.dialler import Dialler
from relay.core import hello
from relay.core.hello import Hello
from relay.core.kinds import KINDS, Kind
from relay.store import refusals
from relay.store.outbox import OutboxState
from relay.testing.bench_node import BenchNode, until
from relay.testing.carrier import MemoryNetwork
from tests.mesh.conftest import Pair

if TYPE_CHECKING:
    import pytest


async def test_an_unknown_kind_is_given_up_with_true_words(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = pair
    keys = KINDS[Kind.STOP]
    understood = other.inbox._understood

    def older(*opened: Any) -> Any:
        """A broker of a version that had no `stop` yet."""
        with monkeypatch.context() as patch:
            patch.delitem(Kind._value2member_map_, "stop")
            return understood(*opened)

    monkeypatch.setattr(other.inbox, "_understood", older)
    await one.post(other.id, "operation")
    await until(lambda: _is_dead(one))
    (line,) = await one.rows()
    assert line.reason.startswith("unknown_kind: this broker does not know the kind 'stop'"), line.reason
    await until(lambda: _kept(other))
    (kept,) = await other.store.all(refusals.NEWEST, limit=9)
    assert kept.kind == "stop" and kept.reason.startswith("unknown_kind: ")
    assert KINDS[Kind.STOP] is keys and one.mesh.link(other.id) is not None


async def _is_dead(node: BenchNode) -> bool:
    return [line.state for line in await node.rows()] == [OutboxState.DEAD]


async def _kept(node: BenchNode) -> bool:
    return bool(await node.store.all(refusals.NEWEST, limit=9))


async def test_another_protocol_is_told_on_both_sides_and_dialled_calmly(pair: Pair, network: MemoryNetwork) -> None:
    one, other = pair
    other.mesh._greeter.versions = (2,)  # a broker of the next version
    before = network.dials
    network.cut(one.id, other.id)
    await until(lambda: other.id in one.mesh.turned_down and one.id in other.mesh.turned_down)
    for node, peer in ((one, other), (other, one)):
        told = node.mesh.turned_down[peer.id]
        assert "bench-1" in told and "speaks protocol" in told and told.endswith("upgrade relay on bench-0"), told
    await until(lambda: network.dials >= before + 4)
    assert max(_wait(node.dialler, peer) for node, peer in ((one, other), (other, one))) >= 500, "the waits grow"
    assert not one.mesh.up and not other.mesh.up


def _wait(dialler: Dialler, peer: BenchNode) -> int:
    """The next step of a member's backoff, milliseconds."""
    return dialler._ways[peer.id].backoff._next


def test_a_hello_of_before_the_nonce_is_still_read() -> None:
    said = Hello((1,), bytes(32), "a", hello.Role.MEMBER, 1, bytes(16), bytes(32), hello.AuditHead(0, bytes(32)),
                 bytes(32), 0, (), 5)  # fmt: skip
    assert b"seen_nonce_of_you" not in hello.pack_hello(said)
    assert hello.unpack_hello(hello.pack_hello(said)).seen_nonce_of_you is None
    new = Hello((1,), bytes(32), "a", hello.Role.MEMBER, 1, bytes(16), bytes(32), hello.AuditHead(0, bytes(32)),
                bytes(32), 3, (), 5, b"n" * 16)  # fmt: skip
    assert hello.unpack_hello(hello.pack_hello(new)) == new
