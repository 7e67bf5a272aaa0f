"""Whether a grant lets a spawn work in the place that it brings along (`--repo`, `--here`) and push from it.

    --here, --repo https:// ssh:// git://   a fresh folder of the broker's own home: `new` among its directories
    --repo of a path on the target          the same, and the repository lies in one of its directories
    --push                                  the same, and the verb `push`; a path that is pushed to lies in them as well
"""

from __future__ import annotations

import shlex
from collections.abc import Callable

from relay.core.errors import Code
from relay.core.grants import Denied, Grant, covers_directory
from relay.core.sources import read_source
from relay.core.workplaces import Workplace

PUSH = "push"


def lack_of_place(
    grant: Grant, place: Workplace, label: str, real: Callable[[str], str] = lambda path: path
) -> Denied | None:
    """What a grant lacks for a place, or None. That fresh folders are allowed is judged with the directory.

    Args:
        grant: of who asks.
        place: which it wishes for.
        label: the identity's name or id, for the sentences and the mending command.
        real: gives the real path of a path on this machine.
    """
    for url in (place.repo, place.pushed_to):
        path = None if url is None else read_source(url).path
        if path is not None and not covers_directory(grant.dirs, found := real(path)):
            why = f"its grant allows the directories {', '.join(grant.dirs) or '(none)'}"
            hint = shlex.join(["relay", "trust", "allow", label, "--dir", found])
            return Denied(Code.FOREIGN_DIRECTORY, f"{label} may not use the repository {found} here", why, hint)
    if place.push is not None and PUSH not in grant.verbs:
        why = f"its grant allows {', '.join(grant.verbs) or 'nothing'}"
        hint = shlex.join(["relay", "trust", "allow", label, "--verb", PUSH])
        return Denied(Code.NO_VERB, f"{label} may not push from here", why, hint)
    return None
