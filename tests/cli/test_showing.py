"""What is shown: safe for a terminal, aligned, and with the exit status of the contract."""

from __future__ import annotations

import contextlib
import io
from typing import Any, get_args

import pytest

from relay.api import queue_routes, routes
from relay.api.home import Home
from relay.api.shapes import StateName
from relay.cli import ordering, spawn_lines, table
from relay.cli.clean import brief, clean, clean_lines
from relay.cli.patient import ITS_WORD, LOOKING, text_of
from relay.cli.verbs import events
from relay.core import spawning
from relay.core.errors import Misuse
from relay.core.states import TERMINAL, State
from relay.dashboard import words
from tests.api.canned_broker import spawn

HOSTILE = "a\x1b]0;owned\x07b\x9b31m\u202etxt\u200b\r\n\ud800"


def test_text_cannot_steer_a_terminal() -> None:
    shown = clean(HOSTILE)
    assert shown.isprintable()
    assert "\\x1b" in shown and "\\u202e" in shown and "\\r\\n" in shown
    assert clean("grüße 日本 🦊") == "grüße 日本 🦊"
    assert clean_lines("a\tb\nc\x1b[0m") == "a\tb\nc\\x1b[0m"


def test_a_text_is_cut_to_its_first_line() -> None:
    assert brief("one\ntwo") == "one ..."
    assert brief("x" * 100, 10) == "xxxxxxx..."


def test_a_table_is_aligned_plain_and_safe() -> None:
    lines = table.render(("NAME", "STATE"), [["日本", "Done"], ["b\x1b[31m", "Failed"]])
    assert all("\x1b" not in line for line in lines)
    second = zip(lines, ("STATE", "Done", "Failed"), strict=True)
    columns = [table.width_of(line[: line.index(word)]) for line, word in second]
    assert len(set(columns)) == 1


def test_a_long_name_leaves_room_to_say_why() -> None:
    why = "2 of 2 slots busy, 3 ahead"
    lines = table.render(("NAME", "STATE", "WHAT"), [["n" * 64, "Queued", why]], room=90)
    assert why in lines[1] and table.width_of(lines[1]) <= 90


@pytest.mark.parametrize("room", [38, 40, 60, 71])
def test_why_is_said_whole_on_a_narrow_terminal_below_its_row(room: int) -> None:
    why = "2 of 2 claude slots busy, 3 ahead"
    row = ["claude-tidy-tests", "k3j5abcd", "workstation", "claude", "Unreachable", "94 min", why]
    lines = table.render(spawn_lines.HEADINGS, [row, [*row[:-1], "true"]], room, first_to_go=spawn_lines.FIRST_TO_GO)
    assert lines[2] == f"  {why}" and lines[3].endswith("  true") and len(lines) == 4
    assert max(map(table.width_of, lines)) <= room
    for text in ("word " * 100, "日本" * 100):
        long = table.render(("NAME", "STATE", "WHAT"), [["n" * 64, "Queued", text]], 40)
        assert len(long) == 4 and long[-1].endswith("…") and all(table.width_of(line) <= 40 for line in long)
        assert all(table.width_of(line) > 30 for line in long[2:])


def test_a_table_fits_the_terminal_and_colours_words() -> None:
    lines = table.render(("A", "STATE", "WHAT"), [["x", "Failed", "y" * 100]], room=40, colour=True)
    assert "\x1b[31mFailed\x1b[0m" in lines[1]
    assert lines[1].endswith("…")
    assert lines[0].startswith("\x1b[1m")


@pytest.mark.parametrize(
    ("room", "kept"),
    [
        (80, ["NAME", "ID", "BROKER", "AGENT", "STATE", "TIME", "WHAT"]),
        (56, ["NAME", "ID", "BROKER", "STATE", "TIME", "WHAT"]),
        (40, ["NAME", "STATE", "TIME", "WHAT"]),
        (30, ["NAME", "STATE", "WHAT"]),
    ],
)
def test_a_narrow_terminal_has_fewer_columns_and_no_line_of_two(room: int, kept: list[str]) -> None:
    row = ["coder", "k3j5abcd", "vps", "shell", "Working", "94 s", "x" * 100]
    lines = table.render(spawn_lines.HEADINGS, [row], room, first_to_go=spawn_lines.FIRST_TO_GO)
    assert lines[0].split() == kept and max(map(table.width_of, lines)) <= room


@pytest.mark.parametrize("room", range(1, 12))
def test_a_window_of_next_to_no_columns_ends_too(room: int) -> None:
    row = ["claude-tidy", "k3j5abcd", "vps", "shell", "Working", "94 s", "make test"]
    lines = table.render(spawn_lines.HEADINGS, [row], room, first_to_go=spawn_lines.FIRST_TO_GO)
    assert "STATE" in lines[0], lines


def test_what_a_terminal_has_no_letters_for_is_measured_as_it_is_written() -> None:
    rows = [["coder", "Working", "grüße " * 20], ["build", "Done", "make " * 20]]
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), "ascii", "backslashreplace")):
        lines = table.render(("NAME", "STATE", "WHAT"), rows, room=60)
    assert all(line.isascii() and len(line) <= 60 and line.endswith("...") for line in lines[1:]), lines


def test_what_is_waited_for_is_who_answers_and_not_what_a_spawn_is_called() -> None:
    assert text_of(queue_routes.retry("build", "op")) == text_of(queue_routes.pause("stop", "op")) == ITS_WORD
    assert text_of(queue_routes.pause_queue("vps")) == ITS_WORD != text_of(queue_routes.pause_queue())
    assert text_of(queue_routes.remove_schedule("nightly")) == ITS_WORD
    assert text_of(routes.show("stop")) == text_of(routes.show("ping")) == LOOKING


def test_every_state_has_its_word() -> None:
    assert set(words.WORDS) == set(State) == set(get_args(StateName))
    assert words.ENDED == TERMINAL
    assert words.word("from_the_future") == "from_the_future"
    assert words.last_word("running", "3 min") == "Unreachable (Working 3 min ago)"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 0),
        ({"state": "failed", "exit_code": 3}, 3),
        ({"state": "failed", "exit_code": 0}, 1),
        ({"state": "failed", "exit_code": None, "signal": 9}, 137),
        ({"state": "failed", "exit_code": None, "error": {"code": "missing_binary", "message": "", "hint": ""}}, 127),
        ({"state": "timed_out"}, 124),
        ({"state": "lost"}, 123),
        ({"state": "rejected"}, 125),
        ({"state": "expired"}, 125),
        ({"state": "cancelled"}, 130),
    ],
)
def test_exit_statuses(changes: dict[str, Any], status: int, capsys: pytest.CaptureFixture[str]) -> None:
    ended: Any = spawn(**changes)
    assert spawn_lines.status_of(ended) == status
    spawn_lines.say_failure(ended, Home("/h"))
    told = capsys.readouterr().err
    assert told.startswith("error: build on vps ") and "try:" in told


def test_a_command_s_result_is_its_output_and_an_agent_s_its_summary() -> None:
    shell: Any = spawn()
    agent: Any = spawn(agent="claude")
    assert spawn_lines.result_text(shell) == "all\nwell\n"
    assert spawn_lines.result_text(agent) == "ok"


def test_events_read_on_one_line() -> None:
    line = events.line({"seq": 3, "at": "2026-01-02T03:04:05.678Z", "kind": "spawn.state", "spawn": {"name": "a\x1b"}})
    assert line.isprintable() and "spawn.state" in line
    told = events.line({"seq": 7, "kind": "reset"})
    assert "no longer kept, or has not come yet; what follows is after 7" in told


def test_the_limits_are_those_of_the_core() -> None:
    assert ordering.MAX_TASK == spawning.MAX_TASK
    assert ordering.MODES == spawning.MODES
    assert ordering.FRESH == spawning.FRESH_DIRECTORY


def _order(words: list[str], **changes: Any) -> Any:
    plain: dict[str, Any] = dict.fromkeys(("broker", "cwd", "mode", "model", "timeout", "ttl", "idempotency_key"))
    return ordering.order(**({"name": "n", "agent": "shell", "words": words, "label": []} | plain | changes))


def test_an_order_says_what_was_typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.md").write_text("do it")
    assert _order(["@plan.md"])["task"] == "do it"
    assert _order(["x"])["caller_cwd"] == str(tmp_path)
    assert _order(["x"], cwd="sub")["cwd"] == str(tmp_path / "sub")
    assert _order(["x"], cwd="sub", broker="vps")["cwd"] == "sub"
    assert _order(["x"], cwd="new")["cwd"] == "new"
    assert _order(["x"], timeout="2m", ttl="1d")["timeout_s"] == 120
    assert _order(["a", "-b"], agent="exec")["argv"] == ["a", "-b"]


def test_a_made_up_name_is_the_same_for_the_same_key() -> None:
    first, second = (_order(["x"], name="-", idempotency_key="k") for _ in range(2))
    assert first["name"] == second["name"] != _order(["x"], name="-")["name"]
    assert len(_order(["x"], name="-", agent="a" * 64)["name"]) == 64


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        ([], {}),
        (["a", "b"], {}),
        ([], {"agent": "exec"}),
        (["@/nowhere/at/all"], {}),
        (["\udcff"], {}),
        (["x"], {"mode": "wild"}),
        (["x"], {"label": ["novalue"]}),
        (["x"], {"timeout": "soon"}),
    ],
)
def test_what_cannot_be_ordered(words: list[str], changes: dict[str, Any]) -> None:
    with pytest.raises(Misuse):
        _order(words, **changes)
