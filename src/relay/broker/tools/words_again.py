"""What of calls and lists of tools is sealed again before it expires: the bodies, made anew from what holds now."""

from __future__ import annotations

from typing import Any

from relay.broker.tools.asking import STOP
from relay.broker.tools.catalogues import Catalogues
from relay.broker.tools.ledger import letters
from relay.core.kinds import Kind
from relay.store.call_rows import BY_ID
from relay.store.journal import Entry
from relay.store.outbox import OutboxLine


class WordsAgain:
    """Makes the body of an envelope once more.

    Args:
        catalogues: the lists of tools.
    """

    kinds = frozenset({Kind.TOOL_RESULT, Kind.TOOL_STOP, Kind.TOOL_CATALOGUE})

    def __init__(self, catalogues: Catalogues) -> None:
        self._catalogues = catalogues

    def content(self, entry: Entry, line: OutboxLine) -> dict[str, Any] | None:
        """The body; None where nobody wants it any more."""
        if line.kind == Kind.TOOL_CATALOGUE:
            return self._catalogues.content(entry, line.recipient, line.operation)
        if line.kind == Kind.TOOL_STOP:
            call = line.operation.removeprefix(STOP)
            row = BY_ID.one(entry.tx, id=call)
            return {"call": call} if row is not None and row.is_live else None
        row = BY_ID.one(entry.tx, id=line.operation.split("/")[1])
        found = [] if row is None else [each for each in letters(row) if each.operation == line.operation]
        return found[0].content if found else None
