"""Benches for the tests of real agents."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.agents.bench import Bench, bench_on, made
from tests.e2e.scene import Scene


@pytest.fixture(scope="module")
def real_scene() -> Iterator[Scene]:
    """A pair whose brokers find claude and codex."""
    with made("claude", "codex") as scene:
        yield scene


@pytest.fixture
def bench(real_scene: Scene) -> Iterator[Bench]:
    """The pair, its files cleared away, and a fresh stub."""
    for left in real_scene.vps.work.iterdir():
        left.unlink()
    with bench_on(real_scene) as made_bench:
        yield made_bench
