"""The live list as rich draws it: what needs a person on top, cut to the window."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from relay.cli import spawn_lines
from relay.cli.table import as_written, has_ellipsis, state_colour
from relay.dashboard.words import NEEDS_A_PERSON

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rich.console import RenderableType

    from relay.api.shapes import Spawn
    from relay.api.view_shapes import Listing

STYLES = {"31": "red", "32": "green", "33": "bold yellow", "2": "dim"}
WIDEST = {"NAME": 28, "BROKER": 16, "AGENT": 12, "STATE": 12}
LEAST = {"ID": spawn_lines.SHORT, "TIME": 6, "STATE": 9}
ENOUGH = {"NAME": 16, "BROKER": 16, "WHAT": 8}
"""How much of a column is enough to show it, where there would be more."""
FIRST_TO_GO = ("AGENT", "ID", "BROKER", "WHAT", "TIME")
GAP = 2
SHORTEST_NAME = 6
AROUND = 3  # lines beside the rows: the headings, an empty line, the foot
STATE = spawn_lines.HEADINGS.index("STATE")


def draw(found: Listing, width: int, height: int, is_away: bool) -> RenderableType:
    """The whole screen.

    Args:
        found: the list as it was last told.
        width, height: of the window.
        is_away: the broker does not answer now, so that this is how it stood.
    """
    spawns = sorted(found["spawns"], key=lambda each: each["state"] not in NEEDS_A_PERSON)
    room = max(height - AROUND, 1)
    shown = spawns if len(spawns) <= room else _first(spawns, room - 1)
    parts: list[RenderableType] = [_table(shown, width)]
    if len(shown) < len(spawns):
        parts.append(Text(f"and {len(spawns) - len(shown):,} more", style="dim"))
    if not spawns:
        parts = [Text("nothing runs or waits", style="dim")]
    return Group(*parts, Text(), _foot(spawns, is_away))


def _first(spawns: list[Spawn], room: int) -> list[Spawn]:
    """As many as there is room for, in their order: what has ended gives way to what goes on."""
    by_weight = sorted(range(len(spawns)), key=lambda at: spawn_lines.has_ended(spawns[at]))
    return [spawns[at] for at in sorted(by_weight[:room])]


def _table(spawns: list[Spawn], width: int) -> Table:
    table = Table(box=None, expand=True, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    rows = [[as_written(text) for text in spawn_lines.row(spawn)] for spawn in spawns]
    needed = _columns(rows, width)
    shown = [at for at, heading in enumerate(spawn_lines.HEADINGS) if heading in needed]
    name = max(width - sum(needed.values()) + needed["NAME"] - GAP, SHORTEST_NAME)
    for at in shown:
        heading = spawn_lines.HEADINGS[at]
        table.add_column(
            heading,
            no_wrap=True,
            overflow="ellipsis" if has_ellipsis() else "crop",
            ratio=1 if at == shown[-1] else None,
            max_width=min(name, WIDEST["NAME"]) if heading == "NAME" else WIDEST.get(heading),
            min_width=LEAST.get(heading),
        )
    for cells in rows:
        table.add_row(*(Text(cells[at], style=_style(cells[at]) if at == STATE else "") for at in shown))
    return table


def _columns(rows: list[list[str]], width: int) -> dict[str, int]:
    """The columns there is room for, and how much each needs: how it stands is the last to go."""
    needed = {
        heading: GAP + max(LEAST.get(heading, 0), min(_longest(rows, at), ENOUGH.get(heading, 12)))
        for at, heading in enumerate(spawn_lines.HEADINGS)
    }
    for heading in FIRST_TO_GO:
        if sum(needed.values()) > width + GAP:
            del needed[heading]
    return needed


def _longest(rows: list[list[str]], at: int) -> int:
    return max(len(text) for text in (spawn_lines.HEADINGS[at], *(cells[at] for cells in rows)))


def _style(word: str) -> str:
    return STYLES.get(state_colour(word) or "", "")


def _foot(spawns: list[Spawn], is_away: bool) -> Text:
    if is_away:
        return Text("the broker is away; trying again    q ends", style="bold yellow", no_wrap=True)
    states = [each["state"] for each in spawns]
    needing = sum(state in NEEDS_A_PERSON for state in states)
    running = states.count("running") + states.count("starting")
    queued = sum(state in ("queued", "delivered", "waiting") for state in states)
    foot = Text(no_wrap=True)
    if needing:
        foot.append(f"{needing} {'needs' if needing == 1 else 'need'} you, ", style="bold yellow")
    return foot.append(f"{running} running, {queued} queued    q ends", style="dim")
