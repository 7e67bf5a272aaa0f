"""What to type so that a spawn has more of what it ran out of: read by the command itself, and the same spawn again."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any

import pytest

from relay.broker.anew import with_more
from relay.cli import ordering
from relay.core.errors import Code
from relay.core.wishes import Wishes
from relay.core.workplaces import Workplace
from relay.store.query import Tx
from tests.store.specimens import insert

MIB = 1 << 20


def _typed(tx: Tx, code: Code, **changes: Any) -> str:
    row = dataclasses.replace(insert(tx, 1, **changes), error={"code": str(code), "hint": "x"})
    return with_more(row, "vps")


def test_what_ran_out_of_memory_has_twice_as_much_and_the_same_time(tx: Tx) -> None:
    wishes = Wishes(memory=300 * MIB + 1, cpus=1.5, tty=True, collect=("dist/*.whl", "a b"), max_turns=3)
    line = _typed(tx, Code.OUT_OF_MEMORY, task="it's; $HOME", wishes=wishes, timeout_s=90.0, cwd="/a b", mode="full")
    words = shlex.split(line)
    assert words[:7] == ["relay", "spawn", "spawn-1", "shell", "it's; $HOME", "--broker", "vps"]
    asked = dict(zip(words[7::2], words[8::2], strict=False))
    assert ordering._size(asked["--memory"]) == 601 * MIB and ordering._seconds(asked["--timeout"]) == 90
    assert asked["--cwd"] == "/a b" and asked["--mode"] == "full" and "--tty" in words
    assert [words[at + 1] for at, word in enumerate(words) if word == "--collect"] == ["dist/*.whl", "a b"]


def test_a_program_s_words_come_last_and_its_time_has_an_end(tx: Tx) -> None:
    line = _typed(tx, Code.TASK_TIMED_OUT, agent="exec", task="make -j", argv=("make", "-j"), timeout_s=29 * 86_400.0)
    assert line == "relay spawn spawn-1 exec --broker vps --timeout 2592000s -- make -j"


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        (Code.EXIT_NONZERO, {}),
        (Code.OUT_OF_MEMORY, {}),  # its machine had no more
        (Code.TASK_TIMED_OUT, {"task": "one\ntwo"}),
        (Code.TASK_TIMED_OUT, {"task": "@file"}),
        (Code.TASK_TIMED_OUT, {"task": "--help"}),
        (Code.TASK_TIMED_OUT, {"task": "x" * 201}),
        (Code.TASK_TIMED_OUT, {"wishes": Wishes(place=Workplace(repo="https://example.org/x.git"))}),
    ],
)
def test_what_cannot_be_typed_is_not_said(tx: Tx, code: Code, changes: dict[str, Any]) -> None:
    assert not _typed(tx, code, **changes)
