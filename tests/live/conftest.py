"""The pair of brokers of the end-to-end tests."""

from __future__ import annotations

from tests.e2e.conftest import _pair, granted, mesh, two

__all__ = ["_pair", "granted", "mesh", "two"]
