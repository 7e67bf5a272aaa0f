"""A broker that dies before or after any durable step loses nothing and runs nothing twice."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from relay.testing import crash_points
from relay.testing.mesh import Mesh
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


@pytest.mark.timeout(120)
@pytest.mark.parametrize("group", range(_GROUPS))
def test_every_durable_step(group: int) -> None:
    """Each step once before and once after."""
    trial = _exercise(list(crash_points.cases())[group::_GROUPS], random.SystemRandom().getrandbits(32))
    assert not trial.violations, "\n".join(trial.violations)


@pytest.mark.chaos
@pytest.mark.timeout(3_600)
def test_every_durable_step_many_times() -> None:
    """Each step ten times, its directions and occurrences drawn anew."""
    seed = random.SystemRandom().getrandbits(32)
    trial = _exercise(list(crash_points.cases()) * 10, seed)
    print(f"\ncrash points: {len(crash_points.POINTS)} steps, 20 deaths each, {dict(trial.states)}, seed {seed}")
    assert not trial.violations, "\n".join(trial.violations)
