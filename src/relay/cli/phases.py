"""How long a spawn took in each phase, and what it used, in people's words."""

from __future__ import annotations

from relay.api.durations import spoken
from relay.cli.clean import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from relay.api.shapes import Spawn

_PHASES = (
    ("queued_s", "queued"),
    ("delivered_s", "taken in"),
    ("held_s", "held"),
    ("waiting_s", "waited"),
    ("starting_s", "started in"),
    ("running_s", "ran"),
)
SHORT_S = 0.05  # what took less is not worth a person's time
_IN = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
_OUT = "output_tokens"


def lines(spawn: Spawn) -> list[tuple[str, str]]:
    """The facts of a spawn's phases and use, for `show` and `result`; empty values where nothing is known."""
    result = spawn["result"]
    return [("phases", phases(spawn)), ("used", usage(result["usage"]) if result else "")]


def phases(spawn: Spawn) -> str:
    """`queued 3 s, waited 2 min, ran 12 s`; the phases that took no time are left out."""
    found: dict[str, Any] = dict(spawn.get("durations") or {})
    told = [(word, found.get(key) or 0) for key, word in _PHASES]
    return ", ".join(f"{word} {spoken(seconds)}" for word, seconds in told if seconds >= SHORT_S)


def usage(told: dict[str, Any]) -> str:
    """`12,340 tokens in (11,000 of them cached), 890 out, $0.12, 5 turns`; what is not reported is left out."""
    numbers = {key: value for key, value in told.items() if type(value) in (int, float)}
    parts = [_tokens_in(numbers), f"{int(numbers[_OUT]):,} out" if _OUT in numbers else ""]
    if "cost_usd" in numbers:
        cost = numbers["cost_usd"]
        parts.append(f"${cost:.2f}" if cost >= 0.01 or not cost else f"${cost:.4f}")
    if "turns" in numbers:
        parts.append(f"{int(numbers['turns'])} turn{'' if numbers['turns'] == 1 else 's'}")
    known = {*_IN, _OUT, "cost_usd", "turns"}
    if not any(parts):
        parts = [f"{clean(str(key))[:40]} {value:g}" for key, value in list(numbers.items())[:6] if key not in known]
    return ", ".join(part for part in parts if part)


def _tokens_in(numbers: dict[str, Any]) -> str:
    given = [int(numbers.get(key, 0)) for key in _IN]
    if not any(key in numbers for key in _IN):
        return ""
    cached = f" ({given[2]:,} of them cached)" if given[2] else ""
    return f"{sum(given):,} tokens in{cached}"
