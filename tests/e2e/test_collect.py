"""`spawn --collect`: files of a spawn come back by themselves, are kept, and are written where a person wants them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from relay.api.durations import spoken
from relay.core.collected import MAX_FILES
from relay.testing import blob_traps, processes
from relay.testing.mesh import Mesh
from relay.testing.node import DAEMON, Node
from tests.e2e import lying_results_program
from tests.e2e.scene import TERMINAL, Scene, error_of, fresh, relay, relay_json

MIB = 2**20


@pytest.fixture
def place(granted: Scene) -> Path:
    """An empty directory on vps, within its grant."""
    made = granted.vps.work / fresh("place")
    made.mkdir()
    return made


@pytest.fixture
def honest(granted: Scene) -> Any:
    """Whatever vps was started as, it is an ordinary broker afterwards."""
    yield granted
    granted.vps.kill()
    granted.vps.launcher = DAEMON
    granted.vps.start()


def _asks(two: Scene, place: Path, script: str, *patterns: str, status: int | None = 0) -> str:
    options = [word for pattern in patterns for word in ("--collect", pattern)]
    words = two.words("shell", script, cwd=place, options=options)
    return str(relay_json(two.laptop, *words, "--wait", status=status)["id"])


def _files(node: Node, spawn: str) -> dict[str, dict[str, Any]]:
    with node.control() as control:
        return {each["path"]: each for each in control.get(f"spawns/{spawn}")["result"]["files"]}


def _await_here(node: Node, spawn: str, within: float = 60.0) -> dict[str, dict[str, Any]]:
    processes.wait_until(
        lambda: all(each["here"] for each in _files(node, spawn).values()), within, "the files to be here", every=0.05
    )
    return _files(node, spawn)


def _notes(two: Scene, spawn: str) -> list[str]:
    return list(two.show(spawn)["result"]["notes"])


def _out(two: Scene) -> Path:
    return two.mesh.folder / fresh("out")


def _bytes_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_files_are_read_at_the_origin_while_the_target_sleeps(granted: Scene, place: Path) -> None:
    script = "mkdir -p dist/deep; printf wheel > dist/a.whl; printf x > dist/deep/run; chmod 755 dist/deep/run; touch b"
    spawn = _asks(granted, place, script, "dist/**")
    found = _await_here(granted.laptop, spawn)
    made = {path: (each["size"], each["mode"]) for path, each in found.items()}
    assert made == {"dist/a.whl": (5, "0644"), "dist/deep/run": (1, "0755")}
    granted.vps.kill()
    listed = relay(granted.laptop, "result", spawn).stderr.decode()
    assert "file:  dist/a.whl  5 B  here" in listed and f"result {spawn[:8]} --files DIR" in listed
    out = _out(granted)
    done = relay(granted.laptop, "result", spawn, "--files", str(out))
    assert done.returncode == 0 and done.stdout == b"" and f"Wrote 2 files to {out}." in done.stderr.decode()
    assert _bytes_below(out) == {"dist/a.whl": b"wheel", "dist/deep/run": b"x"}
    assert os.access(out / "dist/deep/run", os.X_OK) and not os.access(out / "dist/a.whl", os.X_OK)


def test_the_origin_is_away_when_it_ends(granted: Scene, place: Path) -> None:
    go = place / "go"
    options = ("--collect", "*.txt")
    words = granted.words("shell", "while [ ! -e go ]; do sleep 0.02; done; echo made > a.txt", cwd=place)
    spawn = str(relay_json(granted.laptop, *words, *options)["id"])
    granted.until(spawn, "running")
    granted.laptop.kill()
    go.touch()
    granted.until(spawn, "completed", on=granted.vps)
    granted.vps.restart()
    granted.laptop.start()
    granted.until(spawn, "completed")
    _await_here(granted.laptop, spawn)


def test_a_pull_that_a_crash_of_the_origin_cut_off_goes_on(honest: Scene, place: Path) -> None:
    served = honest.mesh.folder / fresh("served")
    honest.vps.kill()
    honest.vps.launcher = blob_traps.launcher(served, slow=0.25)  # 8 s for all of it: the crash falls into them
    honest.vps.start()
    honest.linked()
    spawn = _asks(honest, place, "head -c 4194304 /dev/urandom > big", "big")
    processes.wait_until(lambda: served.exists() and len(served.read_text().split()) >= 8, 20, "some of it to be sent")
    assert not _files(honest.laptop, spawn)["big"]["here"]
    honest.laptop.restart()
    _await_here(honest.laptop, spawn)
    assert len(served.read_text().split()) <= 32 + 17, "what was here already was not sent again"
    out = _out(honest)
    relay(honest.laptop, "result", spawn, "--files", str(out))
    assert (out / "big").read_bytes() == (place / "big").read_bytes()


def test_a_local_spawn_gives_its_files_back_too(granted: Scene) -> None:
    place = granted.laptop.work / fresh("place")
    place.mkdir()
    words = ("spawn", "-", "shell", "echo here > a.txt; echo two > b.txt", "--cwd", str(place), "--wait")
    spawn = relay_json(granted.laptop, *words, "--collect", "a.*", "--collect", "*.txt")["id"]
    found = _files(granted.laptop, spawn)
    assert sorted(found) == ["a.txt", "b.txt"] and all(each["here"] for each in found.values())
    for made in place.iterdir():
        made.unlink()
    out = _out(granted)
    assert relay(granted.laptop, "result", spawn, "--files", str(out)).returncode == 0
    assert _bytes_below(out) == {"a.txt": b"here\n", "b.txt": b"two\n"}


def test_nothing_is_written_over_or_through_a_link(granted: Scene, place: Path) -> None:
    spawn = _asks(granted, place, "mkdir sub; echo a > sub/a.txt; echo b > b.txt", "**/*.txt")
    _await_here(granted.laptop, spawn)
    out, outside = _out(granted), _out(granted)
    out.mkdir()
    outside.mkdir()
    (out / "b.txt").write_text("mine")
    refused = relay(granted.laptop, "--json", "result", spawn, "--files", str(out))
    assert refused.returncode == 2 and error_of(refused)["code"] == "bad_file"
    assert "--force" in error_of(refused)["hint"]
    assert _bytes_below(out) == {"b.txt": b"mine"}, "it is refused before anything is written"
    for no_folder, why in ((out / "b.txt", "--files names the folder"), (out / "b.txt" / "below", "")):
        refused = relay(granted.laptop, "--json", "result", spawn, "--files", str(no_folder), "--force")
        assert refused.returncode == 2 and why in error_of(refused)["why"]
        assert error_of(refused)["hint"] == "choose another folder: --files DIR"
    (out / "b.txt").unlink()
    (out / "b.txt").symlink_to(outside / "target")
    (outside / "target").write_text("not yours")
    (out / "sub").symlink_to(outside)
    refused = relay(granted.laptop, "--json", "result", spawn, "--files", str(out), "--force")
    assert refused.returncode == 2 and "a link" in error_of(refused)["why"]
    assert _bytes_below(outside) == {"target": b"not yours"}
    (out / "sub").unlink()
    assert relay(granted.laptop, "result", spawn, "--files", str(out), "--force").returncode == 0
    assert (outside / "target").read_text() == "not yours" and not (out / "b.txt").is_symlink()
    assert _bytes_below(out) == {"sub/a.txt": b"a\n", "b.txt": b"b\n"}


def test_a_link_out_of_the_directory_gives_nothing(granted: Scene, place: Path) -> None:
    secret = granted.vps.scratch / "secret.txt"
    secret.write_text("secret")
    script = f"ln -s {secret} leak.txt; ln -s {secret.parent} up; ln -s /etc etc; echo mine > own.txt"
    spawn = _asks(granted, place, script, "*.txt", "up/*.txt", "etc/**", "**/passwd")
    assert list(_files(granted.laptop, spawn)) == ["own.txt"]
    leak, missed = _notes(granted, spawn)
    assert leak.startswith("leak.txt") and "no link" in leak and missed == "nothing matched up/*.txt, etc/**, **/passwd"


def test_a_directory_that_the_task_made_a_link_gives_nothing(granted: Scene, place: Path) -> None:
    secret = granted.vps.scratch / fresh("secrets")
    secret.mkdir()
    (secret / "a.txt").write_text("secret")
    spawn = _asks(granted, place, f"cd ..; mv {place.name} {place.name}-moved; ln -s {secret} {place.name}", "*.txt")
    assert _files(granted.laptop, spawn) == {} and "is not what it was" in _notes(granted, spawn)[0]


@pytest.mark.parametrize(("script", "state", "status"), [("exit 3", "failed", 3), ("true", "completed", 0)])
def test_what_was_not_collected_changes_no_end(
    granted: Scene, place: Path, script: str, state: str, status: int
) -> None:
    spawn = _asks(granted, place, f"truncate -s 3G huge; rm -f none; {script}", "huge", "none/*", status=status)
    found = granted.show(spawn)
    assert found["state"] == state and not found["result"]["files"]
    too_big, missed = found["result"]["notes"]
    assert too_big == "huge not collected: together they would have more than 1024 MiB" and "none/*" in missed
    nothing = _asks(granted, place, script, "none/*", status=status)
    assert _notes(granted, nothing) == ["nothing matched what was to be collected"]
    refused = relay(granted.laptop, "--json", "result", nothing, "--files", str(_out(granted)))
    assert refused.returncode == 2 and "gave no files back" in error_of(refused)["message"]


def test_of_too_many_files_the_first_come_and_the_others_are_told_of(granted: Scene, place: Path) -> None:
    words = granted.words("shell", "for n in $(seq 1000 1299); do echo $n > f$n; done", cwd=place)
    spawn = str(relay_json(granted.laptop, *words, "--collect", "f*")["id"])
    granted.until(spawn, "completed", within=60)  # its end waits for all of them to be kept
    found = _await_here(granted.laptop, spawn)
    assert len(found) == MAX_FILES and next(iter(found)) == "f1000"
    (note,) = _notes(granted, spawn)
    assert note.startswith(f"f{1000 + MAX_FILES}, ") and f"and {300 - MAX_FILES - 3} more" in note and "tar" in note


def test_the_last_attempt_s_files_count(granted: Scene, place: Path) -> None:
    script = "test -e again || { touch again; echo bad > out.txt; exit 7; }; echo good > out.txt"
    options = ("--collect", "*.txt", "--retries", "1")
    words = granted.words("shell", script, cwd=place, options=options)
    spawn = str(relay_json(granted.laptop, *words)["id"])
    granted.until(spawn, *TERMINAL, within=40)
    _await_here(granted.laptop, spawn)
    out = _out(granted)
    assert relay(granted.laptop, "result", spawn, "--files", str(out)).returncode == 0
    assert _bytes_below(out) == {"out.txt": b"good\n"}
    # neither attempt's is kept where it was made, once it is where it was asked for
    processes.wait_until(lambda: "out.txt" not in _kept(granted.vps), 20, "vps to let go of them")
    assert "out.txt" in _kept(granted.laptop)


def _kept(node: Node) -> set[str]:
    with node.control() as control:
        return {each["name"] for each in control.get("blobs") if each["state"] == "here"}


def test_the_origin_takes_no_more_than_its_quota_and_asks_again_when_there_is_room(mesh: Mesh) -> None:
    two = Scene.made(mesh)
    two.grant()
    two.laptop.configure('blob_quota = "1MiB"')
    two.laptop.restart()
    two.linked()
    spawn = _asks(two, two.vps.work, "head -c 3145728 /dev/zero > big; echo small > small", "big", "small")
    processes.wait_until(lambda: _files(two.laptop, spawn)["small"]["here"], 20, "the small one")
    assert "quota" in _files(two.laptop, spawn)["big"]["why"] and two.show(spawn)["state"] == "completed"
    out = _out(two)
    refused = relay(two.laptop, "--json", "result", spawn, "--files", str(out))
    assert (refused.returncode, error_of(refused)["code"]) == (1, "unreachable")
    assert "quota" in error_of(refused)["why"]
    assert _bytes_below(out) == {"small": b"small\n"}
    two.laptop.configure('blob_quota = "10MiB"')
    two.laptop.restart()
    two.linked()
    assert relay(two.laptop, "result", spawn, "--files", str(out), "--force").returncode == 0
    assert (out / "big").stat().st_size == 3 * MIB


@pytest.mark.parametrize(
    "files",
    [
        [{"path": "../../escaped"}],
        [{"path": "/tmp/escaped"}],
        [{"path": "a\0b"}],
        [{"path": "twice"}, {"path": "twice"}],
        [{"path": "folder"}, {"path": "folder/a"}],
        [{"mode": 0o4755}],
        [{"size": 2**40}],
    ],
    ids=["up", "absolute", "nul", "twice", "folder", "setuid", "huge"],
)
def test_what_a_lying_target_names_is_refused_as_a_whole(
    honest: Scene, place: Path, files: list[dict[str, Any]]
) -> None:
    honest.vps.kill()
    honest.vps.launcher = lying_results_program.launcher({"path": "good"}, *files)
    honest.vps.start()
    honest.linked()
    spawn = _asks(honest, place, "echo x > a.txt", "*.txt")
    found = honest.show(spawn)
    assert found["state"] == "completed" and found["result"]["files"] == []
    assert found["result"]["notes"][-1].startswith("its list of collected files was refused: ")
    with honest.laptop.control() as control:
        assert not [each for each in control.get("blobs") if each["name"] in ("good", "escaped", "twice", "a")]
        audited = [(each["kind"], each["decision"]) for each in control.get("audit?limit=50")]
    assert ("collect", "refused") in audited
    refused = relay(honest.laptop, "--json", "result", spawn, "--files", str(_out(honest)))
    assert refused.returncode == 2 and "gave no files back" in error_of(refused)["message"]


def test_files_that_were_not_asked_for_are_not_taken(honest: Scene) -> None:
    honest.vps.kill()
    honest.vps.launcher = lying_results_program.launcher({"path": "unasked"})
    honest.vps.start()
    honest.linked()
    spawn = honest.shell("true", status=0)["id"]
    with honest.laptop.control() as control:
        assert not [each for each in control.get("blobs") if each["name"] == "unasked"]
    assert relay(honest.laptop, "result", spawn, "--files", str(_out(honest))).returncode == 2


@pytest.mark.parametrize("pattern", ["/etc/passwd", "../x", "a/../../x"])
def test_a_pattern_that_leads_out_is_refused_at_once(granted: Scene, pattern: str) -> None:
    done = relay(granted.laptop, "--json", *granted.words("shell", "true"), "--collect", pattern)
    assert done.returncode == 2 and "patterns of files below its directory" in error_of(done)["why"]


def test_a_revoked_grant_ends_no_files_on_their_way(honest: Scene, place: Path) -> None:
    """vps may push nothing to laptop, and need not: laptop asked for it."""
    honest.vps.kill()
    honest.vps.launcher = blob_traps.launcher(honest.mesh.folder / fresh("served"), slow=0.1)
    honest.vps.start()
    honest.linked()
    spawn = _asks(honest, place, "head -c 3145728 /dev/urandom > big", "big")
    relay(honest.laptop, "trust", "allow", "vps", "--verb", "push")
    relay(honest.laptop, "trust", "revoke", "vps")
    _await_here(honest.laptop, spawn)


def test_the_folder_to_write_to_is_named_as_anywhere(granted: Scene, place: Path) -> None:
    spawn, name = _asks(granted, place, "echo x > made", "made"), fresh("out")
    _await_here(granted.laptop, spawn)
    assert b"--files is empty" in relay(granted.laptop, "result", spawn, "--files", "").stderr
    assert relay(granted.laptop, "result", spawn, f"--files=~/{name}").returncode == 0
    assert (granted.laptop.scratch / name / "made").exists()
    assert b"--into is empty" in relay(granted.laptop, "pull", spawn, "--into", "").stderr


def test_where_they_were_made_it_is_said_who_has_them(granted: Scene, place: Path) -> None:
    spawn = _asks(granted, place, f"echo {place} > made", "made")  # no other spawn gave the same
    _await_here(granted.laptop, spawn)
    granted.vps.restart()  # it lets go of what nobody needs, as each minute
    processes.wait_until(lambda: not _files(granted.vps, spawn)["made"]["here"], 20, "vps to let go of it")
    for _ in range(2):
        said = relay(granted.vps, "result", spawn).stderr.decode()
        assert "  not here: it went to laptop, which asked for it" in said and "--files" not in said
        error = error_of(relay(granted.vps, "--json", "result", spawn, "--files", str(_out(granted))))
        assert error["message"] == "1 of 1 files are not here"
        assert error["hint"] == f"on laptop: relay result {spawn} --files DIR"


def test_phases_are_told_with_the_result(granted: Scene) -> None:
    """One slot: the second waits for the first, by the target's clock."""
    granted.vps.configure("max_parallel = 1")
    granted.vps.restart()
    granted.linked()
    try:
        go, on = granted.vps.work / fresh("go"), granted.vps.work / fresh("on")
        first = granted.begin(f"while [ ! -e {go} ]; do sleep 0.02; done")
        granted.until(first, "running")
        second = granted.begin(f"while [ ! -e {on} ]; do sleep 0.02; done; sleep 0.3; echo done")
        granted.until(second, "waiting")
        go.touch()
        granted.until(second, "running")
        on.touch()
        granted.until(second, "completed")
        times = relay_json(granted.laptop, "result", second)["durations"]
        assert times["queued_s"] > 0 and times["delivered_s"] == 0 and times["running_s"] > 0.2, times
        assert times["waiting_s"] > 0, times  # a start is told a moment after the program has begun
        shown = relay(granted.laptop, "show", second).stdout.decode()
        assert "phases:" in shown and "waited " in shown and f"ran {spoken(times['running_s'])}" in shown
        at_target = granted.show(second, on=granted.vps)["durations"]
        assert at_target["queued_s"] is None and at_target["running_s"] == times["running_s"]
    finally:
        granted.vps.configure("max_parallel = 4")
        granted.vps.restart()
