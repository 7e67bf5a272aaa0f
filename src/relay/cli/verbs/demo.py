"""`relay demo`: two brokers on this machine, paired; one is refused, then allowed to run work for the other."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

from relay.cli import demo_mesh, demo_steps, speech
from relay.core.errors import RelayError

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.cli.demo_mesh import Mesh
    from relay.cli.invocation import Invocation

INTERRUPTED = 130


class Clock:
    """Tells each step and keeps what it took."""

    def __init__(self, silent: bool) -> None:
        self.silent = silent
        self.took: list[tuple[str, float]] = []

    def step(self, about: str, act: Callable[[], Any]) -> Any:
        """Do one step, told before and measured."""
        self.tell(f"\n{speech.coloured(about, speech.BOLD)}")
        began = time.perf_counter()
        try:
            return act()
        finally:
            self.took.append((about, time.perf_counter() - began))

    def tell(self, line: str) -> None:
        """A line for people, out at once."""
        if not self.silent:
            speech.say(line)
            speech.flush()

    def sum_up(self) -> None:
        """The time of each step."""
        self.tell("\nIt took:")
        for about, seconds in [*self.took, ("all of it", sum(seconds for _, seconds in self.took))]:
            self.tell(f"  {seconds * 1000:7.0f} ms  {about}")


def run(invocation: Invocation, *, keep: bool) -> int:
    """Show it; leave nothing behind unless told to keep it."""
    for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(each, _interrupt)
    clock = Clock(invocation.json)
    mesh = demo_mesh.Mesh()
    kept = False
    try:
        demo_steps.play(mesh, clock.step, clock.tell)
        kept = keep
    except KeyboardInterrupt:
        speech.note("\nstopping both brokers")
        return INTERRUPTED
    except RelayError as fault:
        if mesh.folder in fault.hint:
            fault.hint = "relay doctor"  # the folder it names is gone by then
        raise
    finally:
        if not kept:
            demo_mesh.end_undisturbed(mesh)
    _sum_up(invocation, mesh, clock, kept)
    return 0


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _sum_up(invocation: Invocation, mesh: Mesh, clock: Clock, kept: bool) -> None:
    if invocation.json:
        steps = [{"step": about, "ms": round(seconds * 1000, 1)} for about, seconds in clock.took]
        speech.document({"ok": True, "kept": mesh.folder if kept else None, "steps": steps})
        return
    clock.sum_up()
    clock.tell("\nBoth brokers are still running. Try:" if kept else "\nBoth brokers are stopped; nothing was left.")
    for line in demo_steps.to_try(mesh) if kept else ("relay init && relay up --detach", "relay invite --link"):
        clock.tell(f"  {line}")
