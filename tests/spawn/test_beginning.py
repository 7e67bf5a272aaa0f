"""An attempt that is asked for before it is decided on: it begins once, or it never was."""

from __future__ import annotations

import asyncio
import os
import resource
import secrets
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from relay.spawn import attempting, launcher, shim
from relay.spawn.agents.agent import Command
from relay.spawn.attempt import Exited, Vanished
from relay.spawn.attempting import Attempting, Fenced, Plan
from relay.spawn.beginning import CALM, Ahead, Beginning, Underway
from relay.spawn.recovery import Verdict
from relay.spawn.spares import KEEP, PREFIX

from .yard import ENVIRONMENT, alive, children, holds, until

if TYPE_CHECKING:
    from relay.spawn.attempting import End

    from .yard import Yard


class Ground:
    """Attempts that each leave a file behind."""

    def __init__(self, yard: Yard, ran: Path) -> None:
        self.yard = yard
        self.ran = ran
        self.attempting = Attempting(yard.root, yard.launcher, yard.watcher)
        # processes are found by it, on the whole machine: another test's must have another
        self._word = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(15))

    def plan(self, number: int, script: str = "exit 7") -> Plan:
        name = f"{self._word}{'abcdefgh'[number]}-1"
        self.yard.names.append(name)
        command = Command(argv=("sh", "-c", f"echo ran >> {self.ran}; {script}"))
        return Plan(name, command, dict(ENVIRONMENT), Path("/"), fresh=False, timeout_s=None, log_limit=1 << 20)

    async def ahead(self, plan: Plan) -> Ahead:
        ahead = await self.attempting.ahead(plan)
        assert ahead is not None
        return ahead

    async def run(self, plan: Plan, ahead: Ahead | None = None, by: str | None = None) -> End:
        return await self.attempting.run(plan, lambda: by, lambda heard: None, ahead)

    def times(self) -> int:
        return self.ran.read_text().count("ran") if self.ran.exists() else 0

    def spares(self) -> int:
        return len(list(self.yard.root.glob(f"{PREFIX}*")))

    async def free_shim(self) -> int:
        """The pid of a shim that has ended an attempt."""
        run = await self.yard.sh("true", ahead=True)
        await run.exit()
        await until(lambda: not holds(run.shim, run.attempt.folder))
        return run.shim


@pytest.fixture
async def ground(yard: Yard, tmp_path: Path) -> AsyncIterator[Ground]:
    found = Ground(yard, tmp_path / "ran")
    await found.attempting.open()
    await until(lambda: found.attempting._spares._ready)
    yield found
    found.attempting.close()


def _code(end: End) -> int | None:
    assert isinstance(end, Exited), end
    return end.record.exit_code


async def test_it_begins_when_it_is_decided_on_and_once(ground: Ground) -> None:
    plan = ground.plan(0)
    ahead = await ground.ahead(plan)
    pid = await ahead.shim()
    await until(lambda: holds(pid, ground.yard.root))  # it waits for the lock
    assert not children(pid)
    assert not (ground.yard.root / plan.folder).exists() and not ground.times()
    assert ahead.begin() and ahead.begin()
    assert _code(await ground.run(plan, ahead)) == 7
    assert ground.times() == 1


async def test_one_that_is_not_to_be_leaves_nothing_and_its_shim_is_free(ground: Ground) -> None:
    free, spares = await ground.free_shim(), ground.spares()
    plan = ground.plan(0)
    ahead = await ground.ahead(plan)
    assert await ahead.shim() == free
    await until(lambda: holds(free, ground.yard.root))
    ahead.drop()
    assert not ahead.begin()
    await until(lambda: not holds(free, ground.yard.root))
    assert ground.spares() == spares and not ground.times()
    # it has let go of the folder before it says that it is free, and until then another one is given what comes
    async with asyncio.timeout(30):
        while (run := await ground.yard.sh("exit 3")).shim != free:
            await run.exit()
    assert (await run.exit()).exit_code == 3


async def test_many_that_are_not_to_be_cost_no_folder_and_no_process(ground: Ground) -> None:
    free = await ground.free_shim()
    for _ in range(3 * KEEP):
        ahead = await ground.attempting.ahead(ground.plan(0))
        if ahead is not None:  # None where a shim looks at that folder still
            ahead.drop()
    await until(lambda: not holds(free, ground.yard.root) and not children(free))
    assert _code(await ground.run(ground.plan(1))) == 7
    assert ground.times() == 1


async def test_what_fails_for_want_of_memory_as_it_is_asked_for_leaves_no_lock_and_nothing_open(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(spec: object) -> None:
        raise MemoryError

    await ground.free_shim()
    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as now, pytest.raises(MemoryError):
        now.setattr(ground.yard.launcher, "ask", ask)
        await ground.attempting.ahead(ground.plan(0))
    assert len(os.listdir("/proc/self/fd")) == before
    assert _code(await ground.run(ground.plan(0))) == 7


@pytest.mark.parametrize("whose", ["shim", "server"])
async def test_a_death_before_it_is_decided_on_starts_nothing_or_it_once(ground: Ground, whose: str) -> None:
    plan = ground.plan(0)
    ahead = await ground.ahead(plan)
    shim = await ahead.shim()
    server = ground.yard.launcher.server_pid
    assert server is not None
    await until(lambda: holds(shim, ground.yard.root))
    os.kill(shim if whose == "shim" else server, signal.SIGKILL)
    await until(lambda: not alive(shim if whose == "shim" else server))
    assert ahead.begin()
    end = await ground.run(plan, ahead)
    assert (isinstance(end, Fenced), ground.times()) == ((True, 0) if whose == "shim" else (False, 1))
    assert _code(await ground.run(ground.plan(1))) == 7


async def test_one_that_is_to_stop_is_told_before_it_can_begin(ground: Ground) -> None:
    plan = ground.plan(0)
    end = await ground.run(plan, await ground.ahead(plan), by="somebody")
    assert isinstance(end, Exited) and end.record.stopped and not ground.times()


async def test_a_name_that_is_taken_is_no_second_attempt(ground: Ground) -> None:
    plan = ground.plan(0)
    assert _code(await ground.run(plan)) == 7
    again = await ground.ahead(plan)
    assert not again.begin()
    ends = await asyncio.gather(ground.run(ground.plan(1)), ground.run(ground.plan(2)))
    assert ([_code(each) for each in ends], ground.times()) == ([7, 7], 3)


async def test_what_is_decided_before_anything_was_done_for_it_begins_all_the_same(ground: Ground) -> None:
    plan = ground.plan(0)
    beginning = Beginning(lambda: False)
    beginning.decide(True)
    beginning.ahead = await ground.ahead(plan)
    assert await beginning.is_to_be()
    assert _code(await ground.run(plan, beginning.ahead)) == 7
    assert ground.times() == 1


async def test_who_gives_up_waiting_for_the_decision_drops_it(ground: Ground) -> None:
    beginning = Beginning(lambda: False)
    beginning.ahead = await ground.ahead(ground.plan(0))
    waiting = asyncio.create_task(beginning.is_to_be())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    beginning.decide(True)
    assert not beginning.ahead.begin()


async def test_a_fork_server_that_knows_nothing_of_it_is_asked_in_the_old_way(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a downgrade under a broker that runs its next fork server is of the earlier version."""
    earlier = tmp_path / "earlier"
    shutil.copytree(Path(shim.__file__).parent, earlier / "shim", ignore=shutil.ignore_patterns("__pycache__"))
    spec = earlier / "shim" / "spec.py"
    text = spec.read_text()
    assert '        held: str = "",\n' in text
    spec.write_text(text.replace('        held: str = "",\n', "").replace("self.held = held", 'self.held = ""'))
    monkeypatch.setattr(launcher, "_ENTRY", earlier / "shim" / "serve.py")
    plan = ground.plan(0)
    ahead = await ground.ahead(plan)
    assert ahead.begin()
    assert _code(await ground.run(plan, ahead)) == 7
    assert ground.times() == 1


async def test_one_that_cannot_be_followed_for_want_of_descriptors_is_followed_later(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempting, "AGAIN_S", 0.05)
    plan = ground.plan(0, "sleep 0.3; exit 7")
    ahead = await ground.ahead(plan)
    await ahead.shim()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert ahead.begin()
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    running = asyncio.create_task(ground.run(plan, ahead))
    try:
        await asyncio.sleep(0.1)
        assert not running.done()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert _code(await running) == 7
    assert ground.times() == 1


async def test_after_a_power_cut_on_a_disk_that_is_full_it_is_looked_at_again_until_it_can_be_said_lost(
    ground: Ground,
) -> None:
    name = ground.plan(0).folder
    root = ground.yard.root
    root.rename(root.with_name("aside"))
    root.write_text("")  # no folder can be made there for now
    resumed = asyncio.create_task(ground.attempting.resume(name, lambda heard: None, "another"))
    await asyncio.sleep(0)
    done, _ = await asyncio.wait([resumed], timeout=0.2)
    assert not done, resumed.exception()
    root.unlink()  # its folder is made there as soon as that is looked at: nothing may be put in its place
    end = await asyncio.wait_for(resumed, 10)
    assert isinstance(end, Vanished) and end.verdict is Verdict.SWEEP_AND_LOST


async def test_what_runs_or_will_not_keeps_nothing_from_being_begun_ahead() -> None:
    async def carried_out(end: asyncio.Event) -> None:
        await end.wait()

    underway, ends = Underway(), [asyncio.Event() for _ in range(CALM)]
    attempts = [asyncio.create_task(carried_out(each)) for each in ends]
    for n, attempt in enumerate(attempts):
        assert underway.is_calm
        underway.add(f"{n}-1", attempt)
    assert not underway.is_calm
    underway.over("0-1")  # it has started
    assert underway.is_calm
    underway.add("more-1", attempts[0])
    assert not underway.is_calm
    ends[1].set()  # it has ended, started or not
    await attempts[1]
    await until(lambda: underway.is_calm)
    for each in ends:
        each.set()
    await asyncio.gather(*attempts)
