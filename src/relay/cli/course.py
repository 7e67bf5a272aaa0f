"""How a spawn's course reads in `relay show`: its states and the marks beside them, in the order of time."""

from __future__ import annotations

import time

from relay.api.durations import moment
from relay.cli import speech, table
from relay.cli.clean import brief, clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.view_shapes import Mark, Shown, Step

HEADINGS = ("WHEN", "STATE", "TRY", "SAID BY", "WHY")
FIRST_TO_GO = ("TRY", "SAID BY")
WORTH_SAYING_MS = 1_000


def show(spawn: Shown) -> None:
    """Print the course; an older broker says nothing of it."""
    steps = spawn.get("timeline") or []
    if not steps:
        return
    rows = _merged(steps, [each for each in spawn.get("marks", []) if each["at"] >= steps[0]["at"]])
    speech.say()
    if spawn["timeline_earlier"]:
        speech.say(_earlier(spawn["timeline_earlier"], spawn["broker"]["name"]))
    table.show(HEADINGS, rows, "", FIRST_TO_GO)
    skew = spawn["clock_skew_ms"]
    if skew is not None and abs(skew) >= WORTH_SAYING_MS:
        speech.say(_skew(skew, spawn["broker"]["name"]))


def _merged(steps: list[Step], marks: list[Mark]) -> list[list[str]]:
    """The steps in their own order, whatever clocks say, each mark before the first step that is later."""
    rows, left = [], list(marks)
    for step in steps:
        while left and left[0]["at"] < step["at"]:
            rows.append(_mark(left.pop(0)))
        rows.append(_step(step))
    return [*rows, *map(_mark, left)]


def _step(step: Step) -> list[str]:
    # without a number it is no word of the target, and this broker's own doing
    who = step["from"]["name"] if step["seq"] else f"{step['from']['name']} (this broker)"
    attempt = str(step["attempt"]) if step["attempt"] else ""
    return [_when(step["at"]), step["state"], attempt, who, brief(step["reason"], 200)]


def _mark(mark: Mark) -> list[str]:
    return [_when(mark["at"]), mark["mark"], "", mark["by"], brief(mark["text"], 200)]


def _when(text: str) -> str:
    at = moment(text)
    local = time.localtime(at)
    day = "" if local[:3] == time.localtime()[:3] else time.strftime("%Y-%m-%d ", local)
    return f"{day}{time.strftime('%H:%M:%S', local)}.{text[20:23]}"


def _earlier(count: int, name: str) -> str:
    words = "1 earlier word" if count == 1 else f"{count} earlier words"
    return f"({words} of {clean(name)}: overtaken on the way, or no longer kept)"


def _skew(skew_ms: int, name: str) -> str:
    from relay.api.durations import spoken

    way = "ahead of" if skew_ms > 0 else "behind"
    return f"(the clock of {clean(name)} is {spoken(abs(skew_ms) / 1000)} {way} this machine's)"
