"""`relay mcp install`: the client's file gets one entry and loses nothing, or is left as it is with the reason."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.testing import command
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.stem import environment

FILES = {
    "claude": ".claude.json",
    "codex": ".codex/config.toml",
    "gemini": ".gemini/settings.json",
    "opencode": ".config/opencode/opencode.json",
    "cursor": ".cursor/mcp.json",
}


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """A home; its broker need not run."""
    with Mesh.scratch("relay-mcp-") as mesh:
        made = mesh.add("laptop", started=False)
        yield made


def _install(node: Node, person: Path, *words: str) -> tuple[int, str, str]:
    line = ["--home", str(node.home), "mcp", "install", *words]
    settings = environment() | {"HOME": str(person), "NO_COLOR": "1"}
    ran = command.run(line, settings, person, typed=None, timeout=30)
    return ran.returncode, ran.stdout.decode(), ran.stderr.decode()


def _entry(client: str, text: str) -> dict[str, object]:
    if client == "codex":
        entry: dict[str, object] = tomllib.loads(text)["mcp_servers"]["relay"]
    else:
        entry = json.loads(text)["mcp" if client == "opencode" else "mcpServers"]["relay"]
    return entry


@pytest.mark.parametrize("client", FILES)
def test_it_is_shown_then_written_once_and_nothing_else_is_changed(node: Node, tmp_path: Path, client: str) -> None:
    file = tmp_path / FILES[client]
    file.parent.mkdir(parents=True, exist_ok=True)
    secret = '# mine\nmodel = "x"\n\n[mcp_servers.other]\ncommand = "y"\nenv = { KEY = "s3cret" }\n'
    other = {"mcp" if client == "opencode" else "mcpServers": {"other": {"env": {"KEY": "s3cret"}}}, "theme": "dark"}
    before = secret if client == "codex" else json.dumps(other)
    file.write_text(before)
    file.chmod(0o640)
    status, said, noted = _install(node, tmp_path, client)
    assert status == 1 and str(file) in said and "--yes" in noted and file.read_text() == before
    status, said, _ = _install(node, tmp_path, client, "--yes")
    assert status == 0 and "s3cret" not in said
    entry = _entry(client, file.read_text())
    started = entry["command"] if client == "opencode" else [entry["command"], *entry["args"]]  # type: ignore[misc]
    assert started[-3:] == ["--home", str(node.home), "mcp"] and os.access(started[0], os.X_OK)  # type: ignore[index]
    assert "s3cret" in file.read_text() and file.stat().st_mode & 0o777 == 0o640
    assert client != "codex" or file.read_text().startswith(secret)
    written = file.read_text()
    status, said, _ = _install(node, tmp_path, client)
    assert status == 0 and "has it already" in said and file.read_text() == written
    assert list(file.parent.glob("*relay-part*")) == []


def test_the_home_of_now_is_named_where_the_client_hands_on_no_environment(node: Node, tmp_path: Path) -> None:
    settings = environment() | {"HOME": str(tmp_path), "RELAY_HOME": str(node.home)}
    ran = command.run(["mcp", "install", "codex", "--yes"], settings, tmp_path, typed=None, timeout=30)
    entry = _entry("codex", (tmp_path / FILES["codex"]).read_text())
    assert ran.returncode == 0 and entry["args"] == ["--home", str(node.home), "mcp"]
    assert entry["env_vars"] == ["RELAY_TOKEN"], "by which a task is known"
    assert entry["required"] is True, "else codex begins without the tools"


def test_where_there_was_no_file_there_is_one_for_its_owner_alone(node: Node, tmp_path: Path) -> None:
    status, said, _ = _install(node, tmp_path, "cursor", "--json", "--yes", "--names", "underscore")
    told, file = json.loads(said), tmp_path / FILES["cursor"]
    assert status == 0 and told["written"] and told["file"] == str(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert _entry("cursor", file.read_text())["args"][-2:] == ["--names", "underscore"]  # type: ignore[index]


@pytest.mark.parametrize("text", ["{ // a comment\n}", "[]", '{"mcpServers": 7}', "{" * 100_000])
def test_a_file_that_no_program_can_change_is_left_and_the_entry_is_told(node: Node, tmp_path: Path, text: str) -> None:
    (tmp_path / ".claude.json").write_text(text)
    status, _, noted = _install(node, tmp_path, "claude", "--yes")
    assert status == 1 and "by hand" in noted and '"mcpServers"' in noted and "Traceback" not in noted
    assert (tmp_path / ".claude.json").read_text() == text


def test_a_link_stays_a_link_and_an_unknown_client_is_told_so(node: Node, tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    (tmp_path / "dotfiles" / "claude.json").write_text("{}")
    (tmp_path / ".claude.json").symlink_to("dotfiles/claude.json")
    assert _install(node, tmp_path, "claude", "--yes")[0] == 0
    assert (tmp_path / ".claude.json").is_symlink() and "relay" in (tmp_path / "dotfiles" / "claude.json").read_text()
    status, _, noted = _install(node, tmp_path, "nobody", "--yes")
    assert status == 2 and "it knows claude" in noted
