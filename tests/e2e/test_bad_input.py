"""What people and scripts type wrong: a clear error with its code, nothing accepted, nothing hung, no traceback."""

from __future__ import annotations

import base64
import json
import socket
from typing import Any

import pytest

from relay.testing.control import ControlError
from tests.e2e.scene import TERMINAL, Scene, error_of, fresh, relay, relay_json, said

NUL, LONE = "a\0b", "\ud800"


def _spawns(two: Scene) -> int:
    with two.laptop.control() as control:
        return len(control.spawns())


def refused(two: Scene, *words: str | bytes, typed: bytes | None = None) -> dict[str, str]:
    """A command that is misused: exit status 2, the reason in both forms; the error."""
    before = _spawns(two)
    done = relay(two.laptop, "--json", *words, typed=typed)
    assert done.returncode == 2, (words, done)
    plain = relay(two.laptop, *words, typed=typed)
    assert plain.returncode == 2 and plain.stdout == b"" and said(plain).startswith(b"error: ")
    assert _spawns(two) == before, "nothing was accepted"
    error = error_of(done)
    assert error["message"].encode() in plain.stderr
    return error


WRONG_WORDS: dict[str, tuple[tuple[str | bytes, ...], str]] = {
    "unknown broker": (("spawn", "x", "shell", "true", "--broker", "nobody"), "unknown_broker"),
    "empty broker": (("spawn", "x", "shell", "true", "--broker", ""), "unknown_broker"),
    "broker with escapes": (("spawn", "x", "shell", "true", "--broker", "\x1b[31m"), "unknown_broker"),
    "name with escapes": (("spawn", "\x1b[31m", "shell", "true"), "bad_name"),
    "name with a slash": (("spawn", "../x", "shell", "true"), "bad_name"),
    "name that is long": (("spawn", "x" * 65, "shell", "true"), "bad_name"),
    "no name": (("spawn", "", "shell", "true"), "bad_name"),
    "blank name": (("spawn", " ", "shell", "true"), "bad_name"),
    "empty directory": (("spawn", "x", "shell", "true", "--cwd", ""), "usage"),
    "empty model": (("spawn", "x", "shell", "true", "--model", ""), "usage"),
    "empty idempotency key": (("spawn", "x", "shell", "true", "--idempotency-key", ""), "usage"),
    "empty filters": (("ps", "--broker", ""), "usage"),
    "empty state": (("ps", "--state", "running", "--state", ""), "usage"),
    "empty status": (("queue", "--status", ""), "usage"),
    "agent with a slash": (("spawn", "x", "../sh", "true"), "bad_name"),
    "no agent": (("spawn", "x"), "usage"),
    "no task": (("spawn", "x", "shell"), "bad_task"),
    "no argv": (("spawn", "x", "exec"), "bad_task"),
    "task in many words": (("spawn", "x", "shell", "echo", "a"), "bad_task"),
    "task of other bytes": (("spawn", "x", "shell", b"\xff\xfe"), "bad_task"),
    "word of other bytes": (("spawn", "x", "exec", "--", "echo", b"\xff"), "bad_task"),
    "task file that is missing": (("spawn", "x", "shell", "@/nonexistent"), "bad_task"),
    "task file that is a folder": (("spawn", "x", "shell", "@/etc"), "bad_task"),
    "timeout": (("spawn", "x", "shell", "true", "--timeout", "soon"), "bad_duration"),
    "timeout below nothing": (("spawn", "x", "shell", "true", "--timeout", "-5s"), "bad_duration"),
    "ttl of a year": (("spawn", "x", "shell", "true", "--ttl", "365d"), "bad_duration"),
    "turns of none": (("spawn", "x", "shell", "true", "--max-turns", "0"), "usage"),
    "mode": (("spawn", "x", "shell", "true", "--mode", "root"), "usage"),
    "label": (("spawn", "x", "shell", "true", "--label", "novalue"), "usage"),
    "idempotency key": (("spawn", "x", "shell", "true", "--idempotency-key", "with space"), "usage"),
    "verb": (("frobnicate",), "usage"),
    "option": (("ps", "--frobnicate"), "usage"),
    "spawn": (("show", "nosuch"), "unknown_spawn"),
    "empty request": (("approve", "x", "--request", ""), "usage"),
    "empty age": (("clean", "--older-than", ""), "usage"),
    "empty schedule": (("schedule", "remove", ""), "unknown_schedule"),
    "schedule with a slash": (("schedule", "remove", "a/b"), "unknown_schedule"),
    "spawn of nobody": (("show", "x@nobody"), "unknown_broker"),
    "empty ref": (("show", ""), "unknown_spawn"),
    "ref with a slash": (("logs", "../../etc/passwd"), "unknown_spawn"),
    "ref with a percent": (("stop", "%2e%2e%2f"), "unknown_spawn"),
    "ref that is long": (("wait", "x" * 5000), "unknown_spawn"),
    "ref with escapes": (("result", "\x1b]0;x\x07"), "unknown_spawn"),
    "ref of dots": (("show", ".."), "unknown_spawn"),
    "tail": (("logs", "x", "-n", "many"), "usage"),
    "since": (("events", "--since", "99999999999999999999"), "usage"),
    "broker to trust": (("trust", "allow", "nobody"), "unknown_broker"),
    "mistyped id": (("trust", "allow", "a" * 56), "unknown_broker"),
    "verb to grant": (("trust", "allow", "vps", "--verb", "fly"), "usage"),
    "setting": (("config", "get", "nosuch"), "usage"),
    "invite": (("join", "relay://nonsense"), "bad_invite"),
}


@pytest.mark.parametrize("wrong", WRONG_WORDS)
def test_wrong_words(two: Scene, wrong: str) -> None:
    words, code = WRONG_WORDS[wrong]
    error = refused(two, *words)
    assert error["code"] == code, error
    assert "\x1b" not in error["message"] + error["why"] + error["hint"] or code != "usage"


TYPED = {"1 MiB": b"x" * (1 << 20), "NUL": b"a\0b", "other bytes": b"\xff\xfe", "nothing": b"\0"}


@pytest.mark.parametrize("text", TYPED)
def test_a_task_from_stdin_that_is_no_task(two: Scene, text: str) -> None:
    assert refused(two, "spawn", fresh(), "claude", "-", "--broker", "vps", typed=TYPED[text])["code"] == "bad_task"


def test_a_long_task_that_is_allowed_arrives_whole(granted: Scene) -> None:
    """200 KiB of text for an agent that takes it by standard input; one byte more is refused."""
    (granted.vps.home / "agents.toml").write_text('[agents.counter]\ncommand = ["wc", "-c"]\n')
    granted.grant("--agent", "counter")
    words = ("spawn", "-", "counter", "-", "--broker", "vps", "--cwd", str(granted.vps.work), "--wait")
    whole = "é".encode() * (100 * 1024)
    assert relay(granted.laptop, *words, typed=whole).stdout.strip() == b"204800"
    assert relay(granted.laptop, *words, typed=whole + b"x").returncode == 2


# a request as other programs may send it, the code it is refused with
WRONG_BODIES: dict[str, tuple[dict[str, Any], str]] = {
    "NUL": ({"task": NUL}, "bad_task"),
    "lone surrogate": ({"task": LONE}, "bad_task"),
    "1 MiB": ({"task": "x" * (1 << 20)}, "bad_task"),
    "3 MiB": ({"task": "x" * (3 << 20)}, "bad_task"),
    "task of another type": ({"task": 5}, "bad_task"),
    "NUL in a word": ({"agent": "exec", "argv": [NUL]}, "bad_task"),
    "surrogate in a word": ({"agent": "exec", "argv": [LONE]}, "bad_task"),
    "5000 words": ({"agent": "exec", "argv": ["a"] * 5000}, "bad_task"),
    "words in one text": ({"agent": "exec", "argv": "ls"}, "bad_task"),
    "surrogate in cwd": ({"cwd": LONE}, "usage"),
    "NUL in cwd": ({"cwd": "/a\0b"}, "usage"),
    "cwd of another type": ({"cwd": 5}, "usage"),
    "surrogate in a model": ({"model": LONE}, "usage"),
    "surrogate in a label": ({"labels": {LONE: "x"}}, "usage"),
    "labels in a list": ({"labels": [1]}, "usage"),
    "33 labels": ({"labels": {str(n): "x" for n in range(33)}}, "usage"),
    "surrogate in the person": ({"requested_by": LONE}, "usage"),
    "surrogate in the name": ({"name": LONE}, "bad_name"),
    "name of another type": ({"name": 5}, "bad_name"),
    "surrogate in the agent": ({"agent": LONE}, "bad_name"),
    "timeout that is no number": ({"timeout_s": float("nan")}, "usage"),
    "endless ttl": ({"ttl_s": float("inf")}, "bad_duration"),
    "no ttl at all": ({"ttl_s": 0}, "bad_duration"),
    "ttl that is no number": ({"ttl_s": True}, "bad_duration"),
    "huge timeout": ({"timeout_s": 10**400}, "usage"),
    "mode of another type": ({"mode": ["full"]}, "usage"),
    "broker of another type": ({"broker": 7}, "usage"),
    "surrogate in the broker": ({"broker": LONE}, "unknown_broker"),
    "operation": ({"operation": "a b"}, "usage"),
}


@pytest.mark.parametrize("wrong", WRONG_BODIES)
def test_wrong_requests(granted: Scene, wrong: str) -> None:
    fields, code = WRONG_BODIES[wrong]
    body = {"name": fresh(), "agent": "shell", "task": "true", "broker": "vps", "cwd": str(granted.vps.work)}
    with granted.laptop.control() as control, pytest.raises(ControlError) as caught:
        control.post("spawns", body | fields)
    assert caught.value.code == code, caught.value
    assert caught.value.document["message"]


WRONG_HTTP = {
    "no JSON": b"POST /api/v1/spawns HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n{{{",
    "a list": b"POST /api/v1/spawns HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n[]",
    "deep JSON": b"POST /api/v1/spawns HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + b"[" * 200_000,
    "unknown path": b"GET /api/v1/nothing HTTP/1.1\r\nHost: x\r\n\r\n",
    "wrong method": b"DELETE /api/v1/spawns HTTP/1.1\r\nHost: x\r\n\r\n",
    "no HTTP": b"\x00\x01\x02 hello\r\n\r\n",
    "a wrong length": b"POST /api/v1/spawns HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
}


@pytest.mark.parametrize("wrong", WRONG_HTTP)
def test_wrong_http_on_the_control_socket(two: Scene, wrong: str) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(two.laptop.socket))
        connection.sendall(WRONG_HTTP[wrong])
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 4"), head
    if wrong not in ("no HTTP", "a wrong length"):
        assert json.loads(body or b"{}")["error"]["code"]
    assert two.laptop.status()["running"]


def test_escape_sequences_reach_nobodys_terminal(granted: Scene) -> None:
    """A task's text is shown in lists: what could steer a terminal is shown as text."""
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"
    name = fresh("evil")
    granted.shell(f"true '{evil}'", "--label", f"k={evil}", name=name, status=0)
    for words in (("ps", "--all"), ("show", name), ("queue",), ("audit", "show"), ("events",), ("outbox",)):
        for node in (granted.laptop, granted.vps):
            shown = relay(node, *words).stdout.decode()
            assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(shown), (words, node.name)
    exact = relay_json(granted.laptop, "show", name)
    assert exact["task"] == f"true '{evil}'" and exact["labels"] == {"k": evil}


def test_output_is_the_bytes_as_they_were(granted: Scene) -> None:
    """Also where they are no text: a pipe gets them as they are, JSON carries them apart."""
    odd = bytes(range(256)) * 300
    script = f"printf %s {base64.b64encode(odd[:512]).decode()} | base64 -d"
    done = relay(granted.laptop, *granted.words("shell", script), "--follow")
    assert done.stdout == odd[:512]
    spawn = granted.shell(script, status=0)["id"]
    lines = [json.loads(line) for line in relay(granted.laptop, "logs", spawn, "--json").stdout.splitlines()]
    assert b"".join(base64.b64decode(each["raw"]) for each in lines) == odd[:512]


def test_a_task_may_say_anything_that_is_text(granted: Scene) -> None:
    """Options, quotes, line breaks, other scripts: the task arrives as it was typed."""
    for text in ("--help", "-c", "'\"`$(:)", "a\nb\n\nc", "\u65e5\u672c\u8a9e \U0001f600", "\\", "#", "é" * 1000):
        (granted.vps.home / "agents.toml").write_text('[agents.echoes]\ncommand = ["cat"]\n')
        granted.grant("--agent", "echoes")
        words = ("spawn", "-", "echoes", "-", "--broker", "vps", "--cwd", str(granted.vps.work), "--wait", "--json")
        found = json.loads(relay(granted.laptop, *words, typed=text.encode()).stdout)
        assert (found["state"], found["task"], found["result"]["output_tail"]) == ("completed", text, text)


def test_an_agents_file_that_is_broken(granted: Scene) -> None:
    """What it defines is refused with the place of the fault; shell and exec go on."""
    granted.grant("--agent", "*")
    file = granted.vps.home / "agents.toml"
    for text in ("[agents.x", "[agents.x]\ncommand = 'words'\n", "[agents.x]\ncomand = ['x']\n", "\xff"):
        file.write_bytes(text.encode("latin-1"))
        spawn = relay_json(granted.laptop, *granted.words("x", "task"))["id"]
        ended = granted.until(spawn, *TERMINAL)
        assert (ended["state"], ended["error"]["code"]) == ("rejected", "bad_agents_file")
        assert "agents.toml" in ended["error"]["message"] + ended["error"]["hint"]
    assert granted.shell("true", status=0)["state"] == "completed"
    doctor = relay(granted.vps, "doctor")
    assert doctor.returncode == 1 and b"agents.toml" in doctor.stdout


CLEAR: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "--at": (("spawn", "x", "shell", "true", "--at", "9999"), ("22:00", "2h", "RFC 3339"), "--at 22:00"),
    "--memory": (("spawn", "x", "shell", "true", "--memory", "3x"), ("KiB", "GiB"), "--memory 2GiB"),
    "--cpus": (("spawn", "x", "shell", "true", "--cpus", "3x"), ("0.01", "4096", "0.5"), "--cpus 1.5"),
    "--timeout": (("spawn", "x", "shell", "true", "--timeout", "3"), ("s, m, h or d",), "write 90s, 30m, 2h or 1d"),
    "--cpus above": (("spawn", "x", "shell", "true", "--cpus", "5000"), ("4096",), "--cpus 1.5"),
    "--timeout above": (("spawn", "x", "shell", "true", "--timeout", "31d"), ("at most 30 days",), "--timeout 2h"),
    "--collect": (("spawn", "x", "shell", "true", "--collect", "../x"), ("below its directory",), "--collect 'dist"),
    "--collect ''": (("spawn", "x", "shell", "true", "--collect", ""), ("without a value",), "give --collect a value"),
    "--label": (("spawn", "x", "shell", "true", "--label", "a=" + "b" * 3000), ("short texts",), "--label ticket=42"),
    "--since": (("ps", "--since", "wat"), ("10m", "RFC 3339"), "--since 10m"),
    "--since to come": (("ps", "--since", "2099-01-31T22:00:00Z"), ("it is 20",), "--since 10m"),
    "logs --since": (("logs", "x", "--since", "wat"), ("10m", "RFC 3339"), "--since 10m"),
    "queue --status": (("queue", "--status", "wat"), ("waiting", "needs_you"), "relay queue --status waiting"),
    "ps --state": (("ps", "--state", "wat"), ("running", "ended"), "relay ps --state"),
}


@pytest.mark.parametrize("slip", CLEAR)
def test_what_is_accepted_is_named_with_a_word_to_try(two: Scene, slip: str) -> None:
    words, accepted, hint = CLEAR[slip]
    error = refused(two, *words)
    assert all(each in error["why"] for each in accepted), error
    assert hint in error["hint"], error


def test_a_list_of_what_is_accepted_names_nothing_that_is_then_refused(two: Scene) -> None:
    for state in refused(two, "queue", "--status", "wat")["why"].partition("one of ")[2].split(", "):
        assert relay(two.laptop, "queue", "--status", state).returncode == 0, state


def test_a_number_that_is_none_is_said_so_in_few_words(two: Scene) -> None:
    error = refused(two, "spawn", "x", "shell", "true", "--retries", "x")
    assert error["message"] == "invalid value for '--retries': it takes a whole number"
    for words, least in ((("logs", "x", "--tail", "-1"), 0), (("ps", "--limit", "0"), 1)):
        assert refused(two, *words)["message"].endswith(f": it is at least {least}")


@pytest.mark.parametrize("words", ["spawn x shell y --priority", "edit x --retries", "ps -n", "audit export --since"])
def test_a_number_that_is_too_large_is_said_to_be_so_where_it_was_typed(two: Scene, words: str) -> None:
    error = refused(two, *words.split(), "9" * 30)
    verb = " ".join(word for word in words.split()[:2] if word in ("spawn", "edit", "ps", "audit", "export"))
    assert ": it is at most " in error["message"] and error["hint"] == f"relay {verb} --help", error
