"""Completion: what is being typed, what fits there, and a real bash that asks for it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from relay.api.home import Home, make_socket_folder
from relay.cli.completing import sources
from relay.cli.completing.place import find
from relay.cli.surface import TABLE
from relay.cli.verbs.completion import _split
from relay.core.states import GROUPS, TERMINAL
from relay.store.spawn_lists import SORTS
from relay.testing.processes import wait_until
from tests.api.canned_broker import RUNNING, CannedBroker, mark_set_up, spawn
from tests.cli.conftest import Relay

FEW_S = 2.0
Complete = Callable[[str], list[str]]


@pytest.mark.parametrize(
    ("line", "sort", "verb", "name", "typed"),
    [
        ("", "verb", "", "", ""),
        ("sh", "verb", "", "", "sh"),
        ("--json sh", "verb", "", "", "sh"),
        ("--home /x sh", "verb", "", "", "sh"),
        ("trust ", "verb", "trust", "", ""),
        ("trust allow ", "value", "trust allow", "brokers", ""),
        ("show b", "value", "show", "spawn", "b"),
        ("show build ", "nothing", "show", "", ""),
        ("wait a b ", "value", "wait", "spawns", ""),
        ("ps --bro", "option", "ps", "", "--bro"),
        ("ps --broker v", "value", "ps", "broker", "v"),
        ("ps --broker=v", "value", "ps", "broker", "v"),
        ("ps --all ", "nothing", "ps", "", ""),
        ("spawn n ", "value", "spawn", "agent", ""),
        ("spawn --broker vps n cl", "value", "spawn", "agent", "cl"),
        ("spawn n exec -- --b", "value", "spawn", "words", "--b"),
        ("queue ", "verb", "queue", "", ""),
        ("nonsense ", "nothing", "", "", ""),
        ("ps --home ", "value", "ps", "home", ""),
        ("show --bogus=", "value", "show", "", ""),
    ],
)
def test_the_place_in_a_line_is_found(line: str, sort: str, verb: str, name: str, typed: str) -> None:
    place = find(_split(line), TABLE)
    assert (place.sort, place.verb, place.name, place.typed) == (sort, verb, name, typed)


def test_a_line_is_cut_as_a_shell_reads_it_and_nothing_in_it_runs() -> None:
    assert _split("relay show ") == ["relay", "show", ""]
    assert _split("a 'b c' \"d\\\" e\" f\\ g") == ["a", "b c", 'd" e', "f g"]
    assert _split("x 'open quo") == ["x", "open quo"]
    assert _split("x $(touch y) `z`") == ["x", "$(touch", "y)", "`z`"]
    assert _split("a ''") == ["a", ""]


def test_the_fixed_words_are_those_that_are_taken() -> None:
    assert set(sources.STATES) == set(GROUPS)
    assert set(sources.UNFINISHED) == {name for name, states in GROUPS.items() if not states & TERMINAL} - {"live"}
    assert set(sources.FIXED["sort"]) == set(SORTS)
    named = {name for entry in TABLE.values() for name, _, _ in entry["words"]}
    named |= {name for entry in TABLE.values() for name, _, _ in entry["options"].values()}
    assert sources.BROKERS | sources.AGENTS | sources.SPAWNS | set(sources.FIXED) <= named
    assert {verb for verb, _ in sources.BY_VERB} | set(sources.ONLY) <= set(TABLE)


def _asked(relay: Relay, *words: str, fixed: int = 0) -> list[str]:
    """What is offered. A broker that did not answer within a third of a second, on a busy machine, is asked again.

    Args:
        relay: runs it.
        words: the line.
        fixed: how many words are offered without its answer as well.
    """

    def offered() -> list[str]:
        done = relay("completion", "words", "--", "relay", *words)
        assert done.stderr == "", done.stderr
        found = [line.partition("\t")[0] for line in done.stdout.splitlines()]
        return found if len(found) > fixed else []

    return wait_until(offered, 30, "something to be offered")


def test_names_ids_brokers_and_agents_come_from_the_broker(relay: Relay, broker: CannedBroker) -> None:
    broker.spawns["build"] = [spawn(**RUNNING)]
    broker.spawns["other"] = [spawn(name="build", id="ccccdddd" + "e" * 8, broker={"id": "x", "name": "mini"})]
    broker.spawns["notes"] = [spawn(name="notes", id="n" * 16)]
    assert _asked(relay, "show", "") == ["build@mini", "build@vps", "notes"]
    assert _asked(relay, "show", "n") == ["nnnnnnnn", "notes"]
    assert broker.looked[-1]["all"] == "1" and "name" not in broker.looked[-1], "also what ended long ago"
    assert _asked(relay, "stop", "cccc") == ["ccccdddd"] and broker.looked[-1]["states"] == "live"
    assert _asked(relay, "resolve", "", fixed=1) == ["all", "build@mini", "build@vps", "notes"]
    assert _asked(relay, "resolve", "all", "p") == ["pending"]
    assert _asked(relay, "send", "") == ["build@mini", "build@vps", "notes"], "nobody sends to a broker"
    assert _asked(relay, "ps", "--broker=") == ["--broker=laptop"]
    assert _asked(relay, "broker", "show", "l") == ["laptop"]
    assert _asked(relay, "spawn", "n", "") == ["shell"]
    assert _asked(relay, "ps", "--state", "need") == ["needs_input", "needs_you"]
    assert "--priority" in _asked(relay, "spawn", "--p") and _asked(relay, "trust", "re") == ["revoke"]
    line = ("completion", "words", "--json", "--", "relay", "show", "not")
    told = wait_until(lambda: json.loads(relay(*line).stdout), 30, "something to be offered")
    assert told == [{"value": "notes", "about": "Done on vps: make test"}]


def test_what_could_steer_a_terminal_is_not_offered(relay: Relay, broker: CannedBroker) -> None:
    broker.spawns = {"evil": [spawn(name="x\x1b[31m", task="\x1b]0;t\x07")], "two": [spawn(name="a\nb")]}
    done = relay("completion", "words", "--", "relay", "show", "")
    assert (done.returncode, done.stdout) == (0, "")


def test_without_a_broker_there_is_silence(relay: Relay, home: Home) -> None:
    for _ in range(2):
        done = relay("completion", "words", "--", "relay", "show", "")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        mark_set_up(home)
    assert _asked(relay, "stat") == ["status"], "what the table knows needs no broker"
    assert relay("completion", "words", "--", "relay", "ps", "--home", "").returncode == 3


@pytest.mark.parametrize("accepts", [True, False], ids=["says nothing", "takes nobody in"])
def test_a_broker_that_hangs_holds_nobody_up(relay: Relay, home: Home, accepts: bool) -> None:
    mark_set_up(home)
    make_socket_folder(home)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(home.socket)
        listening.listen(8 if accepts else 0)
        waiting = []
        while not accepts:  # a full backlog: connect itself blocks
            each = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            waiting.append(each)
            each.setblocking(False)
            try:
                each.connect(home.socket)
            except BlockingIOError:
                break

        def is_soon_over() -> bool:
            began = time.monotonic()
            done = relay("completion", "words", "--", "relay", "show", "")
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
            return time.monotonic() - began < FEW_S

        # the start of a program is in it: one that got no turn for a while is asked again
        wait_until(is_soon_over, 20, "an end within a few seconds")
        for each in waiting:
            each.close()


def test_each_shell_gets_its_script_and_another_is_told(relay: Relay) -> None:
    for shell in ("bash", "zsh", "fish"):
        done = relay("completion", shell)
        assert done.returncode == 0 and "completion" in done.stdout and "PROGRAM" not in done.stdout
        assert json.loads(relay("completion", shell, "--json").stdout)["shell"] == shell
    done = relay("completion", "csh")
    assert done.returncode == 2 and "bash, zsh, fish" in done.stderr


# a real bash

BASH = shutil.which("bash")
IN_BASH = """
eval "$(relay completion bash)"
COMP_LINE=$1 COMP_POINT=${#1} COMP_CWORD=1 COMP_WORDS=(relay x)
_relay 2>&1
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def complete(environment: dict[str, str], tmp_path: Path) -> Complete:
    """What a real bash makes of a line."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "relay"
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -m relay \"$@\"\n")
    program.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"

    def typed(line: str) -> list[str]:
        done = subprocess.run(
            [str(BASH), "--norc", "-c", IN_BASH, "bash", line],
            env=environment | {"PATH": path},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.stderr == "", done.stderr
        return done.stdout.splitlines()

    return typed


def _offered(complete: Complete, line: str) -> list[str]:
    """As `_asked`."""
    return wait_until(lambda: [each for each in complete(line) if each], 30, "something to be offered")


def test_of_very_many_those_are_asked_for_whose_name_is_begun(relay: Relay, broker: CannedBroker) -> None:
    for n in range(sources.MOST):
        broker.spawns[f"{n}"] = [spawn(name="many", id=f"{n:016}")]
    broker.spawns["one"] = [spawn(name="one", id="o" * 16)]
    assert _asked(relay, "show", "on") == ["one"] and broker.looked[-1]["name"] == "on*"
    assert _asked(relay, "show", "m") == ["many"], "which of them it means, relay knows"
    assert _asked(relay, "show", "") == ["build", "many", "one"] and "name" not in broker.looked[-1]
    assert broker.looked[-1]["states"] == "live", "what lives is offered though very many are newer"


@pytest.mark.skipif(BASH is None, reason="no bash here")
def test_a_real_bash_completes_names_behind_its_word_breaks(complete: Complete, broker: CannedBroker) -> None:
    broker.spawns["notes"] = [spawn(name="notes", id="n" * 16)]
    assert _offered(complete, "relay show no") == ["notes"]
    assert _offered(complete, "relay show notes@v") == ["@vps"], "readline replaces an @ with what follows it"
    assert _offered(complete, "relay ps --broker=lap") == ["laptop"]
    assert complete("relay ps --sort cr") == ["created"]
    assert complete("relay com") == ["completion"]


@pytest.mark.skipif(BASH is None, reason="no bash here")
def test_a_real_bash_quotes_odd_names_and_runs_nothing(
    complete: Complete, broker: CannedBroker, tmp_path: Path
) -> None:
    broker.spawns = {"evil": [spawn(name=f"n$(touch {tmp_path}/owned)`touch {tmp_path}/owned`;x y'\"*")]}
    (quoted,) = _offered(complete, "relay show ")
    undone = subprocess.run([str(BASH), "-c", f"printf %s {quoted}"], capture_output=True, text=True, timeout=30)
    assert undone.stdout == broker.spawns["evil"][0]["name"]
    assert complete(f"relay show $(touch {tmp_path}/owned) ") == [""]
    assert not (tmp_path / "owned").exists()
