"""What was typed before a break is typed before what is typed after it; who drives is named as text."""

from __future__ import annotations

import base64
import json
from typing import Any, cast

import pytest

from relay.api.duplex import Duplex
from relay.api.home import Home
from relay.cli.attached import Attached
from relay.cli.screen import Screen

HELLO = {"k": "hello", "terminal": True, "input": True, "drives": True, "driver": "me", "state": "running"}


class Sent:
    """Notes what is said on a line."""

    def __init__(self) -> None:
        self.data: list[bytes] = []

    def send(self, data: bytes) -> None:
        message = json.loads(data)
        self.data.append(base64.b64decode(message.get("data", "")))

    def close(self) -> None:
        pass


def test_keys_between_the_new_line_and_its_greeting_come_after_those_of_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = [b"one ", b"two "]
    monkeypatch.setattr("relay.cli.attached.os.read", lambda fd, size: keys.pop(0))
    lines: list[Any] = [Sent(), Sent()]
    nothing: Any = lambda message: None  # noqa: E731
    person = Attached(Home("/nowhere"), "s", True, Screen(), 0, 29, "me", nothing, nothing)
    person._line = cast("Duplex", lines[0])
    person._take(dict(HELLO))
    person._typed()
    person._hang_up()
    person._line = cast("Duplex", lines[1])
    person._typed()
    person._take(dict(HELLO))
    assert [b"".join(line.data) for line in lines] == [b"one ", b"one two "]


def test_the_name_of_who_drives_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    nothing: Any = lambda message: None  # noqa: E731
    person = Attached(Home("/nowhere"), "s", True, Screen(), 0, 29, "me", nothing, nothing)
    person._line = cast("Duplex", Sent())
    person._take(dict(HELLO))
    person._take({"k": "driver", "driver": "\x1b]52;c;ZXZpbA==\x07\u202ex@vps"})
    person._take({**HELLO, "drives": False, "driver": "\x1b[2Jx@vps"})
    said = capsys.readouterr().err
    assert "]52;c;" in said and "[2Jx@vps drives now" in said
    assert not set(said) & set("\x1b\x07\u202e")


@pytest.mark.parametrize("late", [b"", b"more"], ids=["its end", "a word"])
def test_that_the_end_of_what_a_program_types_comes_too_late_is_no_loss(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], late: bytes
) -> None:
    keys = [b"bye\x04", late]
    monkeypatch.setattr("relay.cli.attached.os.read", lambda fd, size: keys.pop(0))
    nothing: Any = lambda message: None  # noqa: E731
    program = Attached(Home("/nowhere"), "s", True, Screen(), 0, 29, "me", nothing, nothing)
    program._line = cast("Duplex", Sent())
    program._take(dict(HELLO))
    program._typed()
    program._typed()
    program._take({"k": "typed", "n": 1, "taken": True})
    program._take({"k": "typed", "n": 1, "taken": False})  # by another way, and later
    assert "goes nowhere" not in capsys.readouterr().err
    program._take({"k": "typed", "n": 2, "taken": False})
    assert ("goes nowhere" in capsys.readouterr().err) == (late != b"")


def test_what_a_person_typed_is_not_sent_again_while_another_drives(monkeypatch: pytest.MonkeyPatch) -> None:
    """It might be typed once that one has left; what is typed then is, also after the key that ends a line's input."""
    keys = [b"one ", b"two ", b"three "]
    monkeypatch.setattr("relay.cli.attached.os.read", lambda fd, size: keys.pop(0))
    screen, lines = Screen(), [Sent(), Sent()]
    screen.is_terminal = True
    nothing: Any = lambda message: None  # noqa: E731
    person = Attached(Home("/nowhere"), "s", True, screen, 0, 29, "me", nothing, nothing)
    person._line = cast("Duplex", lines[0])
    person._take(dict(HELLO))
    person._typed()
    person._hang_up()
    person._line = cast("Duplex", lines[1])
    person._take({**HELLO, "drives": False, "driver": "x@vps"})
    person._typed()
    person._no_more()
    person._take({"k": "driver", "driver": "me", "drives": True})
    assert person._reads_keys()
    person._typed()
    assert [b"".join(line.data) for line in lines] == [b"one ", b"three "]
