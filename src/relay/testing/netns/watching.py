"""What a link does as its two brokers tell it, and how long it takes them to notice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from relay.testing import processes
from relay.testing.node import Node


def is_linked(node: Node, to: Node) -> bool:
    """Whether a broker says that it has a direct link to another."""
    with node.control() as control:
        rows = control.get("brokers")
    return any(row["id"] == to.id and row["link"] == "direct" for row in rows)


def seconds_until(found: Callable[[], object], within: float, what: str) -> float:
    """How long it takes until something holds.

    Raises:
        TimeoutError: longer than `within` seconds.
    """
    began = time.monotonic()
    processes.wait_until(found, within, what)
    return time.monotonic() - began


def unlinked_after(node: Node, to: Node, within: float) -> float:
    """Seconds until a broker says that its link to another is gone."""
    return seconds_until(lambda: not is_linked(node, to), within, f"{node.name} to notice that {to.name} is gone")


def linked_after(node: Node, to: Node, within: float) -> float:
    """Seconds until two brokers both say that they are linked."""
    return seconds_until(
        lambda: is_linked(node, to) and is_linked(to, node), within, f"a link of {node.name} and {to.name}"
    )


def percentile(values: Iterable[float], share: float) -> float:
    """The value below which this share of the values lies (nearest rank).

    Args:
        values: at least one.
        share: 0 to 1.
    """
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
