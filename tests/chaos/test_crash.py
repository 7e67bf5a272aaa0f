"""Accepted work survives kill -9 of anything, is never run twice, and is never called what it was not."""

from __future__ import annotations

import os
import random

import pytest

from relay.testing import crash
from relay.testing.crash import Plan

_SUITE_SECONDS = 120
_CHAOS_SECONDS = 3_600


def _seed() -> int:
    return int(os.environ.get("RELAY_CRASH_SEED", "0")) or random.SystemRandom().getrandbits(32)


@pytest.mark.timeout(_SUITE_SECONDS)
@pytest.mark.parametrize("half", [1, 2])  # two, so that pytest's workers share them
def test_kills_at_random(half: int) -> None:
    """Twice 150 tasks and 30 kills; the seed is in the report (RELAY_CRASH_SEED runs the same decisions again)."""
    report = crash.run(Plan(tasks=150, kills=30, seed=_seed() + half))
    assert not report.violations, str(report)
    assert report.kills["shim"] and report.kills["broker"] and report.states["completed"], str(report)


@pytest.mark.timeout(_SUITE_SECONDS)
def test_kills_with_one_in_the_middle() -> None:
    """40 tasks and 12 kills where the two never meet; the one between them dies as they do."""
    report = crash.run(Plan(tasks=40, kills=12, seed=_seed(), middle=True))
    assert not report.violations, str(report)
    assert report.kills["broker"] and report.states["completed"], str(report)


@pytest.mark.chaos
@pytest.mark.timeout(_CHAOS_SECONDS)
def test_kills_with_one_in_the_middle_for_long() -> None:
    """500 tasks, 120 kills, with the counts printed."""
    report = crash.run(Plan(tasks=500, kills=120, seed=_seed(), settle_within=180, middle=True))
    print(f"\ncrash, one in the middle: {report}")
    assert not report.violations, str(report)


@pytest.mark.chaos
@pytest.mark.timeout(_CHAOS_SECONDS)
def test_kills_at_random_for_long() -> None:
    """5,000 tasks, 1,000 kills, with the counts printed."""
    report = crash.run(Plan(tasks=5_000, kills=1_000, seed=_seed(), settle_within=180))
    print(f"\ncrash: {report}")
    assert not report.violations, str(report)
