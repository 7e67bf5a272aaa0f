"""A broker whose store fails once as it is to keep the word that an attempt failed and another one follows, once as it
is to note that a member went, and once as what has no grant any more is to end. There is no memory
for the first attempt, once.

    python -m tests.e2e.store_hiccup_program --home DIR ...

The word comes again, and later ones overtake it. What follows goes to `relay.daemon`.
"""

from __future__ import annotations

import runpy
import sys
from typing import Any

from relay.broker import requests
from relay.core.errors import Code, LocalFault
from relay.core.ids import BrokerId
from relay.core.states import State
from relay.spawn import taking_up
from relay.spawn.attempting import Attempting
from relay.store import peers, words
from relay.store.query import Tx
from relay.store.spawn_rows import FOR_OTHERS, SpawnRow

_keep = words.keep
_note = peers.note_seen
_observed = Attempting._observed
_failed: list[object] = []


def _fail_once(what: object) -> None:
    if what not in _failed:
        _failed.append(what)
        raise LocalFault("the store failed", code=Code.STORE_FAULT, why="for once")


def _keep_but_once(tx: Tx, word: words.SignedWord) -> bool:
    if word.state is State.WAITING and word.attempt:
        _fail_once("word")
    return _keep(tx, word)


def _note_but_once(tx: Tx, peer: BrokerId, now: int, farewell: str = "") -> None:
    _fail_once("note")
    _note(tx, peer, now, farewell)


class _AskedButOnce:
    def all(self, tx: Tx, **named: Any) -> list[SpawnRow]:
        """What runs here for others."""
        found = FOR_OTHERS.all(tx, **named)
        if found:
            _fail_once("end")
        return found


async def _observe_but_once(attempting: Attempting, *given: Any) -> Any:
    if "attempt" not in _failed:
        _failed.append("attempt")
        raise MemoryError
    return await _observed(attempting, *given)


def main() -> None:
    """Be a broker with such a store."""
    Attempting._observed = _observe_but_once  # type: ignore[method-assign, assignment]
    taking_up.FIRST_S = 0.1
    words.keep, peers.note_seen = _keep_but_once, _note_but_once
    requests.FOR_OTHERS = _AskedButOnce()  # type: ignore[assignment,attr-defined]
    sys.argv = ["relay.daemon", *sys.argv[1:]]
    runpy.run_module("relay.daemon", run_name="__main__")


if __name__ == "__main__":
    main()
