"""`--here`, `--repo`, `diff`, `pull`, `clean`: typed by a person, with two brokers in between."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from relay.testing import processes
from relay.testing.node import DAEMON, Node
from tests.e2e.scene import Scene, error_of, fresh, is_alive, pid_of
from tests.trees.ground import fingerprint, git, listing, repository
from tests.trees.typed import place_of, relay, said, spawned


def test_here_the_tree_as_it_is_and_its_changes_back(two: Scene, tree: Path) -> None:
    before, here = fingerprint(tree), listing(tree)
    script = "cat b untracked; pwd; echo by the task > a; git commit -qam mine; echo left > new; rm sub/c"
    found = spawned(two, tree / "sub", f"cd ..; {script}", "--here")
    assert found["result"]["output_tail"].startswith("dirty\nx\n")
    assert found["cwd"] == f"{place_of(two, found['id'])}/sub"
    assert found["place"]["kind"] == "git" and found["place"]["sub"] == "sub"
    assert found["result"]["branch"] == f"relay/{found['name']}"
    assert "3 files changed" in found["result"]["diffstat"]
    assert fingerprint(tree) == before and listing(tree) == here
    shown = relay(two.laptop, tree, "diff", found["id"])
    assert shown.returncode == 0 and b"+by the task" in shown.stdout and b"deleted file" in shown.stdout
    assert b" new   | 1 +" in relay(two.laptop, tree, "diff", found["id"], "--stat").stdout
    pulled = json.loads(relay(two.laptop, tree, "pull", found["id"], "--json").stdout)
    assert (pulled["how"], pulled["branch"]) == ("applied", f"relay/{found['name']}")
    assert listing(tree) == listing(place_of(two, found["id"]))
    assert git(tree, "log", "--format=%s", "-2", pulled["branch"]).splitlines()[1] == "mine"


def test_a_failure_brings_back_what_was_done_and_a_retry_goes_on_in_the_sameplace_of(two: Scene, tree: Path) -> None:
    task = "echo once more >> tries; git log --format=%s -1; test $(wc -l < tries) = 2"
    found = spawned(two, tree, task, "--here", status=1)
    assert found["state"] == "failed" and "tries" in found["result"]["diffstat"]
    assert b"+once more" in relay(two.laptop, tree, "diff", found["id"]).stdout
    assert relay(two.laptop, tree, "retry", found["id"]).returncode == 0
    done = relay(two.laptop, tree, "wait", found["id"])
    assert done.returncode == 0, said(done)
    pulled = relay(two.laptop, tree, "pull", found["id"])
    assert pulled.returncode == 0 and (tree / "tries").read_text() == "once more\n" * 2


def test_a_place_that_its_task_removed_is_said_and_costs_nothing_that_came_back_before(two: Scene, tree: Path) -> None:
    found = spawned(two, tree, 'rm -rf "$PWD"', "--here")
    assert "removed meanwhile" in found["result"]["notes"][0]
    shown = relay(two.laptop, tree, "diff", found["id"], "--json")
    assert shown.returncode == 2 and "removed meanwhile" in error_of(shown)["why"]
    task = 'test -e new && rm -rf "$PWD"; echo n > new; exit 1'
    found = spawned(two, tree, task, "--here", status=1)
    assert relay(two.laptop, tree, "retry", found["id"]).returncode == 0
    again = json.loads(relay(two.laptop, tree, "wait", found["id"], "--json").stdout)
    again = again[0] if isinstance(again, list) else again
    assert again["attempt"] == 2 and "removed meanwhile" in again["result"]["notes"][0]
    assert relay(two.laptop, tree, "pull", found["id"]).returncode == 0 and (tree / "new").read_text() == "n\n"


def test_why_there_is_nothing_to_pull_is_true(two: Scene, tree: Path) -> None:
    new = spawned(two, tree, "echo x > x", "--cwd", "new")
    assert "an empty folder of its own" in error_of(relay(two.laptop, tree, "pull", new["id"], "--json"))["why"]
    refused = spawned(two, tree, "true", "--repo", "/nowhere/allowed", status=125)
    assert error_of(relay(two.laptop, tree, "diff", refused["id"], "--json"))["why"] == "it never ran"


def test_a_plain_folder_there_and_back(two: Scene) -> None:
    plain = two.mesh.folder / fresh("plain")
    (plain / "deep").mkdir(parents=True)
    (plain / "empty").mkdir()
    (plain / "deep/g").write_text("g")
    (plain / "f").write_bytes(b"f\r\n")
    (plain / ".env").write_text("SECRET")
    words = ("spawn", fresh(), "shell", "ls -A; echo n > deep/n; rm f", "--broker", "vps", "--here", "--wait")
    done = relay(two.laptop, plain, *words)
    assert done.stdout == b"deep\nf\n" and b"withheld, as they may be secrets: .env" in done.stderr
    assert b"empty folders do not go along: empty" in done.stderr
    pulled = relay(two.laptop, plain, "pull", words[1])
    assert pulled.returncode == 0 and sorted(listing(plain)) == [".env", "deep/g", "deep/n"], said(pulled)


def test_what_cannot_travel_is_refused_and_nothing_is_asked(two: Scene, tree: Path) -> None:
    repository(tree / "nested")
    name = fresh()
    done = relay(two.laptop, tree, "spawn", name, "shell", "true", "--broker", "vps", "--here", "--json")
    assert done.returncode == 2 and error_of(done)["code"] == "bad_tree" and "nested/" in error_of(done)["why"]
    assert error_of(relay(two.laptop, tree, "show", name, "--json"))["code"] == "unknown_spawn"
    assert git(tree, "for-each-ref", "refs/relay") == ""


def test_it_waits_for_its_tree_without_a_slot_and_starts_when_it_is_here(two: Scene, tree: Path) -> None:
    two.vps.kill()
    name = fresh()
    done = relay(two.laptop, tree, "spawn", name, "shell", "cat b", "--broker", "vps", "--here", "--json")
    spawn = json.loads(done.stdout)["id"]
    (tree / "b").write_text("changed since\n")
    for early in (("diff", spawn), ("pull", spawn), ("result", spawn, "--files", "there")):
        error = error_of(relay(two.laptop, tree, *early, "--json"))
        assert (error["code"], error["hint"]) == ("not_ended", f"relay wait {spawn}"), "nobody knows what it changes"
    two.vps.start()
    two.until(spawn, "completed")
    assert two.show(spawn)["result"]["output_tail"] == "dirty\n"
    two.laptop.restart()
    again = relay(two.laptop, tree, "diff", spawn, "--json")
    assert error_of(again)["code"] == "no_change"


def test_brokers_that_are_killed_in_between_lose_and_repeat_nothing(two: Scene, tree: Path) -> None:
    go = two.mesh.folder / fresh("go")
    task = f"echo run >> runs; while [ ! -e {go} ]; do sleep 0.02; done"
    done = relay(two.laptop, tree, "spawn", fresh(), "shell", task, "--broker", "vps", "--here", "--json")
    spawn = json.loads(done.stdout)["id"]
    two.until(spawn, "running")
    two.laptop.kill()
    two.vps.restart()
    go.touch()
    two.until(spawn, "completed", on=two.vps)
    two.vps.restart()
    two.laptop.start()
    two.until(spawn, "completed")
    diff = relay(two.laptop, tree, "diff", spawn)
    assert diff.returncode == 0 and diff.stdout.count(b"+run") == 1, said(diff)


@contextlib.contextmanager
def _slow_fetches(two: Scene) -> Iterator[Path]:
    """vps with a git whose fetches wait for the file `NAME.go`; each writes its pid into the file NAME."""
    slow, programs = two.mesh.folder / fresh("slow"), two.mesh.folder / fresh("bin")
    programs.mkdir()
    real = shutil.which("git")
    (programs / "git").write_text(
        f'#!/bin/sh\ncase "$*" in *" fetch "*) echo $$ >> {slow}; [ -e {slow}.go ] || exec sleep 30;; esac\n'
        f'exec {real} "$@"\n'
    )
    (programs / "git").chmod(0o755)
    with _path(two, f"{programs}:{two.vps.environment()['PATH']}"):
        yield slow


@contextlib.contextmanager
def _path(two: Scene, path: str) -> Iterator[None]:
    """vps with another PATH, for a block."""
    two.vps.kill()
    two.vps.launcher = ("/usr/bin/env", f"PATH={path}", *DAEMON)
    try:
        two.vps.start()
        two.linked()
        yield
    finally:
        two.vps.kill()
        two.vps.launcher = DAEMON
        two.vps.start()


def test_a_half_made_place_is_made_anew_after_a_crash(two: Scene, tree: Path, far_repo: Path) -> None:
    """The target is killed while it fetches; the next start begins again, and the task runs once."""
    with _slow_fetches(two) as slow:
        words = ("--broker", "vps", "--repo", str(far_repo), "--json")
        done = relay(two.laptop, tree, "spawn", fresh(), "shell", "echo run; cat a", *words)
        spawn = json.loads(done.stdout)["id"]
        fetching = pid_of(slow, within=20)
        two.vps.kill()
        Path(f"{slow}.go").touch()
        two.vps.start()
        two.until(spawn, "completed")
        assert two.show(spawn)["result"]["output_tail"] == "run\na\n"
        processes.wait_until(lambda: not is_alive(fetching), 5, "what the killed broker had begun to be ended")


def test_a_stop_ends_the_making_of_aplace_of(two: Scene, tree: Path, far_repo: Path) -> None:
    with _slow_fetches(two) as slow:
        words = ("--broker", "vps", "--repo", str(far_repo), "--json")
        spawn = json.loads(relay(two.laptop, tree, "spawn", fresh(), "shell", "touch ran", *words).stdout)["id"]
        fetching = pid_of(slow, within=20)
        assert relay(two.laptop, tree, "stop", spawn).returncode == 0
        two.until(spawn, "cancelled", within=5.0)
        processes.wait_until(lambda: not is_alive(fetching), 5, "the fetch to be ended")
        assert not place_of(two, spawn).exists()


def test_a_spawn_that_is_stopped_while_its_place_is_made(two: Scene, tree: Path) -> None:
    two.vps.kill()
    spawn = json.loads(
        relay(two.laptop, tree, "spawn", fresh(), "shell", "true", "--broker", "vps", "--here", "--json").stdout
    )["id"]
    relay(two.laptop, tree, "stop", spawn)
    two.vps.start()
    two.until(spawn, "cancelled")
    assert not place_of(two, spawn).exists()


def test_without_git_on_the_target_a_dry_run_and_the_spawn_say_so(two: Scene, tree: Path) -> None:
    with _path(two, str(two.mesh.folder / "nothing")):
        words = ("spawn", fresh(), "shell", "true", "--broker", "vps", "--here", "--json")
        trial = json.loads(relay(two.laptop, tree, *words, "--dry-run").stdout)
        assert (trial["verdict"], trial["error"]["code"]) == ("fail", "no_git")
        found = spawned(two, tree, "true", "--here", status=1)
        assert found["state"] == "failed" and found["error"]["code"] == "no_git"
        assert "install git" in found["error"]["hint"]


def test_cleaning_keeps_what_is_needed(two: Scene, tree: Path) -> None:
    ended = spawned(two, tree, "echo n > n", "--here")["id"]
    processes.wait_until(lambda: _is_fetched(two, tree, ended), 30, "the change to be fetched")
    go = two.mesh.folder / fresh("go")
    task = f"while [ ! -e {go} ]; do sleep 0.02; done; echo n > n"
    running = json.loads(
        relay(two.laptop, tree, "spawn", fresh(), "shell", task, "--broker", "vps", "--here", "--json").stdout
    )["id"]
    two.until(running, "running")
    recent = _kept(_cleaned(two))
    assert recent[ended] == "it ended a short while ago" and recent[running] == "it is running"
    assert ended in {each["spawn"] for each in _cleaned(two, "--older-than", "0", "--dry-run")["removed"]}
    assert place_of(two, ended).exists()
    two.laptop.kill()
    go.touch()
    two.until(running, "completed", on=two.vps)
    done = _cleaned(two, "--older-than", "0")
    assert done["bytes"] > 0 and not place_of(two, ended).exists() and place_of(two, running).exists()
    # other tests may have left places that stay
    assert _kept(done)[running] == "what it changed has not been fetched by its origin yet"
    two.laptop.start()
    two.until(running, "completed")
    old = ("--older-than", "0")
    processes.wait_until(lambda: running not in _kept(_cleaned(two, *old)), 20, "it to be fetched", every=0.2)
    assert b"+n" in relay(two.laptop, tree, "diff", ended).stdout, "what came back is here all the same"


def _kept(cleaned: dict[str, Any]) -> dict[str, str]:
    """What stayed, and why."""
    return {each["spawn"]: each["why"] for each in cleaned["kept"]}


def _is_fetched(two: Scene, tree: Path, spawn: str) -> bool:
    return relay(two.laptop, tree, "diff", spawn, "--stat").returncode == 0


def _cleaned(two: Scene, *words: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(relay(two.vps, two.mesh.folder, "clean", "--json", *words).stdout)
    return document


def test_nothing_is_kept_of_a_tree_once_its_spawn_has_ended_or_never_began(two: Scene, tree: Path) -> None:
    processes.wait_until(lambda: not _pulls(two.laptop) and not _pulls(two.vps), 30, "what earlier tests gave to come")
    here, there = _blobs(two.laptop), _blobs(two.vps)
    ended = spawned(two, tree, "echo n > n", "--here")["id"]
    processes.wait_until(lambda: _is_fetched(two, tree, ended), 30, "the change to be fetched")
    two.vps.relay("queue", "pause")
    words = ("spawn", fresh(), "shell", "true", "--broker", "vps", "--here", "--json")
    waiting = json.loads(relay(two.laptop, tree, *words).stdout)["id"]
    two.until(waiting, "waiting")
    processes.wait_until(lambda: set(_blobs(two.vps)) - set(there), 30, "the tree to come")
    relay(two.laptop, tree, "stop", waiting)
    two.until(waiting, "cancelled")
    two.vps.relay("queue", "resume")
    processes.wait_until(lambda: not set(_blobs(two.vps)) - set(there), 30, "vps to let go of all of it")
    processes.wait_until(lambda: len(set(_blobs(two.laptop)) - set(here)) == 1, 30, "laptop to keep the change alone")


def _pulls(node: Node) -> bool:
    with node.control() as control:
        return any(each["state"] == "pulling" for each in control.get("blobs"))


def _blobs(node: Node) -> list[str]:
    """The hashes of what lies on a node."""
    with node.control() as control:
        found = control.get("blobs")
    return [each["hash"] for each in found if each["done"]]


def test_this_machine_s_own_tree_in_a_worktree_of_its_own(two: Scene, tree: Path) -> None:
    before = listing(tree)
    words = ("spawn", fresh(), "shell", "echo n > n; cat b", "--here", "--wait", "--json")
    found = json.loads(relay(two.laptop, tree, *words).stdout)
    assert found["result"]["output_tail"] == "dirty\n" and found["cwd"].startswith(str(two.laptop.home / "worktrees"))
    assert listing(tree) == before
    assert json.loads(relay(two.laptop, tree, "pull", found["id"], "--json").stdout)["how"] == "applied"
    assert (tree / "n").read_text() == "n\n"


def test_what_takes_longer_than_a_second_is_said(two: Scene, tree: Path) -> None:
    slow, real = two.mesh.folder / fresh("bin"), shutil.which("git")
    slow.mkdir()
    heard = slow / "heard"
    waits = f"n=0; until [ -e {heard} ] || [ $n = 300 ]; do n=$((n + 1)); sleep 0.1; done"
    (slow / "git").write_text(
        f'#!/bin/sh\ncase " $* " in *" bundle create "*|*" diff "*|*" apply "*) {waits};; esac\nexec {real} "$@"\n'
    )
    (slow / "git").chmod(0o755)
    where = two.laptop.environment()
    where["PATH"] = f"{slow}:{where.get('PATH', os.environ['PATH'])}"
    words = ("spawn", name := fresh(), "shell", "echo n > new", "--broker", "vps", "--here", "--wait")
    for typed, said_so in ((words, b"packing"), (("diff", name), b"comparing"), (("pull", name), b"looking")):
        told, line = b"", [sys.executable, "-m", "relay", *typed]
        nowhere, pipe = subprocess.DEVNULL, subprocess.PIPE
        with subprocess.Popen(line, env=where, cwd=tree, stdin=nowhere, stdout=nowhere, stderr=pipe) as process:
            assert process.stderr is not None
            for each in process.stderr:
                told += each
                if said_so in each and each.endswith(b" ...\n"):
                    heard.touch()
        assert process.returncode == 0 and heard.exists(), told
        heard.unlink()
