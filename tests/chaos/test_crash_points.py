"""A broker that dies before or after any durable step loses nothing and runs nothing twice."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from relay.testing import crash_points
from relay.testing.mesh import Mesh
from relay.testing.node import DAEMON, Node
from relay.testing.processes import wait_until
from relay.testing.trial import Trial

_GROUPS = 3  # each over one pair of brokers; three, so that pytest's workers share them


def _exercise(cases: list[tuple[str, str]], seed: int) -> Trial:
    rng = random.Random(seed)
    with Mesh.scratch("relay-points-") as mesh:
        nodes = mesh.pair("a", "b")
        mesh.grant(on=nodes[0], to=nodes[1])
        mesh.grant(on=nodes[1], to=nodes[0])
        trial = Trial(mesh, nodes, seed)
        for point, when in cases:
            crash_points.exercise(trial, point, when, rng)
            if trial.violations:
                trial.violations.insert(0, f"dying {when} {point}, seed {seed}")
                break
        trial.judge()
        trial.close()
    return trial


def test_the_steps_are_documented() -> None:
    """docs/testing.md lists the very same steps."""
    text = (Path(__file__).parents[2] / "docs" / "testing.md").read_text()
    text = text.split("| point | side | step |")[1].split("For a step inside")[0]
    rows = [f"| `{name}` | {point.side} | {point.step} |" for name, point in crash_points.POINTS.items()]
    assert [line for line in text.splitlines() if line.startswith("| `")] == rows


def test_each_step_that_no_burst_takes_names_a_test_that_does() -> None:
    for name, point in crash_points.POINTS.items():
        if point.apart:
            assert f'"{name}"' in (Path(__file__).parents[2] / point.apart).read_text(), name


@pytest.mark.parametrize(
    ("point", "when"),
    [
        ("answer", "after"),
        ("answered", "before"),
        pytest.param("answer", "before", marks=pytest.mark.chaos),
        pytest.param("answered", "after", marks=pytest.mark.chaos),
    ],
)
def test_an_answer_has_its_effect_once_whoever_dies_at_it(point: str, when: str) -> None:
    """What is sent to a task that reads is typed once, in order, though a broker dies as it keeps it or hears of it."""
    with Mesh.scratch("relay-answers-") as mesh:
        origin, target = mesh.pair("a", "b")
        mesh.grant(on=target, to=origin)
        victim = origin if crash_points.POINTS[point].side == "origin" else target
        victim.stop()
        victim.launcher = crash_points.launcher(point, when, 1)
        victim.start()
        mesh.await_link(origin, target)
        heard = target.work / "heard"
        script = f'while read line; do echo "$line" >> {heard}; [ "$line" = end ] && exit 0; done'
        words = ("spawn", "reader", "shell", script, "--broker", "b", "--cwd", str(target.work), "--stdin")
        spawn = str(origin.relay_json(*words, "--timeout", "90s")["id"])
        wait_until(lambda: origin.relay_json("show", spawn)["state"] == "running", 15, "it to run")
        with ThreadPoolExecutor() as pool:
            first = pool.submit(Trial._answered, origin, "answers", _sent(spawn, "one"))
            wait_until(lambda: not victim.running, 15, f"{victim.name} to die")
            victim.launcher = DAEMON
            victim.start()
            first.result()
        Trial._answered(origin, "answers", _sent(spawn, "end"))
        wait_until(lambda: origin.relay_json("show", spawn)["state"] == "completed", 45, "it to end")
        assert heard.read_text().split() == ["one", "end"]
        wait_until(lambda: _is_told(origin, spawn, "one") and _is_told(origin, spawn, "end"), 45, "the words on both")
        assert heard.read_text().split() == ["one", "end"]


def _is_told(origin: Node, spawn: str, text: str) -> bool:
    return Trial._answered(origin, "answers", _sent(spawn, text))["accepted"] is True


def _sent(spawn: str, text: str) -> dict[str, str]:
    # the operation id is the same however often it is asked, so that the repetition is harmless
    return {"spawn": spawn, "verb": "send", "text": f"{text}\n", "operation": f"send-{spawn}-{text}"}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("group", range(_GROUPS))
def test_every_durable_step(group: int) -> None:
    """Each step once, before or after it by lot; `make chaos` has both, ten times."""
    seed = random.SystemRandom().getrandbits(32)
    points = [name for name, point in crash_points.POINTS.items() if not point.apart][group::_GROUPS]
    lot = random.Random(seed)
    trial = _exercise([(point, lot.choice(crash_points.WHEN)) for point in points], seed)
    assert not trial.violations, "\n".join(trial.violations)


@pytest.mark.chaos
@pytest.mark.timeout(3_600)
def test_every_durable_step_many_times() -> None:
    """Each step ten times, its directions and occurrences drawn anew."""
    seed = random.SystemRandom().getrandbits(32)
    trial = _exercise(list(crash_points.cases()) * 10, seed)
    print(f"\ncrash points: {len(crash_points.POINTS)} steps, 20 deaths each, {dict(trial.states)}, seed {seed}")
    assert not trial.violations, "\n".join(trial.violations)
