"""Ends that look like a success and are none: what was said later, was cut off, or could not be read, may deny it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from relay.core.errors import Code
from relay.core.states import State
from relay.spawn.agents.agent import Reader
from relay.spawn.agents.claude import StreamReader
from relay.spawn.agents.codex import ServerReader
from relay.spawn.agents.codex_exec import ExecReader
from relay.spawn.agents.gemini import GeminiReader
from relay.spawn.agents.goose import GooseReader
from relay.spawn.agents.opencode import OpencodeReader
from relay.spawn.agents.rules import ObjectReader, Rule, TextReader
from relay.spawn.agents.streams import MAX_LINE

GOOD = b'{"type":"result","subtype":"success","is_error":false,"result":"Done.","session_id":"s1"}\n'
BAD = b'{"type":"result","subtype":"error_during_execution","is_error":true,"result":"no%s","session_id":"s1"}\n'
INIT = b'{"type":"system","subtype":"init","session_id":"s1"}\n'
SAID = b'{"type":"assistant","message":{"content":[{"type":"text","text":"More."}]},"session_id":"s1"}\n'
THREAD = b'{"id":3,"result":{"thread":{"id":"t1"}}}\n'
TURN = b'{"method":"turn/completed","params":{"threadId":"t1","turn":{"status":"completed"}}}\n'
OVER: list[tuple[Callable[[], Reader], bytes]] = [
    (StreamReader, GOOD),
    (ServerReader, THREAD + TURN),
    (lambda: ExecReader("mine"), b'{"type":"turn.completed","usage":{}}\n'),
    (GeminiReader, b'{"type":"result","status":"success"}\n'),
    (GooseReader, b'{"type":"complete"}\n'),
    (OpencodeReader, b'{"type":"step_finish","part":{"reason":"stop"}}\n'),
    (lambda: ObjectReader("mine", Rule({"ok": True})), b'{"ok":true}\n'),
]


def ended(reader: Reader, *said: bytes) -> tuple[State, Code | None]:
    """How it ends after this output, with exit code 0."""
    for each in said:
        reader.feed(0, each)
    found = reader.finding(0)
    return found.state, found.code


@pytest.mark.parametrize(("made", "good"), OVER)
def test_what_could_not_be_read_after_the_final_word_may_deny_it(made: Callable[[], Reader], good: bytes) -> None:
    endless = b'{"type":[' + b"1," * (MAX_LINE // 2) + b"1]}\n"
    cut, deep = b'{"type":"result","subty', b'{"a":' * 100_000 + b"\n"
    assert ended(made(), good) == (State.COMPLETED, None)
    for later in (endless, cut, deep, deep + b'{"type":"system","subtype":"x"}\n'):
        assert ended(made(), good, later) == (State.FAILED, Code.AGENT_NO_RESULT)
        assert ended(made(), later.rstrip(b"\n") + b"\n", good) == (State.COMPLETED, None), "what comes before is over"
    assert ended(made(), good, b"npm notice: {a newer version}\n") == (State.COMPLETED, None)


def test_a_result_of_any_length_is_read() -> None:
    long = b"x" * (2 * MAX_LINE)
    assert ended(StreamReader(), GOOD, BAD % long) == (State.FAILED, Code.AGENT_ERROR)
    assert ended(StreamReader(), BAD % b"", GOOD.replace(b"Done.", long)) == (State.COMPLETED, None)
    asked = b'{"type":"control_request","request_id":"r","request":{"subtype":"can_use_tool","input":"%s"}}\n' % long
    reader = StreamReader()
    assert ended(reader, asked, GOOD) == (State.COMPLETED, None) and reader.asked() == []


def test_a_word_that_begins_an_endless_line_is_found() -> None:
    reader = TextReader("mine", (re.compile("^error:"),))
    assert ended(reader, b"error: no", b" disk" * 100_000, b"\nbye\n")[0] is State.FAILED
    reader = TextReader("mine", (re.compile("no disk$"),))
    assert ended(reader, b"x" * 500_000, b" no disk")[0] is State.FAILED


@pytest.mark.parametrize("letter", [b"\xff\xfe", b"\0", b"\x1b[31m", b"\xed\xa0\x80"])
def test_a_letter_that_is_none_hides_no_failure(letter: bytes) -> None:
    assert ended(StreamReader(), GOOD, BAD % letter)[0] is State.FAILED
    reader = StreamReader()
    assert ended(reader, GOOD.replace(b"Done.", b"Do" + letter + b"ne."))[0] is State.COMPLETED
    json.dumps(reader.finding(0).summary).encode()


def test_a_turn_that_has_begun_after_a_result_has_to_end_as_well() -> None:
    assert ended(StreamReader(), INIT, GOOD, SAID) == (State.FAILED, Code.AGENT_NO_RESULT)
    assert ended(StreamReader(), INIT, GOOD, SAID, GOOD) == (State.COMPLETED, None)
    beside = SAID.replace(b'"type"', b'"parent_tool_use_id":"x","type"', 1)
    assert ended(StreamReader(), INIT, GOOD, beside) == (State.COMPLETED, None), "a helper of its own that still talks"
    begun = b'{"method":"turn/started","params":{"threadId":"t1","turn":{}}}\n'
    assert ended(ServerReader(), THREAD, TURN, begun) == (State.FAILED, Code.AGENT_NO_RESULT)
    assert ended(ExecReader("m"), OVER[2][1], b'{"type":"turn.started"}\n') == (State.FAILED, Code.AGENT_NO_RESULT)
    step = b'{"type":"step_start"}\n'
    assert ended(OpencodeReader(), OVER[5][1], step) == (State.FAILED, Code.AGENT_NO_RESULT)


def test_the_result_of_another_session_is_none_of_this_one() -> None:
    other = GOOD.replace(b"s1", b"s2")
    assert ended(StreamReader(), INIT, other) == (State.FAILED, Code.AGENT_NO_RESULT)
    assert ended(StreamReader(), INIT, BAD % b"", other)[0] is State.FAILED
    reader = StreamReader()
    assert ended(reader, INIT, other, GOOD) == (State.COMPLETED, None) and reader.finding(0).session == "s1"
