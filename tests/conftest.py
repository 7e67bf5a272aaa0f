"""What holds for all tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from relay.testing import stem

# no test is judged by the clock: a loaded machine is slow, not wrong
settings.register_profile("relay", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("relay")

# a test that is to show how a broker is executed does so itself: relay.testing.stem says why
stem.use()
