"""`relay pull`."""

from __future__ import annotations

import os
from pathlib import Path

from relay.cli import returns, speech
from relay.cli.blanks import refuse_blank
from relay.cli.clean import clean, clean_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.cli.invocation import Invocation
    from relay.git.pulling import Pulled


def run(invocation: Invocation, *, spawn: str, into: str | None) -> int:
    """Take what a spawn changed into the tree that one stands in."""
    from relay.cli.progress import Shown
    from relay.git.pulling import pull

    refuse_blank(into=into)
    beside = None if into is None else Path(os.path.abspath(os.path.expanduser(into)))
    with returns.returned(invocation, spawn) as (found, back, scratch):
        with Shown("looking at your tree, and taking the changes into it", quiet=invocation.json):
            pulled = pull(back, Path.cwd(), Path(invocation.home.folder), scratch, beside)
    diffstat = found["result"].get("diffstat") if found["result"] else None
    if invocation.json:
        told = {"id": found["id"], "name": found["name"], "how": pulled.how, "branch": pulled.branch}
        speech.document(told | {"path": str(pulled.path), "tip": pulled.tip, "why": pulled.why, "diffstat": diffstat})
        return 0
    speech.say(_sentence(pulled))
    if diffstat and pulled.how != "already":
        speech.note(clean_lines(diffstat).rstrip())
    return 0


def _sentence(pulled: Pulled) -> str:
    path, branch = clean(str(pulled.path)), clean(pulled.branch or "")
    sentences = {
        "fast-forward": f"Fast-forwarded {path}; {branch} has it too.",
        "applied": f"Laid onto your files in {path}, not committed{f'; its commits are on {branch}' * bool(branch)}.",
        "worktree": f"It is on {branch}, in a worktree of its own: {path}",
        "folder": f"It is in a folder of its own: {path}",
        "already": f"It is here already: {branch or path}",
    }
    why = f"\n({clean(pulled.why)}, so nothing of yours was touched)" if pulled.why else ""
    return sentences[pulled.how] + why
