"""The end of a transcript on the wire."""

from __future__ import annotations

from typing import Any

import pytest

from relay.core.errors import PeerFault
from relay.core.tails import MAX_PIECES, MAX_TAIL_BYTES, Piece, Tail, tail_from_content
from relay.core.wire import pack, unpack

TAIL = Tail(2, 1_000, (Piece(70, 90, 0, 900, b"\x1b[31mred\xff"), Piece(90, 95, 1, 950, b"e")))


def test_a_tail_comes_back_as_it_went() -> None:
    assert tail_from_content(unpack(pack(TAIL.to_content() | {"of_tomorrow": 1}), 1 << 20)) == TAIL
    assert (TAIL.missing, TAIL.end) == (70, 95)
    assert (Tail(1, 0, ()).missing, Tail(1, 0, ()).end) == (0, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        {},
        {"attempt": -1},
        {"at": "now"},
        {"pieces": {}},
        {"pieces": [[0, 1, 0, 5]]},
        {"pieces": [[0, 1, 2, 5, b"x"]]},
        {"pieces": [[0, 1, 0, 5, "x"]]},
        {"pieces": [[0, 1, 0, 5, 10**9]]},
        {"pieces": [[5, 1, 0, 5, b"x"]]},
        {"pieces": [[50, 60, 0, 5, b"x"], [10, 20, 0, 5, b"x"]]},
        {"pieces": [[0, 1, True, 5, b"x"]]},
        {"pieces": [[0, 1, 0, 5, bytes(MAX_TAIL_BYTES + 1)]]},
        {"pieces": [[n, n + 1, 0, 5, b""] for n in range(MAX_PIECES + 1)]},
    ],
)
def test_a_tail_of_another_form_is_refused(wrong: Any) -> None:
    content = TAIL.to_content() | wrong if wrong and isinstance(wrong, dict) else wrong
    with pytest.raises(PeerFault):
        tail_from_content(content)
