"""The queue between two real brokers: order, predecessors, retries, marks; asleep and after `kill -9`."""

from __future__ import annotations

import time
from typing import Any

from relay.api.durations import moment
from relay.testing import processes
from tests.e2e.queue_scene import held_up, is_tried, reason, says
from tests.e2e.scene import Scene, audit, error_of, fresh, relay, relay_json


def test_the_higher_priority_first_then_in_order_of_arrival(queue: Scene) -> None:
    marks = queue.vps.work / fresh("order")
    running = [held_up(queue), held_up(queue)]
    asked = []
    for name, priority in (("low", "-5"), ("first", "0"), ("second", "0"), ("high", "7")):
        asked.append(queue.begin(f"echo {name} >> {marks}; sleep 0.2", "--priority", priority))
        queue.until(asked[-1], "waiting")
    assert reason(queue, asked[0]) == "2 of 2 slots busy, 3 ahead"
    assert reason(queue, asked[3]) == "2 of 2 slots busy, 0 ahead"
    assert relay(queue.laptop, "edit", asked[2], "--priority", "3").returncode == 0
    assert queue.show(asked[2])["priority"] == 3
    relay(queue.laptop, "stop", running[0])  # one slot, so that they come one by one
    for spawn in asked:
        queue.until(spawn, "completed")
    assert marks.read_text().split() == ["high", "second", "first", "low"]


def test_a_chain_starts_in_order_and_ends_with_its_head(queue: Scene) -> None:
    marks = queue.vps.work / fresh("chain")
    a, b = fresh("a"), fresh("b")
    first = queue.begin(f"sleep 0.4; echo a >> {marks}", name=a)
    second = queue.begin(f"echo b >> {marks}", "--after", f"{a}@vps", name=b)
    third = queue.begin(f"echo c >> {marks}", "--after-success", second, "--after-any", first)
    (before,) = queue.show(second)["after"]
    assert (before["id"], before["condition"], before["name"]) == (first, "success", a)
    queue.until(third, "completed")
    assert marks.read_text().split() == ["a", "b", "c"]

    failing = queue.begin("sleep 0.4; exit 4", name=fresh("f"))
    after = queue.begin("true", "--after", failing)
    later = queue.begin("true", "--after", after)
    anyhow = queue.begin(f"echo d >> {marks}", "--after-any", failing)
    ended = queue.until(later, "cancelled")
    assert ended["error"]["code"] == "predecessor_failed" and after in ended["reason"] and not ended["attempt"]
    assert f"({failing}), which ended as failed" in queue.until(after, "cancelled")["reason"]
    queue.until(anyhow, "completed")
    assert "ended as failed" in queue.until(queue.begin("true", "--after", failing), "cancelled")["error"]["message"]
    assert relay(queue.laptop, "wait", later).returncode == 130
    with queue.laptop.control() as control:  # as the catalogue of the API has it
        other = control.spawn("true", broker="vps", cwd=str(queue.vps.work), after_success=[failing])
    assert queue.until(other["id"], "cancelled")["error"]["code"] == "predecessor_failed"


def test_a_predecessor_is_on_the_same_broker_and_no_chain_closes(queue: Scene) -> None:
    here = relay_json(queue.laptop, "spawn", "-", "shell", "true", "--cwd", str(queue.laptop.work))["id"]
    words = queue.words("shell", "true", options=("--after", here))
    error = error_of(relay(queue.laptop, "--json", *words))
    assert error["code"] == "bad_after" and "runs on laptop" in error["why"] and "relay wait" in error["hint"]
    relay(queue.vps, "queue", "pause")
    one = queue.begin("true")
    two = queue.begin("true", "--after", one)
    queue.until(two, "waiting")
    closing = error_of(relay(queue.laptop, "--json", "edit", one, "--after", two))
    assert closing["code"] == "bad_after" and "itself" in closing["message"]
    assert relay(queue.laptop, "edit", two, "--after", "none").returncode == 0
    between = queue.begin("true", "--after-any", one)
    last = queue.begin("true", "--after-any", between)
    relay(queue.laptop, "stop", between)
    # what has ended waits for nothing, so that no chain goes through it
    assert relay_json(queue.laptop, "edit", one, "--after-any", last)["steer"]["state"] == "done"
    relay(queue.laptop, "stop", one)
    relay(queue.vps, "queue", "resume")
    queue.until(two, "completed")


def test_a_failure_is_tried_again_over_a_kill_and_each_attempt_is_kept(queue: Scene) -> None:
    """The broker is killed while the spawn pauses; the attempts go on where they stood, each started once."""
    marks = queue.vps.work / fresh("tries")
    spawn = is_tried(queue, f"echo $$ >> {marks}; test $(wc -l < {marks}) -ge 3 || exit 9", "--retries", "3")
    queue.vps.restart()
    queue.linked()
    relay(queue.vps, "queue", "resume")
    ended = queue.until(spawn, "completed", within=25)
    assert (ended["attempt"], len(marks.read_text().split())) == (3, 3)
    for node in (queue.laptop, queue.vps):
        kept = queue.show(spawn, node)["attempts"]
        told = [(each["attempt"], each["state"], each["exit_code"], each["again"]) for each in kept]
        assert told == [(1, "failed", 9, "retry"), (2, "failed", 9, "retry")]
    shown = relay(queue.laptop, "show", spawn).stdout.decode()
    assert "attempt 1" in shown and "exit code 9" in shown and "then a retry" in shown


def test_what_another_attempt_cannot_mend_is_not_tried_again(queue: Scene) -> None:
    missing = relay_json(queue.laptop, *queue.words("exec", "no-such-program", options=("--retries", "3")))["id"]
    told = queue.until(missing, "failed")
    assert (told["attempt"], told["result"]["notes"]) == (1, ["no retry 1 of 3: another attempt cannot mend it"])
    late = queue.until(queue.begin("sleep 4; exit 5", "--retries", "3", "--ttl", "4.5s"), "failed")
    assert late["result"]["notes"] == ["no retry 1 of 3: it would start after its time to live (--ttl)"]
    stopped = held_up(queue, ("--retries", "3"))
    relay(queue.laptop, "stop", stopped)
    assert queue.until(stopped, "cancelled")["attempt"] == 1
    spent = queue.begin("exit 5", "--retries", "1")
    assert (queue.until(spent, "failed")["exit_code"], queue.show(spent)["attempt"]) == (5, 2)
    assert queue.show(spent)["result"]["notes"] == []
    between = queue.begin("exit 5", "--retries", "9")
    says(queue, between, "retry 3 of 9 in ")  # a pause of 4 s and more
    relay(queue.laptop, "stop", between)
    assert "between two attempts" in queue.until(between, "cancelled")["reason"]


def test_the_grant_is_judged_again_before_another_attempt(queue: Scene) -> None:
    spawn = is_tried(queue, "exit 6", "--retries", "3")
    (queue.vps.home / "trust.toml").unlink()  # as an editor would, and nobody tells the broker
    relay(queue.vps, "queue", "resume")
    # the next attempt is refused, or the broker has seen it before that and has ended what was asked for
    ended = queue.until(spawn, "rejected", "cancelled")
    assert ended["attempt"] == 1
    assert "its grant being revoked" in ended["reason"] or ended["error"]["code"] == "no_grant"


def test_retry_by_hand_is_another_attempt_of_the_same_spawn(queue: Scene) -> None:
    name, mark = fresh("again"), queue.vps.work / fresh("mark")
    spawn = queue.begin(f"test -e {mark}", name=name)
    queue.until(spawn, "failed")
    mark.touch()
    assert error_of(relay(queue.laptop, "--json", "retry", held_up(queue)))["code"] == "not_ended"
    again = relay_json(queue.laptop, "retry", name)
    assert (again["id"], again["steer"]["state"]) == (spawn, "done")
    done = queue.until(spawn, "completed")
    assert done["attempt"] == 2 and done["error"] is None
    assert done["attempts"][0]["again"].endswith("on laptop")
    holder = _held_up_as(queue, name)
    assert error_of(relay(queue.laptop, "--json", "retry", spawn))["code"] == "name_in_use"
    relay(queue.laptop, "stop", holder)


def _held_up_as(scene: Scene, name: str) -> str:
    relay(scene.laptop, "stop", *[each["id"] for each in relay_json(scene.laptop, "queue")][:1])
    spawn = scene.begin("sleep 80", name=name)
    scene.until(spawn, "running")
    return spawn


def test_pause_and_edit_act_on_what_has_not_started_only(queue: Scene) -> None:
    running = held_up(queue)
    refused = error_of(relay(queue.laptop, "--json", "pause", running))
    assert refused["code"] == "already_started" and "hold its slot" in refused["why"]
    assert error_of(relay(queue.laptop, "--json", "edit", running, "true"))["code"] == "already_started"
    relay(queue.vps, "queue", "pause")
    spawn = queue.begin("echo old")
    queue.until(spawn, "waiting")
    assert "the queue is paused by" in reason(queue, spawn, queue.laptop)
    assert queue.vps.status()["queue"]["paused"]["by"]
    assert b"relay" in relay(queue.vps, "queue").stderr and queue.laptop.status()["queue"]["paused"] is None
    assert relay_json(queue.laptop, "pause", spawn)["paused"]["by"].endswith("on laptop")
    relay(queue.vps, "queue", "resume")
    says(queue, spawn, "paused by", queue.laptop)
    edited = relay_json(queue.laptop, "edit", spawn, "echo new", "--label", "team=core", "--timeout", "20s")
    assert (edited["labels"], edited["timeout_s"], edited["state"]) == ({"team": "core"}, 20.0, "waiting")
    assert relay(queue.laptop, "resume", spawn).returncode == 0
    assert queue.until(spawn, "completed", "failed")["result"]["output_tail"].startswith("new")
    assert error_of(relay(queue.laptop, "--json", "edit", spawn, "true"))["code"] == "already_started"
    outside = queue.begin("true", "--at", "1h")
    queue.until(outside, "waiting")
    error = error_of(relay(queue.laptop, "--json", "edit", outside, "--cwd", "/etc"))
    assert error["code"] in ("foreign_directory", "conflict") or queue.show(outside)["state"] == "rejected"


def test_a_change_that_cannot_be_leaves_a_spawn_of_this_machine_as_it_was(queue: Scene) -> None:
    spawn = relay_json(queue.laptop, "spawn", fresh("own"), "shell", "true", "--at", "1h")["id"]
    refused = error_of(relay(queue.laptop, "--json", "edit", spawn, "--cwd", str(queue.laptop.work / "nowhere")))
    assert refused["code"] == "no_directory" and queue.show(spawn)["state"] == "waiting"
    (queue.laptop.scratch / "below").mkdir(exist_ok=True)  # where the command is typed
    edited = relay_json(queue.laptop, "edit", spawn, "--cwd", "below")
    assert (edited["cwd"], edited["state"]) == (str(queue.laptop.scratch / "below"), "waiting")
    relay(queue.laptop, "stop", spawn)


def test_what_is_asked_of_a_sleeping_broker_is_done_when_it_wakes(queue: Scene) -> None:
    """What was never sent is changed where it waits; a predecessor that never goes out takes its dependents along."""
    later, freed = (queue.begin("true", "--at", "1h") for _ in range(2))
    for each in (later, freed):
        queue.until(each, "waiting")
    queue.vps.stop()
    processes.wait_until(lambda: queue.laptop.status()["links"] == 0, 10, "the link to be seen gone")
    spawn = queue.begin("echo old")
    paused = relay_json(queue.laptop, "pause", spawn)
    assert paused["steer"]["state"] == "done" and paused["reason"].startswith("paused by ")
    assert "; vps is stopped" in paused["reason"]
    assert relay_json(queue.laptop, "edit", spawn, "echo new")["task"] == "echo new"
    assert relay_json(queue.laptop, "queue", "pause", "--broker", "vps")["state"] == "asked"
    late = queue.begin("true", "--ttl", "1s")
    relay(queue.laptop, "edit", freed, "--after-any", late, "--at", "now")
    assert queue.until(late, "expired")["reason"] == "it was not sent before its time to live was over"
    gone = queue.begin("true")
    dependent = queue.begin("true", "--after", gone)
    closing = error_of(relay(queue.laptop, "--json", "edit", gone, "--after", dependent))
    assert closing["code"] == "bad_after" and "itself" in closing["message"]
    relay(queue.laptop, "stop", gone)
    # two edits that each are right, and close a chain where the first of them is done before the second has come
    behind = queue.begin("true", "--after", later)
    assert relay_json(queue.laptop, "edit", later, "--after", behind)["steer"]["state"] == "asked"
    assert relay_json(queue.laptop, "edit", behind, "--priority", "3")["steer"]["state"] == "done"
    queue.vps.start()
    assert queue.until(behind, "rejected")["error"]["code"] == "bad_after"
    assert queue.until(later, "cancelled")["error"]["code"] == "predecessor_failed"
    queue.until(freed, "completed")
    says(queue, spawn, "paused by", queue.laptop)
    assert queue.until(dependent, "cancelled")["reason"] == f"after {gone}, which was never taken on"
    assert queue.show(spawn)["asked"] == []
    relay(queue.laptop, "resume", spawn)
    assert queue.until(spawn, "completed")["result"]["output_tail"] == "new\n"


def test_at_and_ttl(queue: Scene) -> None:
    later = queue.begin("true", "--at", "1h")
    assert "not before " in queue.until(later, "waiting")["reason"]
    relay(queue.laptop, "stop", later)
    queue.until(later, "cancelled")
    relay(queue.laptop, "retry", later)  # at once: it is not told to wait for the moment
    assert queue.until(later, "completed")["not_before"] is None and queue.show(later, queue.vps)["not_before"] is None
    begun = time.time()
    soon = queue.begin("true", "--at", "1s")
    assert moment(queue.until(soon, "completed")["started"]) > begun + 1 - 0.01, "given in whole milliseconds"
    relay(queue.vps, "queue", "pause")
    short = queue.begin("true", "--ttl", "2s")
    behind = queue.begin("true", "--after", short)
    assert not queue.until(short, "expired")["attempt"]
    queue.until(behind, "cancelled")
    relay(queue.vps, "queue", "resume")


def test_a_tried_spawn_that_waits_past_its_time_to_live_does_not_expire(queue: Scene) -> None:
    """It did run: "expired" would say that nothing has. One beside it that was never tried does expire."""
    mark = queue.vps.work / fresh("mark")
    # what is done until it is tried is to be over a second before its end, or there is no second attempt
    tried = is_tried(queue, f"test -e {mark} || {{ touch {mark}; exit 5; }}", "--retries", "3", "--ttl", "9s")
    queue.until(untried := queue.begin("true", "--ttl", "6s"), "waiting")
    over = max(moment(queue.show(each)["created"]) + ttl for each, ttl in ((tried, 9.5), (untried, 6.5)))
    processes.wait_until(lambda: time.time() > over, 20, "both times to live to be over")
    relay(queue.vps, "queue", "resume")
    assert not queue.until(untried, "expired")["attempt"]
    assert queue.until(tried, "completed", "expired", "failed")["state"] == "completed"
    assert queue.show(tried)["attempt"] == 2


def test_a_member_without_the_verb_is_refused_and_audited(queue: Scene) -> None:
    mine = relay_json(queue.vps, "spawn", fresh("own"), "shell", "true", "--cwd", str(queue.vps.work), "--at", "1h")
    refused: dict[str, Any] = error_of(relay(queue.laptop, "--json", "queue", "pause", "--broker", "vps"))
    assert refused["code"] == "no_verb" and "--verb stop" in refused["hint"]
    assert any(each["decision"] == "refused" and "pause_queue" in each["detail"] for each in audit(queue.vps))
    assert queue.show(mine["id"], queue.vps)["paused"] is None
    queue.grant("--verb", "stop")
    assert relay_json(queue.laptop, "queue", "pause", "--broker", "vps")["state"] == "done"
    relay(queue.vps, "stop", mine["id"])
