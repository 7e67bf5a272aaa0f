"""Whether a spawn may start here and now, as its judge sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from relay.core.errors import RelayError
from relay.core.values import frozen
from relay.store.journal import Entry
from relay.store.spawn_rows import SpawnRow


@frozen
class Admission:
    """The judge's word.

    Attributes:
        directory: where it is to run, resolved; empty where it is refused.
        fresh: the directory is to be made.
        refusal: why it may not start, or None.
        waiting: why it has to wait, or empty.
        held: it needs a person's yes first.
        until: when to look again while it waits, milliseconds since 1970; None for whenever another has ended.
    """

    directory: str = ""
    fresh: bool = False
    refusal: RelayError | None = None
    waiting: str = ""
    held: bool = False
    until: int | None = None


Judge: TypeAlias = Callable[[Entry, SpawnRow], Admission]
"""Asked in the transaction that would start the work: at arrival, and again whenever it is about to start."""
