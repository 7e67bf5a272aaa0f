"""What tests of the queue ask of its scene, which is two brokers."""

from __future__ import annotations

from contextlib import suppress

from relay.testing import processes
from relay.testing.control import ControlError
from relay.testing.node import Node
from tests.e2e.scene import Scene, fresh, relay


def reason(scene: Scene, spawn: str, on: Node | None = None) -> str:
    """Why it waits, as a broker says; vps where no other is meant."""
    with suppress(ControlError):  # it has been asked for, and is not there yet
        return str(scene.show(spawn, on or scene.vps)["reason"])
    return ""


def says(scene: Scene, spawn: str, text: str, on: Node | None = None) -> None:
    """Wait until that is in why it waits."""
    processes.wait_until(lambda: text in reason(scene, spawn, on), 20, f"{spawn} to say {text!r}")


def held_up(scene: Scene, options: tuple[str, ...] = (), script: str = "sleep 80") -> str:
    """A spawn that runs until it is stopped."""
    spawn = scene.begin(script, *options)
    scene.until(spawn, "running")
    return spawn


def is_tried(scene: Scene, script: str, *options: str) -> str:
    """A spawn whose first attempt has ended and whose second one waits, until the queue is opened again."""
    go = scene.vps.work / fresh("go")
    spawn = held_up(scene, options, f"until [ -e {go} ]; do sleep 0.02; done; {script}")
    relay(scene.vps, "queue", "pause")  # the first pause is of one second, which may be over before anybody looks
    go.touch()
    scene.until(spawn, "waiting")
    return spawn
