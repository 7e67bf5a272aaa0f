"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# no test is judged by the clock: a loaded machine is slow, not wrong
settings.register_profile("relay", deadline=None)
settings.load_profile("relay")
