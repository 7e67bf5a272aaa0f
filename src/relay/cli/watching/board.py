"""The live list as rich draws it: what needs a person on top, cut to the window."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from relay.cli import spawn_lines
from relay.cli.clean import clean
from relay.cli.table import state_colour
from relay.dashboard.words import NEEDS_A_PERSON

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rich.console import RenderableType

    from relay.api.shapes import Spawn
    from relay.api.view_shapes import Listing

STYLES = {"31": "red", "32": "green", "33": "bold yellow", "2": "dim"}
WIDEST = {"NAME": 28, "BROKER": 16, "AGENT": 12, "STATE": 12}
AROUND = 3  # lines beside the rows: the headings, an empty line, the foot
STATE = spawn_lines.HEADINGS.index("STATE")


def draw(found: Listing, height: int, is_away: bool) -> RenderableType:
    """The whole screen.

    Args:
        found: the list as it was last told.
        height: lines of the window.
        is_away: the broker does not answer now, so that this is how it stood.
    """
    spawns = sorted(found["spawns"], key=lambda each: each["state"] not in NEEDS_A_PERSON)
    room = max(height - AROUND, 1)
    shown = spawns if len(spawns) <= room else spawns[: room - 1]
    parts: list[RenderableType] = [_table(shown)]
    if len(shown) < len(spawns):
        parts.append(Text(f"and {len(spawns) - len(shown):,} more", style="dim"))
    if not spawns:
        parts = [Text("nothing runs or waits", style="dim")]
    return Group(*parts, Text(), _foot(spawns, is_away))


def _table(spawns: list[Spawn]) -> Table:
    table = Table(box=None, expand=True, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in spawn_lines.HEADINGS:
        last = heading == spawn_lines.HEADINGS[-1]
        least = {"ID": spawn_lines.SHORT, "TIME": 6, "STATE": 9}.get(heading)
        table.add_column(
            heading,
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if last else None,
            max_width=WIDEST.get(heading),
            min_width=least,
        )
    for spawn in spawns:
        cells = [clean(text) for text in spawn_lines.row(spawn)]
        table.add_row(*(Text(text, style=_style(text) if at == STATE else "") for at, text in enumerate(cells)))
    return table


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
