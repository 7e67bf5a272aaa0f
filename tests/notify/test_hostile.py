"""Services that lie, hang, pour and flood: nothing is delivered that was not, and nobody is told a hundred times."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

from relay.testing.processes import wait_until
from tests.e2e.scene import error_of, relay, relay_json
from tests.notify.conftest import Ground
from tests.notify.test_via import gate

SLOW, PATIENT = "?rto=0.3", "?rto=38"  # how long apprise waits for this service


def test_a_service_that_sends_elsewhere_did_not_take_it(ground: Ground) -> None:
    """The other place is asked by GET, answers 200, and got no word; and it may be any host of that network."""
    ground.receiver.moved.add("hook")
    for address in (ground.receiver.webhook("hook"), ground.receiver.webhook("hook") + "?redirect=yes"):
        ground.add("hook", address)
        told = relay_json(ground.laptop, "notify", "test", "hook", status=1)
        assert not told["delivered"] and told["state"] == "failed" and "302" in told["error"], told
        relay(ground.laptop, "notify", "remove", "hook")
    assert ground.receiver.fetched == []


def test_a_service_that_hangs_is_asked_again_late_and_not_for_a_day(ground: Ground) -> None:
    """It has the word, and says nothing in time: each further try would tell it again."""
    released = threading.Event()
    ground.receiver.on_request = lambda: released.wait(20) and None  # type: ignore[assignment]
    try:
        ground.add("hook", ground.receiver.webhook("hook") + SLOW)
        _, spawn = ground.spawn("true")
        wait_until(lambda: any(each["error"] for each in ground.sent(spawn)), 30, "the first try to be over")
        (told,) = ground.sent(spawn)
    finally:
        released.set()
    assert told["state"] == "due" and told["tries"] == 1 and told["error"] == "it gave no answer in time", told
    later = datetime.fromisoformat(told["next_try"]) - datetime.fromisoformat(told["created"])
    assert later > timedelta(seconds=50) and len(ground.receiver.got) == 1


def test_an_answer_without_an_end_takes_neither_the_memory_nor_the_word(ground: Ground) -> None:
    ground.receiver.endless.add("hook")
    ground.add("hook", ground.receiver.webhook("hook"))
    told = relay_json(ground.laptop, "notify", "test", "hook", status=1)
    assert told["error"] == "its answer was too long, or its plugin failed", told
    assert 0 < ground.receiver.poured < 512 << 20


def test_two_addresses_in_one_are_refused(ground: Ground) -> None:
    """Where one of the two fails, the other would be told again and again."""
    both = f"{ground.receiver.webhook('a')}, {ground.receiver.webhook('b')}"
    done = relay(ground.laptop, "--json", "notify", "add", "both", typed=both.encode())
    assert error_of(done)["code"] == "bad_channel" and "more than one" in error_of(done)["why"]
    assert (done.returncode, relay(ground.laptop, "notify", "test", "both").returncode) == (2, 2), "1 is of a failure"


def test_a_flood_is_told_together_and_what_needs_somebody_first(ground: Ground) -> None:
    """While the first is being told, fifteen more come: they are one word, and each is on record."""
    come = threading.Event()
    ground.receiver.on_request = lambda: come.wait(40) and None  # type: ignore[assignment]
    ground.add("hook", ground.receiver.webhook("hook") + PATIENT)
    try:
        spawns = [ground.spawn("true") for _ in range(15)] + [ground.spawn("exit 7")]
        wait_until(lambda: all(ground.sent(each) for _, each in spawns), 30, "all to have ended")
    finally:
        come.set()
    for _, each in spawns:
        assert ground.told(each, "hook", "delivered")["tries"] == 1
    one, many = ground.receiver.got
    assert many.title == "15 spawns: 1 ran into trouble, 14 finished", many
    failed, spawn = spawns[-1]
    lines = many.text.splitlines()
    event = ground.sent(spawn)[0]["event"]
    assert lines[0] == f"{failed} on laptop ran into trouble: the task ended with exit code 7 (event {event})"
    assert len(lines) == 15 and one.title.endswith("finished")
    assert relay(ground.laptop, "notify", "test", "hook").returncode == 0, "a test is no part of it"


def test_a_broker_that_cannot_tell_says_so_to_who_entrusted_it(ground: Ground) -> None:
    ground.vps.relay("trust", "allow", "laptop", "--verb", "notify")
    ground.receiver.down.add("hook")
    ground.add("hook", ground.receiver.webhook("hook"), "--via", "vps")

    def stands(state: str) -> bool:
        ((via,),) = (each["via"] for each in relay_json(ground.laptop, "notify", "list"))
        return bool(via["state"] == state and ("503" in via["why"]) is (state == "failing"))

    wait_until(lambda: stands("accepted"), 20, "vps to take it")
    go, wait = gate(ground)
    name, spawn = ground.spawn(wait, on=ground.vps)
    wait_until(lambda: relay(ground.vps, "show", spawn).returncode == 0, 20, "vps to have it")
    ground.laptop.kill()
    go.touch()
    wait_until(lambda: any(each["tries"] > 1 for each in ground.sent(spawn, ground.vps)), 30, "two tries on vps")
    ground.laptop.start()
    wait_until(lambda: stands("failing"), 20, "laptop to hear of it")
    doctor = {each["name"]: each for each in relay_json(ground.laptop, "doctor", status=None)}
    assert "vps: " in doctor["notify hook"]["detail"] and not doctor["notify hook"]["ok"]
    (mine,) = wait_until(lambda: ground.sent(spawn), 20, "laptop to know of its end")
    ground.laptop.kill()
    ground.receiver.down.clear()
    ground.receiver.wait_for(name)
    due = datetime.fromisoformat(mine["next_try"])
    wait_until(lambda: datetime.now(UTC) > due, 30, "the moment in which laptop would tell it", every=0.5)
    ground.laptop.start()
    wait_until(lambda: stands("accepted"), 20, "laptop to hear that it works again")
    ground.told(spawn, "hook", "elsewhere")
    assert len(ground.receiver.told_of(name)) == 1, "laptop, back again, hears first whether it was told"
