"""Where things stand, and who is known without a broker."""

from __future__ import annotations

import json
import os
from pathlib import Path

import platformdirs
import pytest

from relay.api import home as homes
from relay.api import roster
from relay.api.home import Home
from relay.core import ids
from relay.core.errors import Code, LocalFault, Misuse

ONE, TWO = ids.broker_id(bytes(32)), ids.broker_id(b"x" * 32)


def test_the_default_is_the_platform_s_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RELAY_HOME", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert homes.default_folder() == platformdirs.user_data_dir("relay", appauthor=False)
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere")
    assert homes.default_folder() == platformdirs.user_data_dir("relay", appauthor=False)


def test_the_variable_and_the_option_win(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RELAY_HOME", str(tmp_path))
    assert Home().path == str(tmp_path)
    assert Home().command("up") == Home(tmp_path).command("up") == "relay up"
    assert Home("/a b").command("up") == "relay --home '/a b' up"


def test_a_home_cannot_be_changed(tmp_path: Path) -> None:
    with pytest.raises(AttributeError):
        Home(tmp_path).path = "/elsewhere"


def test_a_socket_folder_open_to_others_is_refused(tmp_path: Path) -> None:
    home = Home(tmp_path / "open")
    os.mkdir(home.path)
    os.chmod(home.path, 0o755)
    with pytest.raises(LocalFault, match="open to others"):
        homes.make_socket_folder(home)
    assert not homes.is_private_folder(home.path)


def test_a_home_open_to_others_is_refused_wherever_its_socket_is(tmp_path: Path) -> None:
    home = Home(tmp_path / ("long" * 30))
    os.mkdir(home.path, 0o700)
    homes.require_private(home)
    os.chmod(home.path, 0o770)
    with pytest.raises(LocalFault, match=r"the home .* is open to others") as refused:
        homes.require_private(home)
    assert refused.value.hint == f"chmod 700 {home.path}"


def _write(home: Home, text: str) -> Home:
    os.makedirs(home.path, exist_ok=True)
    Path(home.roster).write_text(text)
    return home


def _members(*entries: dict[str, object]) -> str:
    return json.dumps({"members": list(entries), "statements": []})


def test_a_member_is_found_by_name_id_and_prefix(tmp_path: Path) -> None:
    text = _members({"id": ONE, "name": "laptop", "addresses": ["10.0.0.1:7411"]}, {"id": TWO, "name": "vps"})
    known = roster.members(_write(Home(tmp_path), text))
    assert roster.find(known, "laptop").id == ONE
    assert roster.find(known, TWO[:8]).name == "vps"
    assert roster.find(known, ids.grouped(ONE)).addresses == ("10.0.0.1:7411",)


def test_nobody_and_several_are_told_apart(tmp_path: Path) -> None:
    text = _members({"id": ONE, "name": "same"}, {"id": TWO, "name": "same"}, {"id": "nonsense"}, {})
    known = roster.members(_write(Home(tmp_path), text))
    assert len(known) == 2
    with pytest.raises(Misuse) as several:
        roster.find(known, "same")
    assert several.value.code is Code.AMBIGUOUS
    with pytest.raises(Misuse) as nobody:
        roster.find(known, "ghost")
    assert nobody.value.code is Code.UNKNOWN_BROKER


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_a_broken_roster_is_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(LocalFault, match=r"roster\.json"):
        roster.members(_write(Home(tmp_path), text))


def test_no_roster_is_an_empty_one(tmp_path: Path) -> None:
    assert roster.members(Home(tmp_path)) == []
