"""A launchd agent, reached by `launchctl`."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING

from relay.api.home import Home
from relay.api.service import launchd as plists
from relay.api.service.installed import launchd_place
from relay.cli.services.seam import Done, State, failed, has, no_manager, run

if TYPE_CHECKING:
    from relay.api.service.definition import Definition

GONE_S, LOOK_S = 40.0, 0.1
# of the service itself, which stands one tab in; what it belongs to has states of its own, further in
_FACT = re.compile(r"^\t(pid|state|last exit code) = (.+?)\s*$", re.M)


class Launchd:
    """The launchd that runs what belongs to a user who is logged in."""

    def __init__(self, home: Home) -> None:
        self.place = launchd_place(home)
        self._home = home
        self._domain = f"gui/{os.getuid()}"
        self._target = f"{self._domain}/{self.place.name}"

    def check(self) -> None:
        if not has("launchctl"):
            raise no_manager("there is no launchctl on this machine", self._home.command("up --detach"))
        done = run(("launchctl", "print", self._domain))
        if done.status:
            hint = f"log in at this Mac's own screen, then: {self._home.command('service install')}"
            raise no_manager(f"nobody of your name is logged in at this Mac's screen: {done.said}", hint)

    def fault(self, definition: Definition) -> str:
        return plists.fault(definition)

    def text(self, definition: Definition) -> bytes:
        return plists.plist(definition)

    def load(self) -> None:
        """Nothing to do: launchd reads the file when the service is started."""
        log = plists.log_path(self._home.path)
        os.close(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))

    def enable(self) -> None:
        self._must(f"{self.place.name} cannot be enabled", "enable", self._target)

    def start(self) -> None:
        self._boot_out()
        self._must(f"{self.place.name} cannot be started", "bootstrap", self._domain, self.place.file)

    def remove(self) -> None:
        self._boot_out()

    def forget(self) -> None:
        """Nothing to do: launchd keeps nothing of a file that is gone."""

    def _boot_out(self) -> None:
        if run(("launchctl", "print", self._target)).status:
            return
        words = ("bootout", self._target)
        done = run(("launchctl", *words))
        until = time.monotonic() + GONE_S
        # it answers before the broker has ended, and a bootstrap meanwhile is refused
        while run(("launchctl", "print", self._target)).status == 0:
            if time.monotonic() > until:
                raise failed(done, ("launchctl", *words), f"{self.place.name} cannot be stopped", self.journal())
            time.sleep(LOOK_S)

    def state(self) -> State:
        done = run(("launchctl", "print", self._target))
        if done.status:
            return State(os.path.exists(self.place.file), "inactive", None, True)
        found = dict(_FACT.findall(done.out))
        pid, word = found.get("pid", ""), found.get("state", "unknown")
        ended = not pid.isdigit() and found.get("last exit code", "(never exited)") != "(never exited)"
        return State(True, "active" if word == "running" else word, int(pid) if pid.isdigit() else None, ended)

    def lingers(self) -> bool | None:
        return None

    def linger(self) -> bool:
        return False

    def linger_command(self) -> str:
        return ""

    def journal(self) -> str:
        return f"tail '{plists.log_path(self._home.path)}'"

    def _must(self, message: str, *words: str) -> Done:
        done = run(("launchctl", *words))
        if done.status:
            raise failed(done, ("launchctl", *words), message, self.journal())
        return done
