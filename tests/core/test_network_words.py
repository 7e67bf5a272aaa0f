"""What a failed connection is called: never a number or the library's words."""

from __future__ import annotations

import errno
import socket

import pytest

from relay.core.network_words import close_words, dial_words

PLACE = "127.0.0.1:7411"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed"), f"refused: nothing listens at {PLACE}"),
        (OSError(errno.ENETUNREACH, "x"), "no network leads from this machine to 127.0.0.1"),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 111] Connect"), None),
        (socket.gaierror(-2, "Name or service not known"), "the name 127.0.0.1 is not known here"),
        (TimeoutError(), f"nothing answers at {PLACE}"),
        (OSError(12345, "strange"), f"{PLACE} cannot be reached"),
        (ValueError("invalid status line"), f"what answers at {PLACE} is no broker"),
    ],
)
def test_the_words_of_a_dial(error: Exception, words: str | None) -> None:
    said = dial_words(error, PLACE)
    assert "Errno" not in said and (words is None or said == words)


def test_several_addresses_of_one_name_are_worded_by_the_number_in_the_joined_text() -> None:
    refused = f"[Errno {errno.ECONNREFUSED}] Connect call failed ('::1', 7411, 0, 0)"
    assert dial_words(OSError(f"Multiple exceptions: {refused}, {refused}"), PLACE).startswith("refused")


def test_the_words_of_an_end() -> None:
    assert close_words(1000) == "the other side closed the link"
    assert close_words(1000, by_us=True) == "this side closed the link"
    assert close_words(1006) == "the connection was lost"
    assert not any(letter.isdigit() for code in range(1000, 1016) for letter in close_words(code))
