"""Another broker tells in the asker's stead: only where it allows that by name, and only of what really happened."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.e2e.scene import audit, fresh, relay, relay_json
from tests.notify.conftest import Ground
from tests.notify.receiver import PASSWORD, SECRET


def allow(ground: Ground, on: Node, *words: str) -> None:
    on.relay("trust", "allow", "laptop", *(words or ("--verb", "notify")))


def entrusted(ground: Ground, state: str) -> dict[str, Any]:
    """The channel on laptop, once every broker in its `via` is in this state."""

    def found() -> dict[str, Any] | None:
        (channel,) = relay_json(ground.laptop, "notify", "list")
        return channel if {each["state"] for each in channel["via"]} == {state} else None

    return wait_until(found, 20, f"the channel to be {state}") or {}


def gate(ground: Ground) -> tuple[Path, str]:
    """A file, and the words of a script that wait for it: until then its asker has no end to tell of."""
    file = ground.mesh.folder / fresh("gate")
    return file, f"while [ ! -e {file} ]; do sleep 0.02; done"


@contextlib.contextmanager
def dead(node: Node) -> Iterator[None]:
    """The broker is killed, and started again after the block."""
    node.kill()
    try:
        yield
    finally:
        node.start()


@pytest.mark.parametrize("words", [(), ("--profile", "full")])
def test_who_has_no_grant_by_name_has_nothing_sent_from_there(ground: Ground, words: tuple[str, ...]) -> None:
    """Neither a member that may spawn, nor one with the profile `full`: no address of its own is reached from vps."""
    if words:
        allow(ground, ground.vps, *words)
    ground.add("phone", ground.receiver.webhook(), "--via", "vps")
    (via,) = entrusted(ground, "refused")["via"]
    assert "on vps: relay trust allow laptop --verb notify" in via["why"]
    assert relay_json(ground.vps, "notify", "list") == []
    go, wait = gate(ground)
    name, spawn = ground.spawn(wait, on=ground.vps)
    wait_until(lambda: _knows(ground.vps, spawn), 20, "vps to have it")
    with dead(ground.laptop):
        go.touch()
        with ground.vps.control() as control:
            wait_until(lambda: control.get(f"spawns/{spawn}")["state"] == "completed", 20, "its end")
        assert ground.sent(spawn, ground.vps) == [] and ground.receiver.told_of(name) == []
    refused = [each for each in audit(ground.vps) if each["kind"] == "notify"]
    assert refused[-1]["decision"] == "refused" and refused[-1]["code"] == "no_verb"
    doctor = {each["name"]: each for each in relay_json(ground.laptop, "doctor", status=1)}
    assert not doctor["notify phone"]["ok"] and "vps: " in doctor["notify phone"]["detail"]


def test_while_the_asker_is_away_the_runner_tells_and_the_asker_does_not_again(ground: Ground) -> None:
    allow(ground, ground.vps)
    ground.add("phone", ground.receiver.webhook(), "--via", "vps")
    entrusted(ground, "accepted")
    go, wait = gate(ground)
    name, spawn = ground.spawn(f"{wait}; exit 4", on=ground.vps)
    wait_until(lambda: _knows(ground.vps, spawn), 20, "vps to have it")
    with dead(ground.laptop):
        go.touch()
        told = ground.receiver.wait_for(name)
    assert told.title == f"{name} on vps ran into trouble: the task ended with exit code 4"
    here = ground.told(spawn, "phone", "elsewhere")
    assert here["told_by"]["name"] == "vps" and here["event"] == told.event and here["delivered"]
    assert len(ground.receiver.told_of(name)) == 1
    (theirs,) = relay_json(ground.vps, "notify", "list")
    assert theirs["owner"]["name"] == "laptop" and theirs["service"] == "json://…"
    shown = repr([theirs, relay_json(ground.vps, "notify", "sent"), audit(ground.vps)]) + ground.vps.log()
    files = b"".join(each.read_bytes() for each in ground.vps.home.rglob("*") if each.is_file())
    for secret in (SECRET, PASSWORD):
        assert secret not in shown and secret.encode() not in files


def test_a_third_broker_tells_what_another_ran_by_two_signatures(ground: Ground) -> None:
    """laptop asked mini, and is gone; vps knows it from mini's word and laptop's voucher."""
    mini = ground.third()
    allow(ground, ground.vps)
    ground.add("phone", ground.receiver.webhook(), "--via", "vps", "--on", "failure")
    entrusted(ground, "accepted")
    go, wait = gate(ground)
    name, spawn = ground.spawn(f"{wait}; exit 4", on=mini)
    wait_until(lambda: _knows(mini, spawn), 20, "mini to have it")
    with dead(ground.laptop):
        go.touch()
        assert ground.receiver.wait_for(name).title.startswith(f"{name} on mini ran into trouble: ")
    assert ground.told(spawn, "phone", "elsewhere")["told_by"]["name"] == "vps"
    assert len(ground.receiver.told_of(name)) == 1


def _knows(node: Node, spawn: str) -> bool:
    return any(each["id"] == spawn for each in relay_json(node, "ps", "--all"))


def test_a_grant_that_is_taken_back_silences_what_was_entrusted(ground: Ground) -> None:
    allow(ground, ground.vps)
    ground.add("phone", ground.receiver.webhook(), "--via", "vps")
    entrusted(ground, "accepted")
    ground.vps.relay("trust", "revoke", "laptop")
    ground.mesh.grant(on=ground.vps, to=ground.laptop, words=("--agent", "shell"))
    ground.mesh.await_link(ground.laptop)
    go, wait = gate(ground)
    _, spawn = ground.spawn(wait, on=ground.vps)
    wait_until(lambda: _knows(ground.vps, spawn), 20, "vps to have it")
    with dead(ground.laptop):
        go.touch()
        wait_until(lambda: any(each["error"] for each in ground.sent(spawn, ground.vps)), 20, "the refusal")
        (told,) = ground.sent(spawn, ground.vps)
    assert told["error"] == "laptop may not notify on vps" and told["tries"] == 0
    relay(ground.laptop, "notify", "remove", "phone")
    wait_until(lambda: relay_json(ground.vps, "notify", "list") == [], 20, "vps to forget it")
