"""Well-formed steers and schedules of a member that may not: refused, audited, nothing changed."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from relay.core.envelope import Body
from relay.core.frames import Batch, pack_frame
from relay.testing.control import Control
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.fuzz.attacker import Attacker, websocket_frame
from tests.fuzz.specimens import REQUEST

_numbers = itertools.count()


@pytest.fixture(scope="module")
def ground() -> Iterator[tuple[Node, Attacker, str]]:
    """A broker, a member whose broker is not running, and a spawn of the broker's own that waits."""
    with Mesh.scratch("relay-rights-") as mesh:
        victim, member = mesh.pair("victim", "member")
        member.stop()
        with victim.control() as control:
            spawn = control.spawn("/bin/true", cwd=str(victim.work), not_before=4_000_000_000_000, name="mine")
        yield victim, Attacker(member, victim), str(spawn["id"])


def _audited(victim: Node) -> list[dict[str, Any]]:
    with victim.control() as control:
        return [each for each in control.get("audit?limit=500") if each["decision"] == "refused"]


def _state(control: Control, spawn: str) -> str:
    return next((str(each["state"]) for each in control.get("spawns?all=1") if each["id"] == spawn), "")


def _send(attacker: Attacker, kind: str, content: dict[str, Any], critical: tuple[str, ...] = ()) -> None:
    letter = attacker.envelope(kind, Body(f"rights-{next(_numbers)}", content, critical))
    with attacker.link() as link:
        link.sendall(websocket_frame(pack_frame(Batch((letter,)))))
        link.shutdown(socket.SHUT_WR)
        with suppress(OSError):
            while link.recv(65_536):
                pass


@pytest.mark.parametrize(
    ("verb", "extra"),
    [
        ("pause", {}),
        ("resume", {}),
        ("retry", {}),
        ("continue", {"task": "touch /tmp/mine"}),
        ("edit", {"change": {"task": "touch /tmp/mine"}}),
        ("gone", {"after": "a" * 16}),
        ("pause_queue", {}),
        ("unschedule", {}),
    ],
)
def test_a_member_without_a_grant_steers_nothing(
    ground: tuple[Node, Attacker, str], verb: str, extra: dict[str, Any]
) -> None:
    victim, attacker, spawn = ground
    with victim.control() as control:
        before = control.get(f"spawns/{spawn}")
    known = len(_audited(victim))
    _send(attacker, "steer", {"spawn": spawn, "verb": verb, "by": "mallory"} | extra)
    wait_until(lambda: len(_audited(victim)) > known, 10, f"the refusal of {verb} to be audited")
    assert _audited(victim)[-1]["code"] == "no_grant"
    with victim.control() as control:
        assert control.get(f"spawns/{spawn}") == before


def test_a_member_without_a_grant_that_answers_what_nobody_asks_is_told_of_its_grant_alone(
    ground: tuple[Node, Attacker, str],
) -> None:
    victim, attacker, spawn = ground
    answer = {"spawn": spawn, "request": "", "verb": "approve", "text": "", "hash": "", "person": "mallory"}
    trust = victim.home / "trust.toml"
    before = trust.read_text() if trust.exists() else ""
    try:
        for code in ("no_grant", "bad_trust_file"):
            known = len(_audited(victim))
            _send(attacker, "answer", answer)
            wait_until(lambda known=known: len(_audited(victim)) > known, 10, "it to be audited")  # type: ignore[misc]
            said = _audited(victim)[-1]
            assert said["code"] == code and "mine" not in said["detail"], "what it is called is nobody's to learn"
            trust.write_text("broken")
    finally:
        trust.write_text(before)


def test_who_may_run_things_still_may_not_change_what_others_asked_for(ground: tuple[Node, Attacker, str]) -> None:
    victim, attacker, spawn = ground
    words = ("--verb", "spawn", "--verb", "stop", "--agent", "exec", "--dir", str(victim.work))
    victim.relay("trust", "allow", attacker.identity.id, *words)
    try:
        known = len(_audited(victim))
        change = {"argv": ["/bin/echo", "changed"], "task": "/bin/echo changed"}
        _send(attacker, "steer", {"spawn": spawn, "verb": "edit", "by": "mallory", "change": change})
        wait_until(lambda: len(_audited(victim)) > known, 10, "the refusal to be audited")
        assert _audited(victim)[-1]["code"] == "no_verb"
        with victim.control() as control:
            assert control.get(f"spawns/{spawn}")["task"] == "/bin/true"
    finally:
        victim.relay("trust", "revoke", attacker.identity.id)


def test_how_a_predecessor_ended_is_a_state_or_is_not_told(ground: tuple[Node, Attacker, str]) -> None:
    """Whatever else stands there is no fault of the broker's that hears it."""
    victim, attacker, _ = ground
    words = ("--verb", "spawn", "--agent", "exec", "--dir", str(victim.work))
    victim.relay("trust", "allow", attacker.identity.id, *words)
    try:
        spawn, before, hour = "d" * 16, "e" * 16, 3_600_000
        now = time.time_ns() // 1_000_000
        asked: dict[str, Any] = {"spawn": spawn, "name": "late", "cwd": str(victim.work), "chain": []}
        asked |= {"created": now, "expires": now + hour, "wishes": {"after": [[before, "any"]]}}
        _send(attacker, "spawn", REQUEST.to_content() | asked, ("wishes",))
        with victim.control() as control:
            wait_until(lambda: _state(control, spawn) == "waiting", 10, "the spawn to wait for what is not there")
            nothing: list[object] = [[], {}, 1, "running"]
            for ended in nothing:
                _send(attacker, "steer", {"spawn": spawn, "verb": "gone", "after": before, "ended": ended})
            wait_until(lambda: _state(control, spawn) != "waiting", 10, "the end of its waiting")
        assert "Traceback" not in victim.log()
    finally:
        victim.relay("trust", "revoke", attacker.identity.id)


def test_a_member_without_a_grant_schedules_nothing(ground: tuple[Node, Attacker, str]) -> None:
    victim, attacker, _ = ground
    known = len(_audited(victim))
    request = REQUEST.to_content() | {"cwd": str(victim.work), "chain": []}
    _send(attacker, "schedule", {"schedule": "c" * 16, "every": "1s", "request": request})
    wait_until(lambda: len(_audited(victim)) > known, 10, "the refusal to be audited")
    with victim.control() as control:
        assert control.get("schedules?all=1") == []
