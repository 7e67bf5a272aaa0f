"""A broker whose store fails once: as it is to keep the word that an attempt failed and another one follows.

    python -m tests.e2e.store_hiccup_program --home DIR ...

That word comes again, and later ones overtake it. What follows goes to `relay.daemon`.
"""

from __future__ import annotations

import runpy
import sys

from relay.core.errors import Code, LocalFault
from relay.core.states import State
from relay.store import words
from relay.store.query import Tx

_keep = words.keep
_failed: list[words.SignedWord] = []


def _keep_but_once(tx: Tx, word: words.SignedWord) -> bool:
    if word.state is State.WAITING and word.attempt and not _failed:
        _failed.append(word)
        raise LocalFault("the store failed", code=Code.STORE_FAULT, why="for once")
    return _keep(tx, word)


def main() -> None:
    """Be a broker with such a store."""
    words.keep = _keep_but_once
    sys.argv = ["relay.daemon", *sys.argv[1:]]
    runpy.run_module("relay.daemon", run_name="__main__")


if __name__ == "__main__":
    main()
