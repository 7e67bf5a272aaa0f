"""Five brokers on an internet that is cut, moved and put to sleep: what was accepted ends, and was started once."""

from __future__ import annotations

import pytest

from relay.testing.netns import storm
from relay.testing.netns.brokers import InternetMesh
from relay.testing.netns.storm import Plan


@pytest.mark.chaos
@pytest.mark.timeout(1_200)
def test_a_storm_over_five_brokers(mesh: InternetMesh) -> None:
    """300 tasks, 150 troubles. The two behind NAT boxes ask the others, and are asked by them."""
    report = storm.run(mesh, Plan(tasks=300, troubles=150, through_the_middle=False))
    print(f"\nstorm: {report}")
    assert not report.violations, str(report)
    assert len(report.troubles) == 5 and report.states["completed"], str(report)
