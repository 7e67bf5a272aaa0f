"""Default deny, refusal by refusal: each has its code, the command that mends it, and a line in both audit logs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.scene import Scene, audit, fresh, relay, relay_json, type_hint


def refused(two: Scene, words: list[str], code: str) -> dict[str, Any]:
    """Ask, be refused with this code, and find the refusal in both audit logs; the error."""
    found: dict[str, Any] = relay_json(two.laptop, *words, "--wait", status=125)
    assert (found["state"], found["error"]["code"]) == ("rejected", code), found["error"]
    assert found["attempt"] == 0 and found["started"] is None and found["result"] is None
    for node in (two.vps, two.laptop):
        codes = [(each["decision"], each["code"]) for each in audit(node) if found["id"] in each["detail"]]
        assert codes == [("refused", code)], (node.name, codes)
    error: dict[str, Any] = found["error"]
    assert error["message"] and error["hint"]
    return error


def mended(two: Scene, error: dict[str, Any], words: list[str]) -> None:
    """Type the hint where it says, and the same request runs."""
    type_hint(error["hint"], {"vps": two.vps})
    found = relay_json(two.laptop, *words, "--wait", status=None)
    assert found["state"] == "completed", (error["hint"], found["state"], found["error"])


def test_no_agent(two: Scene) -> None:
    two.grant("--agent", "exec")
    words = two.words("shell", "true")
    error = refused(two, words, "no_agent")
    assert error["hint"] == "on vps: relay trust allow laptop --agent shell"
    mended(two, error, words)


def test_a_star_covers_no_agent_that_takes_commands(two: Scene) -> None:
    two.grant("--agent", "*")
    error = refused(two, two.words("shell", "true"), "no_agent")
    assert "granted by name only" in error["why"]


def test_no_verb(two: Scene) -> None:
    two.grant("--agent", "shell")
    trust = two.vps.home / "trust.toml"
    trust.write_text(trust.read_text().replace('"spawn"', '"view"'))
    words = two.words("shell", "true")
    mended(two, refused(two, words, "no_verb"), words)


def test_unknown_agent(two: Scene) -> None:
    two.grant("--agent", "*")
    error = refused(two, two.words("reviewer", "look"), "unknown_agent")
    assert "knows aider, claude, codex, exec," in error["why"] and error["hint"].startswith("define it in ")
    assert "[agents.reviewer]" in error["hint"]
    error = refused(two, two.words("cluade", "look"), "unknown_agent")
    assert error["hint"].startswith("claude, if that was meant; else define it in "), error


def test_no_directory_given(granted: Scene) -> None:
    words = ["spawn", "-", "shell", "true", "--broker", "vps"]
    error = refused(granted, words, "no_directory")
    assert "--cwd DIR" in error["hint"] and "--cwd new" in error["hint"]


def test_directory_that_is_not_there(granted: Scene) -> None:
    place = granted.vps.work / fresh("absent")
    error = refused(granted, granted.words("shell", "true", cwd=place), "no_directory")
    assert str(place) in error["message"] and "mkdir -p" in error["hint"]


def test_directory_that_is_a_file(granted: Scene) -> None:
    place = granted.vps.work / fresh("file")
    place.touch()
    refused(granted, granted.words("shell", "true", cwd=place), "no_directory")


def test_relative_directory(granted: Scene) -> None:
    for place in ("work", "./x", "..", "~nobody"):
        error = refused(granted, granted.words("shell", "true", cwd=place), "no_directory")
        assert repr(place) in error["why"] and "--cwd DIR" in error["hint"]


def _symlink(work: Path) -> str:
    link = work / fresh("link")
    link.symlink_to("/etc")
    return str(link)


ESCAPES: dict[str, Callable[[Path], str]] = {
    "elsewhere": lambda work: "/etc",
    "root": lambda work: "/",
    "parent": lambda work: f"{work}/..",
    "dots": lambda work: f"{work}/../../../etc",
    "double slash": lambda work: f"//{work}/../x",
    "prefix string": lambda work: f"{work}-evil",
    "symlink out": _symlink,
    "below a symlink": lambda work: _symlink(work) + "/ssl",
    "home": lambda work: "~",
}


@pytest.mark.parametrize("escape", ESCAPES)
def test_foreign_directory(granted: Scene, escape: str) -> None:
    work = granted.vps.work
    Path(f"{work}-evil").mkdir(exist_ok=True)
    error = refused(granted, granted.words("shell", "pwd", cwd=ESCAPES[escape](work)), "foreign_directory")
    assert str(work) in error["why"]
    assert error["hint"].startswith("on vps: relay trust allow laptop --dir /")


def test_a_foreign_directory_is_mended_by_the_hint(granted: Scene) -> None:
    other = granted.mesh.folder / fresh("other dir's")
    other.mkdir()
    words = granted.words("shell", "true", cwd=other)
    mended(granted, refused(granted, words, "foreign_directory"), words)


def test_what_lies_below_a_granted_directory_is_granted(granted: Scene) -> None:
    below = granted.vps.work / fresh("below") / "deep"
    below.mkdir(parents=True)
    inside = granted.vps.work / fresh("inside")
    inside.symlink_to(below)
    for place in (below, inside, f"{below}/../deep/.", f"{granted.vps.work}/"):
        found = relay_json(granted.laptop, *granted.words("shell", "pwd -P", cwd=place), "--wait")
        assert found["cwd"] == str(Path(place).resolve()) == found["result"]["output_tail"].strip()


def test_fresh_directory_has_to_be_granted(granted: Scene) -> None:
    words = granted.words("shell", "true", cwd="new")
    error = refused(granted, words, "foreign_directory")
    assert error["hint"] == "on vps: relay trust allow laptop --dir new"
    mended(granted, error, words)


def test_mode_beyond_grant(two: Scene) -> None:
    two.grant("--agent", "shell", "--mode", "plan")
    words = [*two.words("shell", "true"), "--mode", "full"]
    error = refused(two, words, "mode_beyond_grant")
    assert error["hint"] == "on vps: relay trust allow laptop --mode full"
    mended(two, error, words)


def test_grant_expired(two: Scene) -> None:
    two.grant("--agent", "shell")
    trust = two.vps.home / "trust.toml"
    lines = [line for line in trust.read_text().splitlines() if not line.startswith("expires")]
    trust.write_text("\n".join([*lines, "expires = 2020-01-01T00:00:00Z", ""]))
    words = two.words("shell", "true")
    error = refused(two, words, "grant_expired")
    mended(two, error, words)


@pytest.mark.parametrize("text", ["this is not TOML [", "[[grant]]\nbroker = 7\n", "\xff", "[unknown]\nx = 1\n"])
def test_a_broken_trust_file_denies_everything_and_says_so(granted: Scene, text: str) -> None:
    trust = granted.vps.home / "trust.toml"
    trust.write_bytes(text.encode("latin-1"))
    error = refused(granted, granted.words("shell", "true"), "bad_trust_file")
    assert "trust.toml" in error["message"] + error["why"] + error["hint"]
    listed = relay(granted.vps, "trust", "list")
    assert listed.returncode == 1 and b"trust.toml" in listed.stderr and b"try:" in listed.stderr
    doctor = relay(granted.vps, "doctor")
    assert doctor.returncode == 1 and b"trust.toml" in doctor.stdout + doctor.stderr
    # nothing is guessed from a broken file, and nothing is written over it
    told = relay(granted.vps, "trust", "allow", "laptop", "--agent", "shell", "--dir", "/")
    assert told.returncode == 1 and trust.read_bytes() == text.encode("latin-1")


def test_local_work_needs_no_grant(two: Scene) -> None:
    words = ("spawn", "-", "shell", "pwd", "--cwd", str(two.vps.work), "--wait")
    (two.vps.home / "trust.toml").write_text("broken [")
    assert relay(two.vps, *words).stdout.decode().strip() == str(two.vps.work)


def test_trust_test_says_what_a_request_would_get(granted: Scene) -> None:
    work = str(granted.vps.work)
    good = relay(granted.vps, "trust", "test", "laptop", "--agent", "shell", "--dir", work)
    assert good.returncode == 0
    bad = relay(granted.vps, "trust", "test", "laptop", "--agent", "claude", "--dir", work)
    assert bad.returncode == 1 and b"--agent claude" in bad.stdout + bad.stderr


def test_others_may_not_stop_or_look(granted: Scene) -> None:
    """vps has no grant on laptop, so that it can see nothing of what laptop runs for itself."""
    own = relay_json(granted.laptop, "spawn", fresh("own"), "shell", "sleep 30", "--cwd", str(granted.laptop.work))
    assert relay(granted.vps, "show", own["id"]).returncode == 2
    assert relay(granted.vps, "stop", own["id"]).returncode == 2
    assert relay(granted.vps, "logs", own["id"]).returncode == 2
    relay(granted.laptop, "stop", own["id"])


def test_too_many_waits_with_the_reason(two: Scene) -> None:
    two.grant("--agent", "shell", "--max-parallel", "1")
    go = two.vps.work / fresh("go")
    first = two.begin(f"while [ ! -e {go} ]; do sleep 0.05; done")
    second = two.begin("true")
    assert "1 at once" in two.until(second, "waiting")["reason"]
    go.touch()
    two.until(first, "completed")
    two.until(second, "completed")


def test_an_ask_holds_and_stops(two: Scene) -> None:
    two.grant("--agent", "shell", "--ask")
    spawn = two.begin("true")
    assert two.until(spawn, "held")["ack"].startswith("Held on vps")
    relay(two.laptop, "stop", spawn)
    assert two.until(spawn, "cancelled")["started"] is None


def test_a_file_is_no_directory_and_is_not_to_be_made_one(granted: Scene) -> None:
    place = granted.vps.work / fresh("file")
    place.write_text("")
    found = relay_json(granted.laptop, *granted.words("shell", "true", cwd=place), "--wait", status=125)
    assert found["error"]["code"] == "no_directory" and "mkdir" not in found["error"]["hint"]
    assert "is no directory" in found["error"]["message"]


def test_an_agent_that_does_not_exist_is_not_to_be_granted(two: Scene) -> None:
    for grant in (False, True):
        if grant:
            two.grant()
        found = relay_json(two.laptop, *two.words("nosuch", "do it"), "--wait", status=125)
        error = found["error"]
        assert "nosuch" in error["why"] + error["message"] and "trust allow" not in error["hint"], error


def test_hints_name_the_home_that_is_meant(granted: Scene) -> None:
    home = str(granted.laptop.home)
    elsewhere = str(granted.mesh.folder / "elsewhere")
    done = relay(granted.laptop, "--home", home, "show", "nosuch", RELAY_HOME=elsewhere)
    assert f"try:   relay --home {home} ps --all".encode() in done.stderr, done.stderr
    assert b"try:   relay ps --all" in relay(granted.laptop, "show", "nosuch").stderr
    words = granted.words("shell", "true", cwd="/")
    refused = relay(granted.laptop, "--home", home, *words, "--wait", RELAY_HOME=elsewhere)
    assert b"on vps: relay trust allow laptop" in refused.stderr, refused.stderr


def test_what_was_last_seen_is_private(two: Scene) -> None:
    assert relay(two.laptop).returncode == 0
    assert (two.laptop.home / "seen.json").stat().st_mode & 0o777 == 0o600
