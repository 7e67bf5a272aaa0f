"""A broker under fire goes on as if nothing had happened: alive, silent, nothing taken in, nothing grown."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.fuzz import attacks
from tests.fuzz.attacker import Attacker
from tests.fuzz.attacks import Attack

_SUITE_CASES = 5_000
_SUITE_SECONDS = 40.0
_CHAOS_CASES = 50_000
_CHAOS_SECONDS = 3_000.0
_MAY_GROW = 48 * 1024 * 1024
_THREADS = 4


def _seed() -> int:
    return int(os.environ.get("RELAY_FUZZ_SEED", "0")) or random.SystemRandom().getrandbits(32)


def _one(attack: Attack, attacker: Attacker, seed: int) -> str:
    """What went wrong; nothing where the broker answered, or threw the attacker out."""
    try:
        attack(attacker, random.Random(seed))
    except Exception as error:
        if isinstance(error, OSError) and not isinstance(error, TimeoutError):
            return ""
        return f"{attack.__name__} (seed {seed}): {error!r}"
    return ""


def _run(
    drawn: Sequence[Attack], attacker: Attacker, seed: int, within: float, threads: int = _THREADS
) -> tuple[Counter[str], list[str]]:
    """How many of each attack were made within the time, and which of them went wrong."""
    end = time.monotonic() + within
    made: Counter[str] = Counter()

    def once(numbered: tuple[int, Attack]) -> str:
        number, attack = numbered
        if time.monotonic() > end:
            return ""
        made[attack.__name__] += 1
        return _one(attack, attacker, seed + number)

    with ThreadPoolExecutor(threads) as pool:
        wrong = [fault for fault in pool.map(once, enumerate(drawn), chunksize=1) if fault]
    return made, wrong


@pytest.fixture
def pair() -> Iterator[tuple[Node, Node]]:
    """A victim and a member of its workspace whose own broker is stopped."""
    with Mesh.scratch("relay-fuzz-") as mesh:
        victim, member = mesh.pair("victim", "member")
        member.stop()
        yield victim, member


def _bombard(
    victim: Node,
    member: Node,
    drawn: Sequence[Attack],
    seed: int,
    within: float,
    threads: int = _THREADS,
    known: tuple[str, ...] = (),
) -> Counter[str]:
    assert victim.process is not None
    broker = psutil.Process(victim.process.pid)
    attacker = Attacker(member, victim)
    attacker.known_spawns = known
    _run(drawn[:200], attacker, seed - 10**6, within, threads)  # caches are filled before memory is looked at
    memory = broker.memory_info().rss
    made, wrong = _run(drawn, attacker, seed, within, threads)
    assert not wrong, f"seed {seed}: {len(wrong)} attacks, first {wrong[:3]}\n{victim.log_tail()}"
    _expect_unharmed(victim, broker, memory, seed)
    return made


def _expect_unharmed(victim: Node, broker: psutil.Process, memory: int, seed: int) -> None:
    assert victim.running and victim.status()["running"], f"seed {seed}\n{victim.log_tail()}"
    at = victim.log().find("Traceback")
    assert at < 0, f"seed {seed}\n{victim.log()[max(0, at - 300) : at + 4000]}"
    wait_until(lambda: len(broker.net_connections("tcp")) <= 2, 15, f"the end of all connections (seed {seed})")
    grown = broker.memory_info().rss - memory
    assert grown < _MAY_GROW, f"seed {seed}: grew by {grown >> 20} MiB"


def _spawns(node: Node) -> list[dict[str, object]]:
    with node.control() as control:
        return control.spawns()


def _draw(count: int, seed: int) -> list[Attack]:
    return random.Random(seed).choices(list(attacks.ATTACKS), list(attacks.ATTACKS.values()), k=count)


def _assert_forgery_fails(pair: tuple[Node, Node], count: int, within: float) -> Counter[str]:
    victim, member = pair
    seed = _seed()
    victim.relay("trust", "allow", member.id, "--profile", "full", "--dir", str(victim.work), "--agent", "exec")
    made = _bombard(victim, member, _draw(count, seed), seed, within)
    assert _spawns(victim) == [], f"seed {seed}"
    member.start()  # the real member is let in as before
    wait_until(lambda: victim.status()["links"] == 1, 20, "the link of the real member")
    return made


@pytest.mark.timeout(180)
def test_bad_bytes_on_the_port(pair: tuple[Node, Node]) -> None:
    """5,000 cases of bytes wrong in themselves: nothing is taken in, although that member might spawn anything."""
    made = _assert_forgery_fails(pair, _SUITE_CASES, _SUITE_SECONDS)
    assert len(made) == len(attacks.ATTACKS), made


@pytest.mark.timeout(150)
def test_senseless_letters_of_a_member(pair: tuple[Node, Node]) -> None:
    """Well-signed letters that make no sense, from a member without a grant: nothing runs."""
    victim, member = pair
    seed = _seed()
    _bombard(victim, member, [attacks.senseless_bodies, attacks.odd_bodies] * 200, seed, _SUITE_SECONDS)
    # a stop that came before its spawn cancels it
    assert {spawn["state"] for spawn in _spawns(victim)} <= {"rejected", "cancelled", "expired"}, f"seed {seed}"
    assert not any(spawn["started"] for spawn in _spawns(victim)), f"seed {seed}"


@pytest.mark.timeout(180)
def test_odd_letters_of_a_member_with_every_right(pair: tuple[Node, Node]) -> None:
    """Who may do everything says it in forms that nobody expects, of spawns that run: no harm to the broker."""
    victim, member = pair
    seed = _seed()
    victim.relay("trust", "allow", member.id, "--profile", "full", "--dir", str(victim.work), "--agent", "shell")
    there = ("--broker", victim.name, "--cwd", str(victim.work), "--timeout", "180s")
    member.start()
    theirs = [member.relay_json("spawn", "-", "shell", "sleep 170", *there)["id"] for _ in range(3)]
    wait_until(lambda: [each["state"] for each in _spawns(victim)] == ["running"] * 3, 20, "three that run")
    member.stop()
    ours = victim.relay_json("spawn", "-", "shell", "sleep 170", "--cwd", str(victim.work), "--timeout", "180s")["id"]
    # one after another: two at once would be two machines with one identity, and have no rights
    _bombard(victim, member, [attacks.odd_bodies] * 300, seed, _SUITE_SECONDS, threads=1, known=(*theirs, ours))
    # a well-formed stop is within its rights
    assert {spawn["state"] for spawn in _spawns(victim) if spawn["id"] == ours} <= {"running", "cancelled"}
    for spawn in (*theirs, ours):
        victim.relay("stop", spawn, check=False)


@pytest.mark.chaos
@pytest.mark.timeout(_CHAOS_SECONDS + 300)
def test_bad_bytes_on_the_port_for_long(pair: tuple[Node, Node]) -> None:
    """50,000 cases, with the counts printed."""
    started = time.monotonic()
    made = _assert_forgery_fails(pair, _CHAOS_CASES, _CHAOS_SECONDS)
    print(f"\nlive port: {made.total():,} cases in {time.monotonic() - started:.0f} s")
    for name, count in made.most_common():
        print(f"  {name}: {count:,}")
    assert made.total() >= _CHAOS_CASES
