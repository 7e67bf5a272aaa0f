"""What a reader who had not written it broke from outside, kept mended."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from relay.testing.control import ControlError
from relay.testing.processes import wait_until
from tests.e2e.scene import Scene, error_of, relay, relay_json


@pytest.fixture
def restored(granted: Scene) -> Iterator[Scene]:
    """Whatever a test puts in the place of vps's files is taken away again."""
    yield granted
    for name in ("trust.toml", "agents.toml"):
        path = granted.vps.home / name
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)


def test_a_trust_file_opened_to_others_denies_at_once(restored: Scene) -> None:
    """A change of mode alone counts as a change: the grants that were read before it hold no longer."""
    assert restored.shell("true", status=0)["state"] == "completed"
    (restored.vps.home / "trust.toml").chmod(0o666)
    refused = restored.shell("true", status=125)
    assert refused["error"]["code"] == "bad_trust_file"
    (restored.vps.home / "trust.toml").chmod(0o600)
    assert restored.shell("true", status=0)["state"] == "completed"


def test_a_pipe_for_a_trust_file_holds_nothing_up(restored: Scene) -> None:
    """It is refused at once; the writer of the store does not wait in it for ever."""
    path = restored.vps.home / "trust.toml"
    path.unlink()
    os.mkfifo(path)
    assert restored.shell("true", status=125)["error"]["code"] == "bad_trust_file"
    assert relay(restored.vps, "trust", "list", timeout=10).returncode == 1
    done = relay_json(restored.vps, "spawn", "-", "shell", "true", "--cwd", str(restored.vps.work), "--wait")
    assert done["state"] == "completed"


def test_a_trust_file_that_is_a_loop_of_links_denies(restored: Scene) -> None:
    path = restored.vps.home / "trust.toml"
    path.unlink()
    path.symlink_to("trust.toml")
    assert restored.shell("true", status=125)["error"]["code"] == "bad_trust_file"


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_an_agents_file_that_is_no_file(restored: Scene, make: object) -> None:
    assert callable(make)
    make(restored.vps.home / "agents.toml")
    words = ("spawn", "-", "claude", "hello", "--cwd", str(restored.vps.work), "--wait")
    done = relay(restored.vps, "--json", *words, timeout=10)
    assert done.returncode == 125 and error_of(done)["code"] == "bad_agents_file"
    wait_until(lambda: relay(restored.vps, "ps").returncode == 0, 5, "ps to answer")


def test_an_approval_of_no_request_in_particular_lets_nothing_start(granted: Scene) -> None:
    """As of a script whose variable was not set: it would have been a yes to whatever was asked."""
    granted.grant("--agent", "shell", "--ask")
    spawn = granted.begin("true")
    granted.until(spawn, "held")
    body = {"spawn": spawn, "verb": "approve", "request": "", "requested_by": "ann", "wait_s": 5}
    with granted.vps.control() as control, pytest.raises(ControlError) as refused:
        control.post("answers", body)
    assert "unknown_request" in str(refused.value)
    assert granted.show(spawn)["state"] == "held"
    relay(granted.laptop, "stop", spawn)
