"""The yard, fresh for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .yard import Yard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[Yard]:
    root = tmp_path / "attempts"
    root.mkdir(mode=0o700)
    yard = Yard(root)
    yield yard
    await yard.close()
