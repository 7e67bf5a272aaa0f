"""What a runner returns, as the mesh is told: nothing is a success but what was given as one."""

from __future__ import annotations

from typing import Any

import pytest

from relay import AwaitingApproval, Failed
from relay.core.calls import MAX_RESULT, Outcome
from relay.core.errors import Code, Misuse
from relay.library.outcomes import of_fault, of_value

_DEEP: list[Any] = []
for _ in range(5_000):
    _DEEP = [_DEEP]


async def _generator() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("value", "text", "structured"),
    [
        ("all well", "all well", None),
        ({"files": 3}, '{"files":3}', {"files": 3}),
        (["a", "b"], '{"result":["a","b"]}', {"result": ["a", "b"]}),
        (("a",), '{"result":["a"]}', {"result": ["a"]}),
        (7, '{"result":7}', {"result": 7}),
        ({"status": "ok"}, '{"status":"ok"}', {"status": "ok"}),
    ],
)
def test_what_is_done(value: Any, text: str, structured: Any) -> None:
    """Text is text; all else is data, and the same as text for who reads no data."""
    came = of_value(value)
    assert came.outcome is Outcome.DONE and came.error is None and came.result["isError"] is False
    assert came.result["content"] == [{"type": "text", "text": text}]
    assert came.result.get("structuredContent") == structured


def test_nothing_is_a_result() -> None:
    """A function that ended and returned nothing is done, and has nothing to say."""
    assert of_value(None).result == {"content": [], "isError": False}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Failed("no such file"), "no such file"),
        (Failed(""), "it gave no reason"),
        ({"status": "failed", "message": "no disk"}, "no disk"),
        ({"status": "ERROR ", "error": "bad key"}, "bad key"),
        ({"status": "failed"}, "it returned the status failed"),
        ({"isError": True, "why": "odd"}, "odd"),
    ],
)
def test_what_says_that_it_failed(value: Any, words: str) -> None:
    """A returned failure is one, with its own words."""
    came = of_value(value)
    assert came.outcome is Outcome.ERROR and came.result["isError"] is True
    assert came.error is not None and (came.error.message, came.error.code) == (words, Code.RUNNER_FAILED)


@pytest.mark.parametrize(
    "value", [b"bytes", object(), _generator(), float("nan"), {"a": {1: 2}}, {"a": {1, 2}}, [2**70], _DEEP, "\ud800"]
)
def test_what_cannot_be_told_is_no_success(value: Any) -> None:
    """The runner ended, and its result would be lost: that is said."""
    came = of_value(value)
    assert came.outcome is Outcome.ERROR and came.error is not None and came.error.code is Code.BAD_RESULT


def test_a_result_that_is_too_large() -> None:
    """It says so, and how large."""
    came = of_value("x" * (MAX_RESULT + 1))
    assert came.error is not None and came.error.code is Code.RESULT_TOO_LARGE


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (AwaitingApproval("delete 3 files?", {"files": 3}), "delete 3 files?"),
        ({"status": "awaiting_approval", "summary": "ready to send"}, "ready to send"),
    ],
)
def test_what_waits_for_an_approval_is_an_outcome_of_its_own(value: Any, words: str) -> None:
    """It is neither done nor failed."""
    came = of_value(value)
    assert came.outcome is Outcome.AWAITING and came.error is None
    assert came.result["content"][0]["text"] == words


def test_an_exception_tells_its_type_and_message_alone() -> None:
    """No line of the program's code leaves it; an error of relay's keeps its code."""
    assert of_fault(ValueError("bad\nthing")).error.message == "ValueError: bad thing"  # type: ignore[union-attr]
    group = ExceptionGroup("unhandled errors in a TaskGroup", [KeyError("a"), OSError("b")])
    assert of_fault(group).error.message == "KeyError: 'a'; OSError: b"  # type: ignore[union-attr]
    known = of_fault(Misuse("no", code=Code.BAD_TASK, hint="yes")).error
    assert known is not None and (known.code, known.hint) == (Code.BAD_TASK, "yes")
    assert len(of_fault(ValueError("x" * 9_000)).error.message) == 2_000  # type: ignore[union-attr]
