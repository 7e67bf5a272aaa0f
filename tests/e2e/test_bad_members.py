"""What a member gone bad may not do to another broker: stop it, fill its outbox, end its diallers' rest."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from relay.broker.membership import SIGHTS_AT_ONCE
from relay.core import ids
from relay.core.envelope import Body
from relay.core.frames import Batch, pack_frame
from relay.core.hello import MAX_HELLO, Incarnation, unpack_hello
from relay.core.kinds import Kind
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until
from relay.trust.hello import sign_hello, sign_start
from relay.trust.identity import load_identity
from relay.trust.signing import split_block
from tests.e2e.scene import audit, relay_json
from tests.fuzz.attacker import Attacker, finish, websocket_frame


class Claimer(Attacker):
    """A member whose hellos say more than is true."""

    claims: dict[str, object]

    def hello(self) -> bytes:
        """As an honest one, but for the claims."""
        honest = unpack_hello(split_block(super().hello(), MAX_HELLO)[0])
        return sign_hello(self.identity, dataclasses.replace(honest, **self.claims))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def bad() -> Iterator[Claimer]:
    """A member gone bad, whose own broker does not run, of a workspace of one other."""
    with Mesh.scratch("relay-e2e-") as mesh:
        victim, member = mesh.pair("laptop", "bad")
        member.stop()
        yield Claimer(member, victim)
        assert "Traceback" not in victim.log()


@pytest.fixture
def claimer(bad: Claimer) -> Claimer:
    """The same, honest until told otherwise."""
    bad.claims = {}
    wait_until(lambda: _links(bad.victim) == 0, 20, "the links of earlier tests to end")
    return bad


def _links(victim: Node) -> int:
    return int(victim.status()["links"])


@pytest.mark.parametrize("proof", [None, bytes(64)], ids=["no-proof", "forged-proof"])
def test_no_member_stops_a_broker_by_claiming_to_have_seen_a_later_start_of_it(
    claimer: Claimer, proof: bytes | None
) -> None:
    claimer.claims = {"seen_of_you": 2**53, "seen_nonce_of_you": bytes(16), "seen_start_of_you": proof}
    with claimer.link():
        wait_until(lambda: _links(claimer.victim) == 1, 10, "the claimer's link")
    assert claimer.victim.status()["intake"]
    intake = next(each for each in relay_json(claimer.victim, "doctor", status=None) if each["name"] == "intake")
    assert intake["ok"], intake


def test_a_start_that_its_owner_did_not_sign_is_no_hello(claimer: Claimer) -> None:
    claimer.claims = {"start": bytes(64)}
    with claimer.link() as opened:
        finish(opened)
    assert _links(claimer.victim) == 0


def test_offers_without_a_grant_are_rationed_like_requests(claimer: Claimer) -> None:
    """Each refused offer is answered durably: without a ration a member that takes no answer fills the outbox."""
    before = claimer.victim.status()["outbox"]["envelopes"]
    with claimer.link() as opened:
        wait_until(lambda: _links(claimer.victim) == 1, 10, "the member's link")
        for _ in range(30):
            opened.sendall(websocket_frame(pack_frame(Batch(tuple(_offer(claimer) for _ in range(20))))))
        wait_until(lambda: claimer.victim.status()["outbox"]["envelopes"] > before, 20, "some answers")
        _ended(opened)
    assert claimer.victim.status()["outbox"]["envelopes"] <= before + 100, "of 600 offers"


def _offer(claimer: Claimer) -> bytes:
    content = {"blob": os.urandom(32), "size": 10, "name": "x", "expires": time.time_ns() // 1_000_000 + 60_000}
    return claimer.envelope(Kind.BLOB_OFFER, Body(os.urandom(8).hex(), content))


def _ended(opened: socket.socket) -> None:
    """All of it was dealt with: the broker reads on to the end, and closes."""
    finish(opened)


def _rows(victim: Node) -> Counter[str]:
    """How much of what grows with each envelope is kept."""
    with contextlib.closing(sqlite3.connect(f"file:{victim.home}/relay.db?mode=ro", uri=True)) as store:
        tables = ("seen", "effects", "audit", "outbox", "refusals")
        return Counter({name: store.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables})


def test_words_that_mean_nothing_here_and_openings_without_a_grant_fill_no_store(claimer: Claimer) -> None:
    spawn = relay_json(claimer.victim, "spawn", "-", "shell", "sleep 60", "--cwd", "/tmp", "--timeout", "60s")["id"]
    error = None
    kinds: list[tuple[Kind, Callable[[], dict[str, object]]]] = [
        (Kind.STEERED, lambda: {"spawn": spawn, "operation": os.urandom(8).hex(), "error": error}),
        (Kind.STEER, lambda: {"spawn": _some_spawn(), "verb": "pause"}),
        (Kind.BLOB_ANSWER, lambda: {"blob": os.urandom(32), "state": "whole"}),
        (Kind.ATTACH_OPEN, lambda: {"spawn": spawn, "stream": os.urandom(16), "ask": _ASK}),
        (Kind.FORWARD_OPEN, lambda: {"spawn": spawn, "stream": os.urandom(16), "ask": {"port": claimer.victim.port}}),
    ]
    before = _rows(claimer.victim)
    for kind, content in kinds:
        with claimer.link() as opened:
            wait_until(lambda: _links(claimer.victim) == 1, 10, "the member's link")
            for _ in range(20):
                letters = (claimer.envelope(kind, Body(os.urandom(8).hex(), content())) for _ in range(20))
                opened.sendall(websocket_frame(pack_frame(Batch(tuple(letters)))))
            _ended(opened)
        wait_until(lambda: _links(claimer.victim) == 0, 10, "the end of its link")
    # 400 of each: what a person's slips make is written down one by one, the rest as a number
    assert (_rows(claimer.victim) - before).total() < 110, _rows(claimer.victim) - before
    relay_json(claimer.victim, "stop", spawn)


def _some_spawn() -> str:
    return ids.spawn_id(os.urandom(10))


def test_what_came_before_its_spawn_and_cannot_be_kept_is_refused(claimer: Claimer) -> None:
    """A member that may start things, and asks with what JSON cannot spell, with much, and without end."""
    claimer.victim.relay("trust", "allow", claimer.identity.id, "--profile", "full", "--dir", "/tmp", "--agent", "exec")
    odd: list[dict[str, object]] = [{"verb": {"pause": 1}}, {"verb": "pause", "change": b"x"}]
    odd.append({"verb": "pause", "change": float("nan")})
    much: list[dict[str, object]] = [{"verb": "edit", "change": {"task": "x" * 200_000}}] * 10
    with claimer.link() as opened:
        wait_until(lambda: _links(claimer.victim) == 1, 10, "the member's link")
        for wish in (*odd, *much):
            letter = claimer.envelope(Kind.STEER, Body(os.urandom(8).hex(), {"spawn": _some_spawn()} | wish))
            opened.sendall(websocket_frame(pack_frame(Batch((letter,)))))
        # what has come and is not dealt with goes with its link: an honest member would send it again
        wait_until(lambda: "too many wait for their spawns" in claimer.victim.log(), 20, "the last to be refused")
        _ended(opened)
    wait_until(lambda: _links(claimer.victim) == 0, 10, "the end of its link")
    claimer.victim.relay("trust", "revoke", claimer.identity.id)
    refused = claimer.victim.log()
    assert refused.count("steer from") >= 3 and "it has another form" in refused
    with contextlib.closing(sqlite3.connect(f"file:{claimer.victim.home}/relay.db?mode=ro", uri=True)) as store:
        kept = store.execute("SELECT count(*), sum(length(content)) FROM early_steers").fetchone()
    assert 0 < kept[0] <= 5 and kept[1] <= 1024 * 1024, "a mebibyte of them at most"
    assert "Traceback" not in refused


_ASK = {"source": bytes(16), "drive": True, "again": False, "offset": None, "who": "x", "rows": 24, "columns": 80}


@pytest.fixture
def lone(mesh: Mesh) -> Claimer:
    """The same in a workspace of the test's own."""
    victim, member = mesh.pair("laptop", "bad")
    member.stop()
    made = Claimer(member, victim)
    made.claims = {}
    return made


def _come_as_a_second_machine(claimer: Claimer, **claims: object) -> None:
    with claimer.link():
        wait_until(lambda: _links(claimer.victim) == 1, 10, "the first one's link")
        claimer.claims = {"incarnation": 1} | claims
        with claimer.link() as second:
            _ended(second)


def test_a_later_start_that_is_proved_is_written_down_though_its_link_never_comes_up(lone: Claimer) -> None:
    later = Incarnation(2**40, bytes(16))
    proof = sign_start(load_identity(lone.victim.home / "identity.key"), later)
    claims = {"seen_of_you": later.counter, "seen_nonce_of_you": later.nonce, "seen_start_of_you": proof}
    _come_as_a_second_machine(lone, **claims)
    for _ in range(2):
        assert not lone.victim.status()["intake"]
        checks = relay_json(lone.victim, "doctor", status=None)
        assert not next(each for each in checks if each["name"] == "intake")["ok"]
        lone.victim.restart()


def test_a_copy_that_comes_while_the_trust_file_is_broken_is_frozen_in_it_once_it_is_mended(lone: Claimer) -> None:
    trust = lone.victim.home / "trust.toml"
    lone.victim.relay("trust", "allow", lone.identity.id, "--agent", "exec", "--dir", "/tmp")
    whole = trust.read_text()
    trust.write_text(whole + "\nrate = 'often'\n")
    _come_as_a_second_machine(lone)
    wait_until(lambda: "grant_frozen" in str(audit(lone.victim)), 10, "it to be seen")
    trust.write_text(whole)
    wait_until(lambda: relay_json(lone.victim, "trust", "list")[0]["frozen"], 20, "its grant to be frozen")
    assert "frozen = true" in trust.read_text()


def test_who_shows_one_start_after_another_beside_its_link_fills_no_log(lone: Claimer) -> None:
    with lone.link():
        wait_until(lambda: _links(lone.victim) == 1, 10, "the first one's link")
        for _ in range(SIGHTS_AT_ONCE + 10):
            lone.claims = {"incarnation": 1, "nonce": os.urandom(16)}
            with lone.link() as second:
                _ended(second)
    seen = [each for each in audit(lone.victim) if each["code"] == "grant_frozen"]
    assert 1 <= len(seen) <= SIGHTS_AT_ONCE + 1
