"""What a task does to a terminal is undone, and the key that leaves is heard however the terminal tells it."""

from __future__ import annotations

import time

import pytest

from relay.cli.detach_key import place_of
from relay.cli.screen import APART_S, Screen

CTRL_BRACKET, LETTER = 29, ord("q")


@pytest.mark.parametrize(
    ("key", "typed", "at"),
    [
        (CTRL_BRACKET, b"ab\x1dcd", 2),
        (CTRL_BRACKET, b"ab\x1b[93;5ucd", 2),
        (CTRL_BRACKET, b"\x1b[93;69u", 0),
        (CTRL_BRACKET, b"\x1b[93:125;5:1u", 0),
        (CTRL_BRACKET, b"\x1b[27;5;93~", 0),
        (CTRL_BRACKET, b"\x1b[93;5:3u", -1),
        (CTRL_BRACKET, b"\x1b[93u]\x1b[93;6u\x1b[27;6;93~", -1),
        (LETTER, b"\x1b[A\x1b[113u", 3),
        (LETTER, b"\x1b[113;5u", -1),
        (1, b"x\x1b[97;5u", 1),
    ],
)
def test_the_key_is_heard_however_it_is_told(key: int, typed: bytes, at: int) -> None:
    assert place_of(key, typed) == at


def test_what_was_changed_is_undone_however_the_output_is_cut() -> None:
    change = b"text\x1b[31m\x1b[?25;1049h\x1b[>1u more"
    for cut in range(len(change)):
        screen = Screen()
        screen.learn(change[:cut])
        screen.learn(change[cut:])
        assert b"\x1b[<16u\x1b[>4m\x1b[?1049l\x1b[<16u" in screen.undoing
        screen.learn(b"\x1b[?1049l")
        assert b"1049" not in screen.undoing


def test_what_was_not_changed_is_left() -> None:
    screen = Screen()
    screen.learn(b"\x1b[31m\x1b[?1049$p\x1b[?u\x1b[u 1049h")
    assert b"1049" not in screen.undoing and b"\x1b[<" not in screen.undoing


def test_another_size_is_told_for_a_moment_and_never_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of which both arrive at once finds its size as it was, and many draw nothing then."""
    screen, told = Screen(), list[tuple[int, int]]()
    monkeypatch.setattr(screen, "size", lambda: (24, 80))
    screen.tell_size(lambda *size: told.append(size), anew=True)
    assert told == [(24, 80)]  # nobody has the whole screen
    screen.learn(b"\x1b[?1049h")
    begun = time.monotonic()
    screen.tell_size(lambda *size: told.append(size), anew=True)
    assert told[1:] == [(23, 80), (24, 80)] and time.monotonic() - begun >= APART_S

    def ended_meanwhile(*size: int) -> None:
        told.append(size)  # type: ignore[arg-type]
        if size != (24, 80):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        screen.tell_size(ended_meanwhile, anew=True)
    assert told[-1] == (24, 80)
