"""What the queue says between two real brokers: why a task waits, and where each stands."""

from __future__ import annotations

from tests.e2e.queue_scene import held_up, reason, says
from tests.e2e.scene import Scene, refused, relay, relay_json, said


def test_what_lacks_one_sort_of_slot_holds_up_nothing_behind_it(queue: Scene) -> None:
    first = held_up(queue, ("--label", "gpu=a"))
    blocked = queue.begin("true", "--label", "gpu=b")
    second = queue.begin("true", "--label", "gpu=c")
    assert queue.until(queue.begin("true"), "completed")["attempt"] == 1
    queue.until(blocked, "waiting")
    assert reason(queue, blocked) == "1 of 1 gpu slots busy, 0 ahead"
    assert reason(queue, second) == "1 of 1 gpu slots busy, 1 ahead"
    listed = {spawn["id"]: spawn["reason"] for spawn in relay_json(queue.vps, "queue")}
    assert listed[second] == "1 of 1 gpu slots busy, 1 ahead"
    relay(queue.laptop, "stop", first)
    queue.until(blocked, "completed")
    queue.until(second, "completed")


def test_what_waits_for_something_else_by_now_says_so_at_its_origin_too(queue: Scene) -> None:
    queue.grant("--agent", "shell", "--max-parallel", "1")
    with queue.vps.control() as control:
        own = control.spawn("sleep", "80", cwd=str(queue.vps.work))["id"]
    runs = held_up(queue, ("--label", "gpu=a"))
    labelled, *others = waiting = [queue.begin("true", *words) for words in (("--label", "gpu=b"), (), ())]
    for spawn in waiting:
        says(queue, spawn, "2 of 2 slots busy", on=queue.laptop)
    with queue.vps.control() as control:
        next_one = control.spawn("true", cwd=str(queue.vps.work))["id"]
    listed = {spawn["id"]: spawn["reason"] for spawn in relay_json(queue.vps, "queue")}
    assert reason(queue, next_one) == listed[next_one] == "2 of 2 slots busy, 0 ahead", "a grant keeps the others"
    assert reason(queue, waiting[2]) == listed[waiting[2]] == "2 of 2 slots busy, 2 ahead"
    relay(queue.vps, "stop", own)
    says(queue, labelled, "1 of 1 gpu slots busy, 0 ahead", on=queue.laptop)
    for spawn in others:
        says(queue, spawn, "its grant allows 1 at once", on=queue.laptop)
        assert reason(queue, spawn) == "1 of its tasks are in hand here; its grant allows 1 at once"
    relay(queue.laptop, "stop", runs)
    for spawn in waiting:
        queue.until(spawn, "completed")


def test_the_queue_is_listed_by_where_its_tasks_stand(queue: Scene) -> None:
    first = held_up(queue, ("--label", "gpu=a"))
    second = queue.begin("true", "--label", "gpu=b")
    queue.until(second, "waiting")

    def listed(*statuses: str) -> list[str]:
        words = [word for status in statuses for word in ("--status", status)]
        return [each["id"] for each in relay_json(queue.laptop, "queue", *words)]

    assert listed("waiting") == [second] and listed("running") == [first]
    assert listed("waiting", "running") == listed("live") == listed() == [second, first]
    none = relay(queue.laptop, "queue", "--status", "held")
    assert none.returncode == 0 and said(none).startswith(b"nothing in the queue is held")
    for status, words in (("completed", "relay ps --state completed"), ("nonsense", "relay queue --status waiting")):
        error = refused(queue.laptop, "queue", "--status", status, code="usage")
        assert status in error["message"] and words in error["hint"] and error["why"]
    relay(queue.laptop, "stop", first)
    queue.until(second, "completed")
