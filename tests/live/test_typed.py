"""What is typed into an attached task, by its lines on the control socket: in order however they are cut."""

from __future__ import annotations

import base64
import json
import os
import random
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from relay.api import http1
from relay.api.duplex import Duplex
from relay.api.home import Home
from tests.e2e.scene import Scene, put, relay

WITHIN_S = 60.0
RAW = "stty raw -echo; printf ready; exec cat"
VERBS = ("--agent", "shell", "--verb", "attach", "--verb", "view")


class Typist:
    """A client that says what it likes, cut as it likes."""

    def __init__(
        self, scene: Scene, spawn: str, *, drive: bool = True, source: bytes = b"", again: bool = False
    ) -> None:
        told = base64.b64encode(source or os.urandom(16)).decode("ascii")
        ask = {"source": told, "drive": drive, "again": again, "who": "t", "offset": None}
        self.line = Duplex(Home(scene.laptop.home), f"spawns/{spawn}/attach", json.dumps(ask).encode() + b"\n")
        self.shown, self.taken, self.error = b"", 0, ""
        self._lines = http1.Lines()

    def listen(self) -> None:
        for piece in self.line.receive():
            for text in self._lines.feed(piece):
                self._hear(json.loads(text))

    def _hear(self, message: dict[str, Any]) -> None:
        self.shown += base64.b64decode(message.get("data", ""))
        self.taken = max(self.taken, message.get("typed", 0), message["n"] if message.get("taken") else 0)
        self.error = message.get("error", {}).get("code", self.error)

    def until(self, what: str, holds: Any) -> None:
        deadline = time.monotonic() + WITHIN_S
        while not holds():
            assert time.monotonic() < deadline, f"{what}: {self.shown[-200:]!r}, {self.taken}, {self.error}"
            self.listen()

    def close(self) -> None:
        self.line.close()


@pytest.fixture
def scene(granted: Scene) -> Scene:
    granted.grant(*VERBS)
    return granted


@pytest.fixture
def spawn(scene: Scene) -> Iterator[str]:
    made = scene.begin(RAW, "--tty")
    yield made
    relay(scene.laptop, "stop", made)


def key(n: int, data: bytes) -> bytes:
    return json.dumps({"k": "in", "n": n, "data": base64.b64encode(data).decode("ascii")}).encode() + b"\n"


def test_lines_cut_in_any_way_are_typed_in_their_order_and_once(scene: Scene, spawn: str) -> None:
    dice = random.Random(7)
    with closing(Typist(scene, spawn)) as typist:
        typist.until("the task", lambda: b"ready" in typist.shown)
        rest, n = b"", 0
        for _ in range(150):
            for _ in range(dice.choice((1, 1, 1, 2, 40))):
                n += 1
                rest += key(n, b"%04d," % n)
            at = dice.choice((len(rest), len(rest), dice.randrange(1, len(rest))))
            typist.line.send(rest[:at])
            rest = rest[at:]
        typist.line.send(rest + key(n, b"again"))
        whole = b"".join(b"%04d," % each for each in range(1, n + 1))
        typist.until("all of it", lambda: whole in typist.shown)
        typist.until("its acknowledgement", lambda: typist.taken == n)
        assert b"again" not in typist.shown


def test_a_viewer_s_opening_that_comes_late_is_no_end_of_the_task_to_the_one_before(scene: Scene, spawn: str) -> None:
    """After a break it would have stopped showing, as if all had been seen, and waited for the end."""
    source = os.urandom(16)
    with (
        closing(Typist(scene, spawn, source=source)) as now,
        closing(Typist(scene, spawn, source=source, again=True)) as late,
    ):
        late.until("the task", lambda: b"ready" in late.shown)
        now.until("its end", lambda: now.line.done)
        assert (now.error, late.error) == ("unreachable", "")


@pytest.mark.parametrize("said", [b"{}\n", b"[]\n", b'{"k":"in","n":0,"data":""}\n', b"x\n"])
def test_a_line_of_another_form_ends_it(scene: Scene, spawn: str, said: bytes) -> None:
    with closing(Typist(scene, spawn)) as typist:
        typist.until("the task", lambda: b"ready" in typist.shown)
        typist.line.send(key(1, b"one"))
        typist.until("the echo", lambda: b"one" in typist.shown)
        typist.line.send(said)
        typist.until("the end", lambda: typist.line.done)


def test_who_reads_nothing_is_shown_all_of_it_later(scene: Scene, spawn: str) -> None:
    with closing(Typist(scene, spawn)) as typist:
        typist.until("the task", lambda: b"ready" in typist.shown)
        piece = b"0123456789abcdef" * 200
        for n in range(1, 601):
            # more than all the buffers on the way back hold, and nothing is read meanwhile
            typist.line.send(key(n, piece))
        typist.until("all of it", lambda: typist.shown.count(piece) == 600)


def test_a_right_that_is_taken_back_ends_typing_at_the_next_key(scene: Scene, spawn: str) -> None:
    with closing(Typist(scene, spawn)) as typist:
        typist.until("the task", lambda: b"ready" in typist.shown)
        for n in range(1, 101):
            typist.line.send(key(n, b"%03d," % n))
            typist.until("the echo", lambda n=n: b"%03d," % n in typist.shown)
        trust = scene.vps.home / "trust.toml"
        granted = trust.read_text()
        assert '"attach"' in granted
        put(trust, granted.replace('"attach"', '"message"'))
        typist.line.send(key(101, b"no more"))
        typist.until("the refusal", lambda: typist.line.done)
        assert typist.error == "no_verb" and b"no more" not in typist.shown


def test_who_has_lost_a_grant_and_got_it_back_attaches_at_once_however_often(scene: Scene, spawn: str) -> None:
    trust = scene.vps.home / "trust.toml"
    granted = trust.read_text()
    with scene.vps.control() as control:
        for _ in range(12):
            for grants in ("", granted):
                trust.write_text(grants)
                control.post("grants/changed", {})  # the link ends with the grant, and is made again
            again = scene.begin(RAW, "--tty")
            with closing(Typist(scene, again)) as typist:
                typist.until("the task", lambda: b"ready" in typist.shown or typist.error)
                assert not typist.error
            relay(scene.laptop, "stop", again)


def test_two_who_look_see_what_the_third_types(scene: Scene, spawn: str) -> None:
    with closing(Typist(scene, spawn)) as typist:
        typist.until("the task", lambda: b"ready" in typist.shown)
        with (
            closing(Typist(scene, spawn, drive=False)) as one,
            closing(Typist(scene, spawn, drive=False)) as other,
        ):
            one.until("the recalled", lambda: b"ready" in one.shown)
            other.until("the recalled", lambda: b"ready" in other.shown)
            for n in range(1, 31):
                typist.line.send(key(n, b"%03d," % n))
                for each in (typist, one, other):
                    each.until("the echo", lambda each=each, n=n: b"%03d," % n in each.shown)
            one.line.send(key(1, b"not mine"))
            typist.line.send(key(31, b"last"))
            other.until("the last", lambda: b"last" in other.shown)
            assert b"not mine" not in other.shown
