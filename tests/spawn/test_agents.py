"""`shell`, `exec` and the agents of `agents.toml`: what is executed for a request, and what can never be."""

from __future__ import annotations

import signal
import subprocess
from typing import Any

import pytest

from relay.core.errors import Code, Misuse
from relay.core.spawning import SpawnRequest
from relay.core.states import State
from relay.spawn.agents.agent import PlainReader, checked_model
from relay.spawn.agents.commands import Exec, Shell
from relay.spawn.agents.registry import Template, UnknownReader

HOSTILE = ("--help", "-c", "; rm -rf /", "$(id)", "`id`", "{mode}", "{task}", "a\nb", "'", '"', "\\", " ")


def request(**changes: Any) -> SpawnRequest:
    """A request."""
    fields: dict[str, Any] = {"id": "abcdefghij234567", "name": "n", "agent": "a", "task": "look", "created": 1}
    return SpawnRequest(**fields | {"expires": 2} | changes)


def refused(template: Template, **changes: Any) -> Misuse:
    """The refusal of a request by a template."""
    with pytest.raises(Misuse) as caught:
        template.command(request(**changes), 1)
    return caught.value


def test_shell_is_one_word_after_c() -> None:
    for task in ("make test", "-c", "--help", "echo 'a b'\necho c"):
        command = Shell().command(request(task=task), 1)
        assert command.argv == ("/bin/sh", "-c", "--", task)
        assert command.stdin is None and command.stop_signal == signal.SIGTERM


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
def test_no_task_is_an_option_of_its_shell(shell: str) -> None:
    for task in ("--version", "-i", "-n true"):
        _, *words = Shell().command(request(task=task), 1).argv
        assert subprocess.run([shell, *words], capture_output=True, check=False).returncode == 127, task


@pytest.mark.parametrize("task", ["", " ", "\n"])
def test_shell_without_a_task(task: str) -> None:
    with pytest.raises(Misuse) as caught:
        Shell().command(request(task=task), 1)
    assert caught.value.code is Code.BAD_TASK and "relay spawn" in caught.value.hint


def test_exec_is_the_words_alone() -> None:
    words = ("printf", "%s", "", "--json", "a b", "$HOME")
    command = Exec().command(request(argv=words, task="rm -rf /"), 1)
    assert command.argv == words and command.stdin is None


@pytest.mark.parametrize("argv", [(), ("",), ("", "x")])
def test_exec_without_words(argv: tuple[str, ...]) -> None:
    with pytest.raises(Misuse) as caught:
        Exec().command(request(argv=argv), 1)
    assert caught.value.code is Code.BAD_TASK


@pytest.mark.parametrize("task", HOSTILE)
def test_a_template_without_task_gives_it_by_standard_input(task: str) -> None:
    command = Template("r", ("reviewer", "--mode", "{mode}")).command(request(task=task, mode="plan"), 1)
    assert command.argv == ("reviewer", "--mode", "plan") and command.stdin == task


@pytest.mark.parametrize("task", HOSTILE)
def test_a_task_after_two_dashes_is_one_word_whatever_it_says(task: str) -> None:
    command = Template("r", ("reviewer", "--", "{task}")).command(request(task=task), 1)
    assert command.argv == ("reviewer", "--", task) and command.stdin is None


@pytest.mark.parametrize("task", ["-x", "--help", "-"])
def test_a_task_that_could_be_an_option_is_refused(task: str) -> None:
    for words in (("reviewer", "{task}"), ("reviewer", "-q", "{task}", "--")):
        error = refused(Template("r", words), task=task)
        assert error.code is Code.BAD_TASK and "agents.r" in error.hint
    assert Template("r", ("reviewer", "{task}")).command(request(task="a -x"), 1).argv == ("reviewer", "a -x")


def test_a_task_within_a_word_stays_in_it() -> None:
    command = Template("r", ("reviewer", "--task={task}")).command(request(task="a b"), 1)
    assert command.argv == ("reviewer", "--task=a b")


def test_marks_in_the_tasks_own_text_stay() -> None:
    words = ("r", "--", "{task}", "{mode}")
    assert Template("r", words).command(request(task="{model} {mode}", mode="full"), 1).argv[2:] == (
        "{model} {mode}",
        "full",
    )


def test_a_model_is_put_in_or_left_out_with_its_option() -> None:
    for words in (("r", "--model", "{model}", "-q"), ("r", "--model={model}", "-q")):
        assert Template("r", words).command(request(), 1).argv == ("r", "-q")
    assert Template("r", ("r", "--model", "{model}")).command(request(model="m-1"), 1).argv == ("r", "--model", "m-1")


@pytest.mark.parametrize("model", ["--evil", "-x", "a b", "a\n", "a;b", "$x", "é", "", "x" * 129])
def test_a_model_that_could_be_more_than_a_name(model: str) -> None:
    with pytest.raises(Misuse) as caught:
        checked_model(model)
    assert caught.value.code is Code.BAD_NAME
    if model:
        assert refused(Template("r", ("r", "--model={model}")), model=model).code is Code.BAD_NAME


def test_environment_and_stop_come_from_the_template() -> None:
    template = Template("r", ("r",), signal.SIGKILL, {"REVIEW": "strict"})
    command = template.command(request(), 1)
    assert (command.environment, command.stop_signal) == ({"REVIEW": "strict"}, signal.SIGKILL)


def test_plain_programs_say_it_with_their_exit_code() -> None:
    reader = PlainReader()
    assert reader.feed(0, b"all went well\n") == [] and reader.finding(0).state is State.COMPLETED
    for exit_code in (1, 7, 255):
        finding = reader.finding(exit_code)
        assert (finding.state, finding.code) == (State.FAILED, Code.EXIT_NONZERO) and str(exit_code) in finding.why


def test_what_nobody_can_read_is_no_success() -> None:
    reader = UnknownReader("gone")
    assert reader.feed(0, b"x") == []
    finding = reader.finding(0)
    assert (finding.state, finding.code) == (State.FAILED, Code.UNKNOWN_AGENT) and "gone" in finding.why
