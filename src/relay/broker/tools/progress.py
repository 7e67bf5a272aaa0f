"""How far calls are, as their programs say: kept nowhere, and told to origins that are linked."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from relay.broker.inbox import Hear, Opened
from relay.broker.link import monotonic_ms
from relay.broker.members import Members
from relay.broker.mesh import Mesh
from relay.broker.tools.programs import Program
from relay.core import ids
from relay.core.calls import MAX_WORDS
from relay.core.errors import PeerFault
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.store.call_rows import CallRow

MOST = 1_000
EVERY_MS = 250


class Progress:
    """The last word of each call's runner on how far it is.

    Args:
        members: who this broker is.
        mesh: tells origins.
    """

    def __init__(self, members: Members, mesh: Mesh) -> None:
        self._members = members
        self._mesh = mesh
        self._last: dict[tuple[BrokerId, str], dict[str, Any]] = {}
        self._told: dict[str, int] = {}
        self._later: dict[str, asyncio.TimerHandle] = {}
        self._origins: dict[str, BrokerId] = {}

    @property
    def hears(self) -> dict[Kind, Hear]:
        """By kind."""
        return {Kind.TOOL_PROGRESS: self._heard}

    def of(self, row: CallRow) -> dict[str, Any] | None:
        """How far a call is, by its runner's last word; None where it has ended, or has said nothing."""
        return self._last.get((row.target, row.id)) if row.is_live else None

    def given(self, row: CallRow) -> None:
        """A call was given to its program: what that says of it is told to its origin."""
        self._origins[row.id] = row.origin
        if len(self._origins) > MOST:
            del self._origins[next(iter(self._origins))]

    def said(self, program: Program, said: Any) -> None:
        """A program says how far a call is; what has another form is passed over."""
        word = _word(said)
        call = said.get("call") if isinstance(said, dict) else None
        if word is None or not isinstance(call, str) or (origin := self._origins.get(call)) is None:
            return
        self._keep((self._members.own, call), word)
        if origin != self._members.own and call not in self._later:
            due_ms = self._told.get(call, -EVERY_MS) + EVERY_MS - monotonic_ms()
            if due_ms <= 0:
                self._tell(call)
            else:  # its last word is told too, though none comes after it
                self._later[call] = asyncio.get_running_loop().call_later(due_ms / 1000, self._tell, call)

    def _tell(self, call: str) -> None:
        self._later.pop(call, None)
        word, origin = self._last.get((self._members.own, call)), self._origins.get(call)
        if word is not None and origin is not None:
            self._told[call] = monotonic_ms()
            self._mesh.say(origin, Kind.TOOL_PROGRESS, {"call": call} | word)

    def _heard(self, each: Opened) -> None:
        content = each.body.content
        word = _word(content)
        if word is None or not ids.is_spawn_id(content["call"]):
            raise PeerFault("a word on progress was refused", why="it has another form")
        self._keep((each.header.origin, content["call"]), word)

    def _keep(self, key: tuple[BrokerId, str], word: dict[str, Any]) -> None:
        self._last.pop(key, None)
        self._last[key] = word
        if len(self._last) > MOST:
            del self._last[next(iter(self._last))]

    def forget(self, broker: BrokerId, call: str) -> None:
        """A call has ended."""
        self._last.pop((broker, call), None)
        self._told.pop(call, None)
        self._origins.pop(call, None)
        if (timer := self._later.pop(call, None)) is not None:
            timer.cancel()


def _word(said: Any) -> dict[str, Any] | None:
    if not isinstance(said, dict):
        return None
    done, of, words = said.get("done"), said.get("of"), said.get("words", "")
    if not _is_number(done) or not (of is None or _is_number(of)) or not isinstance(words, str):
        return None
    return {"done": done, "of": of, "words": words[:MAX_WORDS].encode("utf-8", "replace").decode()}


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and abs(value) < 2**53  # type: ignore[arg-type]
