"""What is shown again to a terminal asks it nothing that nobody awaits any more."""

from __future__ import annotations

import time

import pytest

from relay.core.terminal_questions import ANSWERED_WITHIN_MS, without_stale_questions

QUESTIONS = (
    b"\x05|\x1bZ|\x1b[c|\x1b[0c|\x1b[>c|\x1b[>0c|\x1b[=c|\x1b[5n|\x1b[6n|\x1b[?6n|\x1b[?996n|\x1b[14t|\x1b[18t|\x1b[21t"
    b"|\x1b[?2026$p|\x1b[4$p|\x1b[?u|\x1b[>q|\x1b[>0q|\x1b[x|\xc2\x9b6n|\x1b]11;?\x07|\x1b]10;?\x1b\\|\x1b]4;1;?\x07"
    b"|\x1b]52;c;?\x07|\x1bP$qm\x1b\\|\x1bP+q544e\x1b\\"
).split(b"|")
OTHERS = (
    b"text\r\n|\x1b[31mred\x1b[0m|\x1b[2J|\x1b[6A|\x1b[?25l|\x1b[?1049h|\x1b[22;0t|\x1b]0;what? a title\x07|\x1b]8;;http://x/?\x07"
    b"|\x1b[1;1H|\x1b[4 q|\x1b[>4;1m|\x1b[=1u|n c ?|\x1b(B|\x1b]11;#fff\x07|caf\xc3\xa9"
).split(b"|")


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_is_asked_while_its_answer_is_awaited_and_not_later(question: bytes) -> None:
    text = b"a" + question + b"b"
    assert without_stale_questions(text, 0, ANSWERED_WITHIN_MS - 1) == text
    assert without_stale_questions(text, 0, ANSWERED_WITHIN_MS) == b"ab"


@pytest.mark.parametrize("other", OTHERS)
def test_what_asks_nothing_stays(other: bytes) -> None:
    assert without_stale_questions(other, 0, 1 << 40) == other


@pytest.mark.parametrize("piece", [b"\x1b]1;", b"\xc2\x9d1;", b"\xc2\x90$q", b"\x1b[1", b"\xc2\x9b1;", b"\x1b]1;?"])
def test_what_never_ends_takes_no_time(piece: bytes) -> None:
    text = b"\x1b]1;" + piece * (65_536 // len(piece))
    began = time.process_time()
    without_stale_questions(text, 0, 1 << 40)
    assert time.process_time() - began < 1
