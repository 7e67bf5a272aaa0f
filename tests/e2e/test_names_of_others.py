"""What a member learns of names that others' spawns and schedules have: that they are taken, where it may use them."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.scene import Scene, fresh, relay, relay_json


def _taken(scene: Scene) -> tuple[str, str, str]:
    """A name on vps, the id of the spawn that has it, and the id of the schedule that has it."""
    name, there = fresh("secret"), ("--cwd", str(scene.vps.work))
    spawn = relay_json(scene.vps, "spawn", name, "shell", "sleep 80", *there, "--timeout", "90s")["id"]
    schedule = relay_json(scene.vps, "spawn", name, "shell", "true", *there, "--every", "1h")["id"]
    return name, spawn, schedule


def _asked(scene: Scene, name: str) -> list[dict[str, Any]]:
    """What laptop is told of a spawn, a dry run and a schedule of this name."""
    words = scene.words("shell", "true", name=name)
    done = [relay(scene.laptop, "--json", *words, *more) for more in (("--wait",), ("--dry-run",), ("--every", "1h"))]
    return [error for each in done if (error := json.loads(each.stdout)["error"])]


def test_a_name_that_is_taken_is_told_to_who_may_use_it_and_whose_it_is_to_who_may_view_it(two: Scene) -> None:
    name, spawn, schedule = _taken(two)
    refused = _asked(two, name)
    assert [each["code"] for each in refused] == ["no_grant"] * 3, refused
    two.grant()
    taken = _asked(two, name)
    assert [each["code"] for each in taken] == ["name_in_use"] * 3, taken
    assert spawn not in str([*refused, *taken]) and schedule not in str([*refused, *taken])
    assert "running" not in str(refused + taken)
    two.grant("--verb", "view")
    told = _asked(two, name)
    assert spawn in str(told[0]) and spawn in str(told[1]) and schedule in str(told[2]), told
    relay(two.vps, "schedule", "remove", schedule)
    relay(two.vps, "stop", spawn)
