"""A home with a canned broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.api.home import Home
from tests.api.canned_broker import CannedBroker, serving


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "h")


@pytest.fixture
def broker(home: Home) -> Iterator[CannedBroker]:
    canned = CannedBroker()
    with serving(home, canned):
        yield canned
