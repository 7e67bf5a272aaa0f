"""The shim's door: what is typed arrives in order and once, a terminal has its size, memory stays bounded."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from relay.api.modes import open_to_others
from relay.core.errors import Misuse
from relay.spawn import door
from relay.spawn.shim import callers as wire

from .yard import Run, Yard, stands_still, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TYPIST = b"typist".ljust(16, b".")
RAW = "stty raw -echo; echo ready; exec cat"


async def test_what_is_typed_arrives_in_order_and_once(yard: Yard) -> None:
    run = await yard.launch("cat", stdin=b"first,", door=True)
    for n, word in enumerate([b"second,", b"third\n"], 1):
        await door.feed(run.attempt.folder, n, word)
        await door.feed(run.attempt.folder, n, word)
    await run.says("first,second,third\n")
    assert not open_to_others(str(run.attempt.folder)), "doctor calls that wrong"
    async with door.opened(run.attempt.folder) as opened:
        await opened.feed(1, b"another counts by itself\n", TYPIST)
        await opened.end(2, TYPIST)
    assert (await run.exit()).exit_code == 0
    assert run.output() == "first,second,third\nanother counts by itself\n"


async def test_a_feed_that_is_said_again_by_the_next_broker_is_not_typed_again(yard: Yard) -> None:
    run = await yard.launch("cat", door=True)
    async with door.opened(run.attempt.folder) as before:
        await before.feed(7, b"once\n")
    async with door.opened(run.attempt.folder) as after:
        await after.feed(7, b"once\n")
        await after.feed(8, b"then\n")
        await after.end(9)
    await run.exit()
    assert run.output() == "once\nthen\n"


async def test_a_task_without_the_wish_has_no_door(yard: Yard) -> None:
    run = await yard.sh("sleep 30")
    await run.started()
    with pytest.raises(door.DoorShut):
        await door.feed(run.attempt.folder, 1, b"x")
    assert not (run.attempt.folder / wire.DOOR).exists()
    run.attempt.request_stop()
    await run.exit()


async def test_a_task_that_has_ended_or_closed_its_input_takes_none(yard: Yard) -> None:
    run = await yard.sh("exec 0<&-; echo closed; sleep 30", door=True)
    await run.says("closed")
    with pytest.raises(door.DoorShut):
        # the first may still go into the pipe
        for n in range(1, 3):
            await door.feed(run.attempt.folder, n, b"x")
    run.attempt.request_stop()
    await run.exit()
    with pytest.raises(door.DoorShut):
        await door.feed(run.attempt.folder, 9, b"x")
    assert not (run.attempt.folder / wire.DOOR).exists()


async def test_what_was_taken_stays_so_for_who_says_it_again_by_another_way(yard: Yard) -> None:
    """What its answer was lost of is sent once more, and the task may take no input any more by then."""
    run = await yard.sh("read line; exec 0<&-; echo closed $line; sleep 30", door=True)
    await door.feed(run.attempt.folder, 1, b"go\n")
    await run.says("closed go")
    for n in (2, 2):
        with pytest.raises(door.DoorShut):
            await door.feed(run.attempt.folder, n, b"x")
    await door.feed(run.attempt.folder, 1, b"go\n")
    run.attempt.request_stop()
    await run.exit()


async def test_a_task_that_does_not_read_holds_up_who_types_and_costs_bounded_memory(yard: Yard) -> None:
    run = await yard.sh("kill -STOP $$; exec wc -c", door=True)
    task = (await run.started()).pid
    await until(lambda: stands_still(task))
    piece, count = bytes(wire.MOST), 0
    async with door.opened(run.attempt.folder) as opened:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                for n in range(1, 1000):
                    await opened.feed(n, piece)
                    count = n
    assert count <= 3
    with pytest.raises(Misuse):
        async with door.opened(run.attempt.folder) as opened:
            await opened.feed(1, piece + b"x")
    os.kill(task, signal.SIGCONT)
    async with door.opened(run.attempt.folder) as opened:
        # what was under way when its caller gave up may come twice; by its number it counts once
        for n in range(1, 9):
            await opened.feed(n, piece)
        await opened.end(9)
    assert (await run.exit()).exit_code == 0
    assert int(run.output()) == 8 * wire.MOST


async def test_a_folder_beyond_a_sockets_path(tmp_path: Path) -> None:
    root = tmp_path / ("long" * 30)
    root.mkdir(mode=0o700)
    yard = Yard(root)
    try:
        run = await yard.launch("cat", door=True)
        async with door.opened(run.attempt.folder) as opened:
            await opened.feed(1, b"far\n")
            await opened.end(2)
        await run.exit()
        assert run.output() == "far\n"
    finally:
        await yard.close()


async def test_rubbish_at_the_door_harms_nobody(yard: Yard) -> None:
    run = await yard.launch("cat", door=True)
    await run.started()
    with socket.socket(socket.AF_UNIX) as stranger:
        os.symlink(run.attempt.folder, yard.root.parent / "f")
        stranger.connect(str(yard.root.parent / "f" / wire.DOOR))
        stranger.sendall(os.urandom(1 << 12))
    async with door.opened(run.attempt.folder) as opened:
        await opened.feed(1, b"well\n")
        await opened.end(2)
    assert (await run.exit()).exit_code == 0 and run.output().endswith("well\n")


# terminals


async def test_a_terminal_is_the_tasks_own(yard: Yard) -> None:
    run = await yard.sh("tty; stty size; test -t 0 && test -t 1 && test -t 2; ps -o tty= -p $$", terminal=(33, 99))
    assert (await run.exit()).exit_code == 0
    lines = run.output().replace("\r\n", "\n").splitlines()
    assert lines[0].startswith("/dev/") and lines[1] == "33 99" and lines[0] == f"/dev/{lines[2].strip()}"
    assert run.output(1) == ""


async def test_a_terminal_that_nobody_has_open_for_a_while_is_there_still(yard: Yard) -> None:
    script = "exec <&- >&- 2>&-; sleep 0.1; exec > /dev/tty; head -c 20000 /dev/zero; read key < /dev/tty; echo $key"
    run = await yard.sh(f"{script}; exit 4", terminal=(24, 80))
    await door.feed(run.attempt.folder, 1, b"typed\n")
    assert (await run.exit()).exit_code == 4
    assert run.output().count("\0") == 20_000 and run.output().endswith("typed\r\n")


async def test_ansi_is_kept_and_exit_codes_too(yard: Yard) -> None:
    run = await yard.sh("printf '\\033[31mred\\033[0m'; exit 7", terminal=(24, 80))
    assert (await run.exit()).exit_code == 7
    assert run.output(0) == "\x1b[31mred\x1b[0m"


async def test_the_size_follows(yard: Yard) -> None:
    run = await yard.sh("trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done", terminal=(24, 80))
    await run.says("ready")
    await door.resize(run.attempt.folder, 50, 132)
    await run.says("50 132")
    run.attempt.request_stop()
    assert (await run.exit()).stopped


async def test_keys_interrupt_and_end_input(yard: Yard) -> None:
    run = await yard.launch("cat", terminal=(24, 80))
    await door.feed(run.attempt.folder, 1, b"line\n")
    await run.says("line\r\nline\r\n")
    async with door.opened(run.attempt.folder) as opened:
        await opened.end(2)
    assert (await run.exit()).exit_code == 0
    run = await yard.sh("echo ready; sleep 30", terminal=(24, 80))
    await run.says("ready")
    await door.feed(run.attempt.folder, 1, b"\x03")
    assert (await run.exit()).signal == signal.SIGINT


async def test_a_terminal_does_not_outlive_its_task(yard: Yard) -> None:
    run = await yard.sh("trap '' HUP TERM INT; setsid sleep 300 & sleep 301 & echo ready; wait", terminal=(24, 80))
    await run.says("ready")
    run.attempt.request_stop()
    end = await run.exit()
    assert end.stopped and end.survivors == 0 and run.tree() == []


async def test_a_watcher_sees_what_is_shown_with_its_place_in_the_log(yard: Yard) -> None:
    run = await yard.sh(RAW, terminal=(24, 80))
    await run.says("ready")
    seen: list[door.Shown] = []
    async with door.opened(run.attempt.folder) as watching, door.opened(run.attempt.folder) as typing:
        task = asyncio.create_task(_gather(watching.watch(), seen))
        await until(lambda: seen)
        await typing.feed(1, b"a")
        await until(lambda: b"a" in b"".join(each.data for each in seen))
        assert all(each.start < each.end for each in seen[1:])
        assert seen[-1].end == run.attempt.log.stat().st_size
        run.attempt.request_stop()
        await run.exit()
        await task


async def test_who_types_and_watches_over_one_door_hears_of_both_at_once(yard: Yard) -> None:
    run = await yard.sh(RAW, terminal=(24, 80))
    await run.says("ready")
    heard: list[bool | bytes] = []
    async with door.opened(run.attempt.folder) as opened:

        def show(shown: door.Shown) -> bool:
            heard.extend([shown.data] if shown.data else [])
            return bool(shown.data)

        opened.at_once = show
        seen: list[door.Shown] = []
        task = asyncio.create_task(_gather(opened.watch(), seen))
        await until(lambda: seen)
        for n in range(1, 51):
            assert opened.feed_now(n, b"%02d" % n, TYPIST, heard.append)
            await until(lambda n=n: heard.count(True) == n and len(_bytes(heard)) == 2 * n)  # type: ignore[misc]
        assert _bytes(heard) == b"".join(b"%02d" % n for n in range(1, 51))
        assert heard[-2] is True, "that it was taken comes before its echo"
        run.attempt.request_stop()
        await run.exit()
        await task
        assert not opened.feed_now(51, b"x", TYPIST, heard.append)


def _bytes(heard: list[bool | bytes]) -> bytes:
    return b"".join(each for each in heard if isinstance(each, bytes))


async def test_what_is_not_echoed_is_said_to_be_taken_all_the_same(yard: Yard) -> None:
    run = await yard.sh("stty -echo; echo ready; cat > typed", terminal=(24, 80))
    await run.says("ready")
    heard: list[bool] = []
    async with door.opened(run.attempt.folder) as one, door.opened(run.attempt.folder) as other:
        tasks = [asyncio.create_task(_gather(each.watch(), [])) for each in (one, other)]
        for n in range(1, 41):
            # two who watch type by turns, and one of them ahead of its answers
            assert one.feed_now(n, b"a", TYPIST, heard.append)
            await other.feed(n, b"b")
        await until(lambda: len(heard) == 40)
        assert all(heard)
        run.attempt.request_stop()
        await run.exit()
        await asyncio.gather(*tasks)


@pytest.mark.parametrize("terminal", [None, (24, 80)], ids=["pipe", "terminal"])
async def test_what_made_the_task_end_was_taken(yard: Yard, terminal: tuple[int, int] | None) -> None:
    for _ in range(5):  # an answer waits for a moment whether something is shown, and the task may be faster
        run = await yard.sh("echo ready; exec cat", door=True, terminal=terminal)
        await run.says("ready")
        async with door.opened(run.attempt.folder) as opened:
            watching = asyncio.create_task(_gather(opened.watch(), []))
            await asyncio.sleep(0)
            await opened.end(1, TYPIST)
            await run.exit()
            await watching


async def test_what_is_under_way_when_the_task_ends_is_said_not_to_be_taken(yard: Yard) -> None:
    run = await yard.sh("kill -STOP $$", door=True)
    pid = (await run.started()).pid
    heard: list[bool] = []
    async with door.opened(run.attempt.folder) as opened:
        for n in (1, 2, 3):  # the third is one more than a shim takes in whose task does not read
            await until(lambda n=n: opened.feed_now(n, bytes(wire.MOST), TYPIST, heard.append))  # type: ignore[misc]
        await until(lambda: len(heard) == 2)
        os.kill(pid, signal.SIGKILL)
        await until(lambda: len(heard) == 3)
        assert heard == [True, True, False]


async def test_a_watcher_that_does_not_read_is_told_of_a_gap(yard: Yard) -> None:
    run = await yard.sh("read go; head -c 8000000 /dev/zero; read end", terminal=(24, 80))
    await run.started()
    async with door.opened(run.attempt.folder) as watching, door.opened(run.attempt.folder) as typing:
        shown = watching.watch()
        assert not (await anext(shown)).end
        await typing.feed(1, b"go\n")
        await _printed(run, 8_000_000)
        seen = [each async for each in _until_gap(shown)]
        assert sum(len(each.data) for each in seen) < 8_000_000
        await typing.feed(2, b"end\n")
    assert (await run.exit()).exit_code == 0


async def _printed(run: Run, count: int) -> None:
    await until(lambda: run.attempt.log.stat().st_size > count)


async def _gather(shown: AsyncIterator[door.Shown], into: list[door.Shown]) -> None:
    async for each in shown:
        into += [each]


async def _until_gap(shown: AsyncIterator[door.Shown]) -> AsyncIterator[door.Shown]:
    async for each in shown:
        yield each
        if not each.end:
            return
