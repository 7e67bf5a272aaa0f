"""`relay clean`."""

from __future__ import annotations

from relay.api import tree_routes
from relay.api.durations import parse
from relay.api.sizes import spoken
from relay.cli import speech
from relay.cli.blanks import refuse_blank
from relay.cli.clean import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.cli.invocation import Invocation

DEFAULT = "1d"


def run(invocation: Invocation, *, older_than: str | None, dry_run: bool) -> int:
    """Remove the folders of this machine that spawns worked in, once nobody needs them."""
    refuse_blank(older_than=older_than)
    older = 0.0 if older_than in ("0", "0s") else parse(older_than or DEFAULT)
    done = invocation.client().ask(tree_routes.clean(older, dry_run))
    if invocation.json:
        speech.document(done)
        return 0
    for each in done["removed"]:
        speech.say(f"{spoken(each['bytes']):>10}  {clean(each['name'] or '-')}  {clean(each['path'])}")
    count = len(done["removed"])
    verb = "would be" if dry_run else "was" if count == 1 else "were"
    speech.say(f"{count} folder{'' if count == 1 else 's'} {verb} removed, {spoken(done['bytes'])} in all.")
    for each in done["kept"]:
        speech.note(f"kept:  {clean(each['name'] or each['path'])}: {clean(each['why'])}")
    return 0
