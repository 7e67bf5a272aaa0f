"""What `relay ps` is asked for, as the broker takes it."""

from __future__ import annotations

from relay.cli.blanks import refuse_blank

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

TEXTS = ("broker", "origin", "agent", "name")


def filters(typed: Mapping[str, Any]) -> dict[str, object]:
    """The parameters of a listing.

    Args:
        typed: the options of `relay ps` by name.

    Raises:
        Misuse: a label or a moment cannot be read.
    """
    refuse_blank(state=typed["state"], **{name: typed[name] for name in TEXTS})
    found: dict[str, object] = {name: typed[name] for name in (*TEXTS, "limit")}
    found["all"] = True if typed["everything"] else None
    found["states"] = ",".join(typed["state"]) or None
    found["labels"] = _labels(typed["label"])
    found["since"] = _since(typed["since"])
    found["sort"] = None if typed["sort"] == "created" else typed["sort"]
    found["reverse"] = True if typed["reverse"] else None
    found["around"] = None if typed["known"] else True
    return found


def is_narrowed(typed: Mapping[str, Any]) -> bool:
    """Whether some spawns are left out by what was asked for."""
    return any(typed[name] for name in ("broker", "origin", "agent", "name", "state", "label", "since"))


def _since(text: str | None) -> int | None:
    if text is None:
        return None
    from relay.cli.moments import past

    return max(past(text), 0)


def _labels(texts: Sequence[str]) -> str | None:
    if not texts:
        return None
    import json

    labels = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            from relay.core.errors import Misuse

            raise Misuse(f"{text[:60]!r} is no label", why="a label is written KEY=VALUE", hint="--label ticket=42")
        labels[key] = value
    return json.dumps(labels)
