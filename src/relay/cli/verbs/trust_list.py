"""`relay trust list`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from relay.api.durations import rfc3339
from relay.cli import granting, speech, table
from relay.trust import grants

if TYPE_CHECKING:
    from relay.api.shapes import GrantShown
    from relay.cli.invocation import Invocation

HEADINGS = ("BROKER", "ID", "MODE", "AT ONCE", "UNTIL", "VERBS", "AGENTS", "FOLDERS")
NOBODY = "nobody may act on this machine but you"


def run(invocation: Invocation) -> int:
    """List the grants of this machine."""
    home = invocation.home
    known = grants.load(Path(home.trust))
    shown = [granting.shape(home, grant) for grant in known.values()]
    if invocation.json:
        speech.document(shown)
        return 0
    table.show(HEADINGS, [_row(each) for each in shown], NOBODY)
    return 0


def _until(expires: str | None) -> str:
    if expires is None:
        return "-"
    return "EXPIRED" if expires <= rfc3339(time.time_ns() // 1_000_000) else f"{expires[:10]} {expires[11:16]}Z"


def _row(grant: GrantShown) -> list[str]:
    until = "FROZEN" if grant["frozen"] else _until(grant["expires"])
    mode = grant["mode"] + (", asks" if grant["ask"] else "")
    lists = [", ".join(each) or "-" for each in (grant["verbs"], grant["agents"], grant["dirs"])]
    return [grant["broker"]["name"], grant["broker"]["id"][:8], mode, str(grant["max_parallel"]), until, *lists]
