"""The demo's two brokers: their folders, their programs, and how nothing of them is left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
import time
from typing import TYPE_CHECKING

from relay.api import routes, settings
from relay.api.client import Client
from relay.api.home import Home
from relay.cli import naming, programs
from relay.cli.spawn_lines import has_ended
from relay.core.errors import RelayError
from relay.trust import founding, joining

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relay.cli.programs import Program

ANY_PORT = "127.0.0.1:0"
STOPPING_S = 3.0


class Mesh:
    """A scratch folder with the homes of `laptop` and `vps`.

    Attributes:
        folder: holds everything; short, so that sockets fit in it.
        work: the folder on `vps` that work may be done in.
    """

    def __init__(self) -> None:
        self.folder = os.path.realpath(tempfile.mkdtemp(prefix="relay-demo-"))
        self.laptop = Home(os.path.join(self.folder, "laptop"))
        self.vps = Home(os.path.join(self.folder, "vps"))
        self.work = os.path.join(self.folder, "work")
        os.mkdir(self.work)
        self.running: list[tuple[Home, Program]] = []

    def start_laptop(self) -> str:
        """Set up the first broker and start it; returns where it listens."""
        founding.found(self.laptop, "laptop", naming.now())
        naming.write_settings(self.laptop, "laptop", [ANY_PORT])
        return self._start(self.laptop)

    def join_vps(self, link: str) -> str:
        """Let the second broker join by a link and start it; returns where it listens."""
        asyncio.run(joining.join_by_link(self.vps, link, "vps", ()))
        naming.write_settings(self.vps, "vps", [ANY_PORT])
        return self._start(self.vps)

    def _start(self, home: Home) -> str:
        for source in ("mdns", "tailscale"):
            settings.set_value(home, source, ["false"])  # a show of two folders is nobody else's business
        program = programs.start(home)
        self.running.append((home, program))
        return ", ".join(program.listen)

    def end(self) -> None:
        """Stop what runs, then both brokers, then remove the folder."""
        for home, _ in self.running:
            with contextlib.suppress(RelayError, OSError):
                _stop_spawns(home)
        while self.running:
            self.running.pop()[1].end()
        shutil.rmtree(self.folder, ignore_errors=True)


def _stop_spawns(home: Home) -> None:
    """Tasks outlive their broker by design, so that they are ended before it."""
    until = time.monotonic() + STOPPING_S
    with Client(home) as client:
        going = [each for each in client.ask(routes.spawns()) if not has_ended(each)]
        for spawn in going:
            client.ask(routes.stop(spawn["id"]))
        for spawn in going:
            client.ask(routes.wait(spawn["id"], max(0.0, until - time.monotonic())))


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C must not leave half of it running."""
    ours = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    before = {each: signal.signal(each, signal.SIG_IGN) for each in ours}
    try:
        yield
    finally:
        for each, action in before.items():
            signal.signal(each, action)


def end_undisturbed(mesh: Mesh) -> None:
    """End the mesh, whatever is pressed meanwhile."""
    with _undisturbed():
        mesh.end()
