"""Which broker a person means. A name is a label that its bearer chose: it must never stand for another one's id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from relay.core.ids import BrokerId

SHORTEST_PREFIX = 4


def plain(text: str) -> str:
    """A text as an id would be written."""
    return text.replace("-", "").replace(" ", "").lower()


def meant(text: str, brokers: Mapping[BrokerId, Iterable[str]]) -> list[BrokerId]:
    """Those that a text may mean; more than one is for the caller to call ambiguous.

    A whole id means its broker, whatever others are called. Else it is all that bear the name, and all whose id begins
    so: neither hides the other, or whoever may choose a name could be trusted in another one's place.

    Args:
        text: as typed.
        brokers: every one there is, with all its names.
    """
    typed = plain(text)
    if typed in brokers:
        return [BrokerId(typed)]
    by_id = len(typed) >= SHORTEST_PREFIX
    return [each for each, names in brokers.items() if text in names or (by_id and each.startswith(typed))]


def passes_for(name: str, others: Iterable[BrokerId]) -> BrokerId | None:
    """The broker whose id begins with what would be this name; None where it is nobody's."""
    typed = plain(name)
    return next((each for each in others if len(typed) >= SHORTEST_PREFIX and each.startswith(typed)), None)
