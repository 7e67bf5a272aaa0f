"""The PATH of the login shell, from shells that answer, babble, hang, lie and die."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from relay.cli import login_path
from relay.testing.processes import wait_until


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's login shell: a script to be written. Its fourth word is what it is asked to run."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "/terminal/bin:/usr/bin:/bin")
    monkeypatch.setenv("API_KEY", "hidden-from-the-shell")
    path = tmp_path / "my shell"
    monkeypatch.setenv("SHELL", str(path))
    return path


def _is(shell: Path, text: str) -> None:
    shell.write_text(f"#!/bin/sh\n{text}\n")
    shell.chmod(0o755)


def test_bash_reads_its_own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", "/bin/bash")
    (tmp_path / ".bash_profile").write_text('echo welcome\nPATH="$HOME/agents:$PATH"\n. ~/.bashrc\n')
    (tmp_path / ".bashrc").write_text('case $- in *i*) PATH="/only/interactive:$PATH";; esac\n')
    found = login_path.login_path()
    assert found.path.startswith(f"/only/interactive:{tmp_path}/agents:")
    assert (found.source, found.trouble) == ("the login shell /bin/bash", "")


def test_the_shell_is_asked_as_a_login_and_sees_no_secret(shell: Path, tmp_path: Path) -> None:
    _is(shell, f'env > {tmp_path}/env; echo "$1 $2 $3" > {tmp_path}/words; PATH=/a:/b /bin/sh -c "$4"')
    assert login_path.login_path() == login_path.FoundPath("/a:/b", f"the login shell {shell}", "", 0)
    assert (tmp_path / "words").read_text() == "-l -i -c\n"
    assert "hidden" not in (tmp_path / "env").read_text()


def test_noise_around_the_answer_is_no_answer(shell: Path) -> None:
    _is(shell, 'printf "PATH=/evil\\n<%s>" /evil; head -c 300000 /dev/zero; PATH=/good /bin/sh -c "$4"; echo "</evil>"')
    assert login_path.login_path().path == "/good"


def test_only_absolute_printable_folders_are_taken_each_once(shell: Path) -> None:
    _is(shell, "PATH=\"/a:.:bin::/a:/n\nExecStart=/evil:/e\033[31m:/b c/50%:/a\" /bin/sh -c \"$4\"")
    found = login_path.login_path()
    assert (found.path, found.left_out, found.trouble) == ("/a:/b c/50%", 4, "")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("exit 0", "ended without telling"),
        ("exec head -c 3000000 /dev/zero", "printed more than"),
        ('PATH= /bin/sh -c "$4"', "told an empty PATH"),
        ('PATH=relative:. /bin/sh -c "$4"', "told an empty PATH"),
        ("kill -9 $$", "ended without telling"),
    ],
)
def test_without_an_answer_it_is_the_terminal_s(shell: Path, text: str, why: str) -> None:
    _is(shell, text)
    found = login_path.login_path()
    assert (found.path, found.source) == ("/terminal/bin:/usr/bin:/bin", "this terminal")
    assert why in found.trouble


@pytest.mark.parametrize("shell", ["relative/sh", "/no/such/shell", "/etc/passwd"])
def test_a_shell_that_is_none(monkeypatch: pytest.MonkeyPatch, shell: str) -> None:
    monkeypatch.setenv("SHELL", shell)
    assert "is no program" in login_path.login_path().trouble


def test_a_shell_that_hangs_is_ended_with_all_it_started(
    shell: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _is(shell, f"sleep 1000 & echo $! > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; read line; wait")
    for seconds in (1.0, 4.0, 16.0):  # it may be ended before it has started anything
        monkeypatch.setattr(login_path, "SHELL_S", seconds)
        begun = time.monotonic()
        assert "did not tell its PATH within" in login_path.login_path().trouble
        assert time.monotonic() - begun < 20 + seconds
        if (tmp_path / "pid").exists():
            break
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: not _is_alive(pid), 15, "the shell's child is gone")


def test_a_child_that_keeps_the_output_open_is_not_waited_for(shell: Path, tmp_path: Path) -> None:
    _is(shell, f'sleep 1000 & echo $! > {tmp_path}/pid; PATH=/a /bin/sh -c "$4"; wait')
    assert login_path.login_path().path == "/a"
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: not _is_alive(pid), 15, "the shell's child is gone")


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except FileNotFoundError:
        return False


def test_a_path_has_bounds() -> None:
    text = ":".join(f"/{at}" for at in range(100_000))
    path, left_out = login_path.acceptable(text)
    assert len(path) < login_path.MAX_PATH and path.count(":") == login_path.MAX_FOLDERS - 1 and left_out
    assert login_path.acceptable("") == ("", 0)
    assert os.path.isabs(path)
