"""What holds for all tests."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from relay.testing import stem

# no test is judged by the clock: a loaded machine is slow, not wrong
settings.register_profile("relay", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("relay")

LONG = ("test_real_systemd",)

# a test that is to show how a broker is executed does so itself: relay.testing.stem says why
stem.use()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long in one file begins first: else one worker is at it when the others have nothing more to do."""
    items.sort(key=lambda item: not item.path.name.startswith(LONG))


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was collected stays: the collector of garbage need not walk over it, a tenth of a worker's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Where all is collected by several workers, each begins with another part of the modules.

    Most of a first collection is the rewriting of asserts, 15 s of processor time. What one worker has made lies in
    the cache of bytecode, where the others find it; side by side in one order, each would do all of it.
    """
    worker, count = os.environ.get("PYTEST_XDIST_WORKER", ""), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if count == 1 or session.config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return
    root = session.config.rootpath
    modules = sorted(path.relative_to(root) for path in Path(__file__).parent.rglob("test_*.py"))
    at = len(modules) * int(worker.removeprefix("gw")) // count
    for path in (*modules[at:], *modules[:at]):
        with contextlib.suppress(Exception, pytest.skip.Exception):  # it is told of where it is collected
            importlib.import_module(".".join(path.with_suffix("").parts))
