"""What a program gives by mistake: always a clear error of ours, and never one of Python's."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest

import relay
from relay.library.mesh import Mesh
from tests.e2e.scene import Scene

HALF = "\ud800"
NOT_TEXTS = (5, b"x", [5], object(), HALF)
NOT_LISTS = (5, "x", object(), [5], [HALF])
NOT_TABLES = (5, "x", [5], object(), {5: "x"}, {HALF: "x"}, {"a": object()})
NOT_NUMBERS: tuple[Any, ...] = ("x", [], object(), math.nan, 10**400)
NOT_WHOLE = ("x", 1.5, HALF, True)


def _spawns(**fields: Any) -> Callable[[Mesh], Any]:
    words = {"name": "-", "agent": "shell", "task": "true", "cwd": "new"} | fields
    return lambda mesh: mesh.spawn(**words)


async def _of_all(stream: Any) -> None:
    async with aclosing(stream) as lines:
        async for _ in lines:
            return


CASES: list[tuple[str, Callable[[Mesh], Any]]] = [
    *((f"spawn task {each!r}", _spawns(task=each)) for each in (5, b"x", [5], object(), None)),
    *((f"spawn cwd {each!r}", _spawns(cwd=each)) for each in NOT_TEXTS),
    *((f"spawn operation {each!r}", _spawns(operation=each)) for each in NOT_TEXTS),
    *((f"spawn labels {each!r}", _spawns(labels=each)) for each in NOT_TABLES),
    *((f"spawn after {each!r}", _spawns(after=each)) for each in NOT_LISTS),
    *((f"spawn after_any {each!r}", _spawns(after_any=each)) for each in NOT_LISTS),
    *((f"spawn collect {each!r}", _spawns(collect=each)) for each in NOT_LISTS),
    *((f"spawn not_before {each!r}", _spawns(not_before=each)) for each in (*NOT_NUMBERS, math.inf)),
    *((f"get {each!r}", lambda mesh, each=each: mesh.get(each)) for each in (*NOT_TEXTS, None)),
    *((f"ticket {each!r}", lambda mesh, each=each: mesh.ticket(each)) for each in (*NOT_TEXTS, None)),
    *((f"spawns states {each!r}", lambda mesh, each=each: mesh.spawns(states=each)) for each in NOT_LISTS),
    *((f"spawns labels {each!r}", lambda mesh, each=each: mesh.spawns(labels=each)) for each in NOT_TABLES),
    *((f"spawns name {each!r}", lambda mesh, each=each: mesh.spawns(name=each)) for each in NOT_TEXTS),
    *((f"spawns limit {each!r}", lambda mesh, each=each: mesh.spawns(limit=each)) for each in NOT_WHOLE),
    *((f"call {each!r}", lambda mesh, each=each: mesh.begin("x", each, broker="vps")) for each in NOT_TABLES),
    *((f"events {each!r}", lambda mesh, each=each: _of_all(mesh.events(since=each))) for each in NOT_WHOLE),
    *((f"kinds {each!r}", lambda mesh, each=each: _of_all(mesh.events(0, each))) for each in NOT_LISTS),
]


async def test_what_has_another_type_is_refused_in_words(two: Scene) -> None:
    async with relay.connect(two.laptop.home) as mesh:
        for what, ask in CASES:
            with pytest.raises(relay.RelayError) as refused:
                await ask(mesh)
            assert refused.value.message and refused.value.hint, what
        spawn = await mesh.spawn("-", "shell", "true", cwd="new", operation="Nightly:1")  # no letters for a name
        odd: Any
        for odd in NOT_NUMBERS:
            for wait in (spawn.wait, spawn.decided):
                with pytest.raises(relay.RelayError, match="the timeout cannot be used"):
                    await wait(odd)
        with pytest.raises(relay.RelayError, match="the tail cannot be used"):
            await _of_all(spawn.logs(tail="x"))  # type: ignore[arg-type]
        assert (await spawn.wait(30)).ok
        assert "it is a JSON object, and not of the type int" in str((await _refused(mesh)).why)


async def _refused(mesh: Mesh) -> relay.RelayError:
    with pytest.raises(relay.RelayError) as refused:
        await mesh.spawn("-", "shell", "true", cwd="new", labels=5)  # type: ignore[arg-type]
    return refused.value


async def test_who_serves_and_connects_is_told_as_well(two: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.library.runners.DECLARED", {})

    async def served(number: int) -> None: ...

    runner = relay.runner("served.odd")(served)
    odd: Any
    for odd in (5, b"x", object(), HALF, "a\0b"):
        with pytest.raises(relay.RelayError):
            async with relay.connect(odd):
                pass
    with pytest.raises(relay.RelayError, match="the patience cannot be used"):
        async with relay.connect(two.laptop.home, patience="x"):  # type: ignore[arg-type]
            pass
    for odd in (5, None, served):
        with pytest.raises(relay.RelayError, match="what is to be served"):
            await relay.serve(odd, home=two.laptop.home)
    with pytest.raises(relay.RelayError, match="the title cannot be used"):
        await relay.serve(runner, home=two.laptop.home, title=5)  # type: ignore[arg-type]
    for odd in ({"description": 5}, {"schema": {"type": "object", "required": ["number"], "default": object()}}):
        with pytest.raises(relay.RelayError):
            relay.runner("served.odd", **odd)(served)
