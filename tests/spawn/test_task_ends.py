"""How tasks end, and that the exit record tells it as it was."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from relay.spawn import transcript
from relay.spawn.attempt import Exited, Output, Started, Vanished
from relay.spawn.launching import BadLaunch
from relay.spawn.opened_record import OpenedRecord
from relay.spawn.recovery import Verdict, recover

from .yard import until

if TYPE_CHECKING:
    from .yard import Yard

MIB = b"0123456789abcde\n" * 65536


@pytest.mark.parametrize("code", [0, 7, 255])
async def test_the_exit_code_is_kept(yard: Yard, code: int) -> None:
    end = await yard.run(f"exit {code}")
    assert (end.exit_code, end.signal, end.error, end.survivors) == (code, None, None, 0)
    assert not end.timed_out and not end.stopped
    assert end.started_at is not None and end.started_at <= end.ended_at


async def test_a_signal_is_no_exit_code(yard: Yard) -> None:
    end = await yard.run("kill -SEGV $$")
    assert (end.exit_code, end.signal) == (None, signal.SIGSEGV)


async def test_events_come_in_order(yard: Yard) -> None:
    run = await yard.sh("echo out; echo err >&2; exit 3")
    end = await run.end()
    assert isinstance(end, Exited) and end.record.exit_code == 3
    assert isinstance(run.events[0], Started)
    assert isinstance(run.events[-1], Output) and run.events[-1].up_to_offset == end.record.log_bytes
    assert (run.output(0), run.output(1)) == ("out\n", "err\n")


async def test_a_missing_binary(yard: Yard) -> None:
    run = await yard.launch("no-such-agent")
    end = await run.exit()
    assert end.error is not None and end.error.kind == "not_found" and "no-such-agent" in end.error.text
    assert end.exit_code is None and not any(isinstance(event, Started) for event in run.events)
    end = await (await yard.launch("\u00e9" * 120)).exit()  # which takes six bytes for each in its record
    assert end.error is not None and end.error.text.endswith("\u00e9: No such file or directory")


async def test_a_file_that_is_not_executable(yard: Yard, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo never\n")
    end = await (await yard.launch(str(script))).exit()
    assert end.error is not None and end.error.kind == "not_executable"
    script.chmod(0o755)
    end = await (await yard.launch(str(script))).exit()
    assert end.error is not None and end.error.kind == "not_executable"


async def test_what_no_chmod_mends_is_told_as_what_it_is(yard: Yard, tmp_path: Path) -> None:
    for name, text in (("busy", ""), ("script", f"#!{tmp_path}/interpreter\n"), ("interpreter", "")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o644 if name == "interpreter" else 0o755)
    (tmp_path / "loop").symlink_to("loop")
    told = {
        str(tmp_path): ("not_executable", errno.EISDIR),
        "./script": ("bad_interpreter", errno.EACCES),
        "./interpreter": ("not_executable", errno.EACCES),
        "./busy": ("not_executable", errno.ETXTBSY),
        "./loop": ("not_executable", errno.ELOOP),
        "./" + "n" * 300: ("not_found", errno.ENAMETOOLONG),
    }
    with (tmp_path / "busy").open("r+b"):
        for program, (kind, number) in told.items():
            end = await (await yard.launch(program, cwd=tmp_path)).exit()
            assert end.error is not None and (end.error.kind, end.error.errno) == (kind, number), end.error
            assert end.error.text.startswith(program[:120])


async def test_the_path_is_searched_past_what_cannot_run(yard: Yard, tmp_path: Path) -> None:
    for name in ("plain", "good"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "agent").write_text("#!/bin/sh\necho found\n")
    file = tmp_path / "good" / "agent"
    path = f"{tmp_path}/none:{file}:{tmp_path}/plain:{file.parent}"
    end = await (await yard.launch("agent", env={"PATH": path})).exit()
    assert end.error is not None and end.error.kind == "not_executable"
    file.chmod(0o755)
    run = await yard.launch("agent", env={"PATH": path})
    assert (await run.exit()).exit_code == 0 and run.output() == "found\n"
    # An empty entry is the folder to run in.
    run = await yard.launch("agent", env={"PATH": "/none::/none"}, cwd=file.parent)
    assert (await run.exit()).exit_code == 0


async def test_signals_of_a_terminal_end_neither_server_nor_shim(yard: Yard) -> None:
    run = await yard.sh("sleep 0.3; exit 5")
    server = yard.launcher.server_pid
    assert server is not None
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ):
        for pid in (server, run.shim):
            os.kill(pid, number)
    assert (await run.exit()).exit_code == 5
    assert yard.launcher.server_pid == server and (await yard.run("exit 6")).exit_code == 6


async def test_a_missing_interpreter(yard: Yard, tmp_path: Path) -> None:
    """As of a tool whose Python was upgraded: it is there, and "no such file" is not about it."""
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    for named, path in ((str(script), "/none"), ("script", f"/none:{tmp_path}:/none")):
        end = await (await yard.launch(named, env={"PATH": path})).exit()
        assert end.error is not None and end.error.kind == "bad_interpreter"
        assert end.error.text == f"{script}: what its first line (#!) names, or its loader, is not there"


async def test_a_missing_folder_to_run_in(yard: Yard) -> None:
    end = await yard.run("true", cwd=Path("/no/such/" + "folder-é" * 20))
    assert end.error is not None and end.error.kind == "bad_cwd" and end.exit_code is None


async def test_a_folder_reached_through_a_link_is_not_entered(yard: Yard, tmp_path: Path) -> None:
    """What was judged is a real path: a link on the way was put there since."""
    (tmp_path / "real" / "below").mkdir(parents=True)
    for link, to in (("last", "real"), ("middle", "real")):
        (tmp_path / link).symlink_to(tmp_path / to)
    assert (await yard.run("touch here", cwd=tmp_path / "real" / "below")).exit_code == 0
    for place in (tmp_path / "last", tmp_path / "middle" / "below"):
        end = await yard.run("touch there", cwd=place)
        assert end.error is not None and end.error.kind == "bad_cwd" and end.exit_code is None
    assert os.listdir(tmp_path / "real") == ["below"] and os.listdir(tmp_path / "real" / "below") == ["here"]


async def test_the_timeout_needs_no_broker_to_act(yard: Yard) -> None:
    end = await yard.run("sleep 30 & sleep 30", timeout_s=0.2)
    assert end.timed_out and not end.stopped and end.signal == signal.SIGINT
    assert end.ended_at - (end.started_at or 0) < 5200


async def test_stdin_is_empty_unless_given(yard: Yard) -> None:
    run = await yard.sh("readlink /proc/self/fd/0; wc -c")
    await run.exit()
    assert run.output() == "/dev/null\n0\n"


async def test_a_mebibyte_through_stdin_and_back(yard: Yard) -> None:
    run = await yard.launch("cat", stdin=MIB)
    assert (await run.exit()).exit_code == 0
    assert run.output().encode() == MIB


async def test_stdin_that_nobody_reads(yard: Yard) -> None:
    assert (await yard.run("exec 0<&-; sleep 0.05", stdin=MIB)).exit_code == 0
    assert (await yard.run("exit 4", stdin=MIB)).exit_code == 4
    assert (await yard.run("wc -c", stdin=b"")).exit_code == 0


async def test_what_the_task_is_given(yard: Yard, tmp_path: Path) -> None:
    script = 'echo "$PWD $RELAY_ATTEMPT"; env | wc -l; ls /proc/self/fd; grep -E "Sig(Ign|Blk)" /proc/self/status'
    run = await yard.sh(script, cwd=tmp_path)
    await run.exit()
    lines = run.output().splitlines()
    assert lines[0] == f"{tmp_path} {run.attempt.folder.name}"
    # PATH, LANG, PWD, the mark and what the shell adds (at most OLDPWD, SHLVL, _): nothing of ours.
    assert int(lines[1]) <= 7
    # The fourth is the folder that ls reads.
    assert lines[2:6] == ["0", "1", "2", "3"]
    # glibc's posix_spawn leaves its two internal signals (32, 33) ignored in every program.
    assert [int(line.split()[1], 16) & ~0x1_8000_0000 for line in lines[6:8]] == [0, 0]


async def test_a_full_disk_does_not_stop_the_task(yard: Yard, tmp_path: Path) -> None:
    attempt = yard.prepare()
    attempt.log.unlink()
    attempt.log.symlink_to("/dev/full")
    done = tmp_path / "done"
    spec = yard.spec(attempt, "sh", "-c", f"head -c 300000 /dev/zero; touch {done}")
    run = yard.observe(attempt, await yard.launcher.launch(spec))
    end = await run.exit()
    assert done.exists() and end.exit_code == 0
    assert (end.log_lost, end.log_error, end.log_bytes) == (300000, "ENOSPC", 0)


async def test_the_log_has_a_limit(yard: Yard) -> None:
    run = await yard.sh("head -c 3000000 /dev/zero; echo end", log_limit=300_000)
    end = await run.exit()
    kept = sum(len(chunk.data) for chunk in transcript.chunks(run.attempt.log))
    files = [file for file in run.attempt.folder.iterdir() if file.name.startswith("log")]
    assert end.exit_code == 0 and sum(file.stat().st_size for file in files) <= 300_000
    assert kept + end.log_dropped == end.log_written == 3_000_004


async def test_many_at_once(yard: Yard) -> None:
    runs = [await yard.sh(f"echo {number}; exit {number}") for number in range(40)]
    assert [(await run.exit()).exit_code for run in runs] == list(range(40))
    assert [run.output() for run in runs] == [f"{number}\n" for number in range(40)]


@pytest.mark.parametrize(
    "change",
    [
        {"argv": ("a\0b",)},
        {"argv": ()},
        {"cwd": Path("relative")},
        {"env": {"A=B": "c"}},
        {"stop_signal": 999},
        {"timeout_s": 0},
    ],
)
async def test_what_no_system_can_launch_is_refused(yard: Yard, change: dict[str, object]) -> None:
    options = dict(change)
    argv = options.pop("argv", ("true",))
    assert isinstance(argv, tuple)
    with pytest.raises(BadLaunch):
        yard.spec(yard.prepare(), *argv, **options)


async def test_folders_are_private(yard: Yard) -> None:
    attempt = yard.prepare()
    assert os.stat(attempt.folder).st_mode & 0o777 == 0o700
    assert {os.stat(file).st_mode & 0o777 for file in attempt.folder.iterdir()} == {0o600}


async def test_a_record_that_was_opened_before_tells_of_a_task_that_puts_it_away(yard: Yard) -> None:
    """Its broker may come to look only then."""
    attempt, events = yard.prepare(), list[Started | Output]()
    opened = OpenedRecord(str(attempt.folder))
    script = f"rm {attempt.folder / 'record'}; exit 7"
    shim = await yard.launcher.launch(yard.spec(attempt, "sh", "-c", script))
    await until(lambda: not (attempt.folder / "record").exists())
    end = await attempt.observe(yard.watcher, events.append, shim=shim, opened=opened)
    assert isinstance(end, Exited) and end.record.exit_code == 7
    assert any(isinstance(each, Started) for each in events)
    assert opened.take() is None


async def test_a_task_that_wipes_its_record_and_ends_its_shim_has_run(yard: Yard) -> None:
    attempt = yard.prepare()
    opened = OpenedRecord(str(attempt.folder))
    wiped = f"sleep 0.05; dd if=/dev/zero of={attempt.folder / 'record'} bs=4096 count=1 conv=notrunc; kill -9 $PPID"
    shim = await yard.launcher.launch(yard.spec(attempt, "sh", "-c", f"{wiped}; sleep 60"))
    end = await attempt.observe(yard.watcher, lambda _: None, shim=shim, opened=opened)
    assert end == Vanished(Verdict.SWEEP_AND_LOST, 0)


async def test_what_touches_a_record_and_writes_nothing_leaves_its_launch_to_begin_again(yard: Yard) -> None:
    attempt = yard.prepare()
    opened, file = OpenedRecord(str(attempt.folder)), attempt.folder / "record"
    (attempt.folder / "backup").hardlink_to(file)
    file.chmod(0o400)
    file.chmod(0o600)
    gone = await asyncio.create_subprocess_exec("true")
    await gone.wait()
    assert recover(attempt.folder).verdict is Verdict.FENCE_AND_REQUEUE  # by who could not tell of it any more
    end = await attempt.observe(yard.watcher, lambda _: None, shim=gone.pid, opened=opened)
    assert end == Vanished(Verdict.FENCE_AND_REQUEUE, 0)
