"""How far calls are, as their runners say it: a few words a second are passed on, and always the last one."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable
from typing import Any

EVERY_S = 0.25
MOST_WORDS = 500
Message = dict[str, Any]


class Progress:
    """The words that wait, by call.

    Args:
        say: passes one on.
    """

    def __init__(self, say: Callable[[Message], None]) -> None:
        self._say = say
        self._loop = asyncio.get_running_loop()
        self._latest: dict[str, Message] = {}
        self._timer: asyncio.TimerHandle | None = None

    def teller(self, call: str) -> Callable[[float, float | None, str], None]:
        """What a runner says it with, from whatever thread."""

        def tell(done: float, of: float | None, words: str) -> None:
            if not math.isfinite(done) or not (of is None or math.isfinite(of)):
                return
            word = {"call": call, "done": done, "of": of, "words": words[:MOST_WORDS]}
            if _running_loop() is self._loop:
                self._note(call, word)
            else:
                with contextlib.suppress(RuntimeError):  # the loop is closed
                    self._loop.call_soon_threadsafe(self._note, call, word)

        return tell

    def _note(self, call: str, word: Message) -> None:
        self._latest[call] = word
        if self._timer is None:
            self._pass_on()

    def _pass_on(self) -> None:
        words, self._latest = self._latest, {}
        for word in words.values():
            self._say({"progress": word})
        self._timer = self._loop.call_later(EVERY_S, self._pass_on) if words else None

    def forget(self, call: str) -> None:
        """It has ended: what comes after its result is of no use."""
        self._latest.pop(call, None)

    def close(self) -> None:
        """Pass nothing on any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._latest.clear()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
