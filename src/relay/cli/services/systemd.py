"""A user service of systemd, reached by `systemctl --user` and `loginctl`."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING

from relay.api.home import Home
from relay.api.service import systemd as units
from relay.api.service.installed import systemd_place
from relay.cli.services.seam import Done, State, failed, has, no_manager, run
from relay.core.errors import Code, LocalFault

if TYPE_CHECKING:
    from relay.api.service.definition import Definition

RUNTIME = "XDG_RUNTIME_DIR"
SHOWN = "LoadState,FragmentPath,UnitFileState,ActiveState,SubState,MainPID"


class Systemd:
    """The manager that systemd runs for each user."""

    def __init__(self, home: Home) -> None:
        self.place = systemd_place(home)
        self._home = home
        self._user = pwd.getpwuid(os.getuid()).pw_name
        self._extra = _runtime_folder()

    def check(self) -> None:
        if not has("systemctl"):
            raise no_manager("this machine has neither systemd nor launchd: there is no systemctl", self._by_hand())
        done = self._ask("show", "--property=Version")
        if done.status:
            raise self._unreachable(done)

    def _unreachable(self, done: Done) -> LocalFault:
        if not os.path.isdir("/run/systemd/system"):
            why = "systemd does not run this machine (a container, or another init)"
            return no_manager(f"{why}: {done.said}", self._by_hand())
        if RUNTIME not in os.environ and not self._extra:
            why = f"your user has no systemd of its own: {RUNTIME} is not set, as after `su` or `sudo`"
        else:
            why = "the systemd of your user does not answer"
        again = self._home.command("service install")
        return no_manager(f"{why}: {done.said}", f"{self.linger_command()}; then: {again}")

    def _by_hand(self) -> str:
        up = self._home.command("up --detach")
        return f"{up}   (and have what starts this machine's programs type it after a reboot, such as cron's @reboot)"

    def fault(self, definition: Definition) -> str:
        return units.fault(definition)

    def text(self, definition: Definition) -> bytes:
        return units.unit_text(definition).encode()

    def load(self) -> None:
        self._must("this machine's systemd does not read its units anew", "daemon-reload")
        found = self._shown()
        file, state = found.get("FragmentPath", ""), found.get("LoadState", "")
        if state == "masked":
            raise self._not_taken("it is masked", f"systemctl --user unmask {self.place.name}")
        if state != "loaded" or os.path.realpath(file) != os.path.realpath(self.place.file):
            why = f"it says {state or 'nothing'}" + (f", and reads {file}" if file else "")
            raise self._not_taken(why, f"systemctl --user status {self.place.name}")

    def _not_taken(self, why: str, hint: str) -> LocalFault:
        message = f"systemd does not take {self.place.file}"
        return LocalFault(message, code=Code.SERVICE_FAILED, why=why, hint=hint)

    def enable(self) -> None:
        self._must(f"{self.place.name} cannot be enabled", "enable", self.place.name)

    def start(self) -> None:
        self._ask("reset-failed", self.place.name)  # starts that failed before must not count against this one
        self._must(f"{self.place.name} cannot be started", "restart", self.place.name)

    def remove(self) -> None:
        self._must(f"{self.place.name} cannot be stopped and disabled", "disable", "--now", self.place.name)

    def forget(self) -> None:
        self._ask("daemon-reload")
        self._ask("reset-failed", self.place.name)

    def state(self) -> State:
        found = self._shown()
        if not found:
            return State(None, None, None, False)
        active, pid = found.get("ActiveState"), found.get("MainPID", "")
        failing = active in ("failed", "inactive") or found.get("SubState") == "auto-restart"
        return State(found.get("UnitFileState") == "enabled", active, _pid(pid), failing)

    def lingers(self) -> bool | None:
        done = run(("loginctl", "show-user", self._user, "--property=Linger"), self._extra)
        told = done.out.strip() if done.status == 0 else ""
        return {"Linger=yes": True, "Linger=no": False}.get(told)

    def linger(self) -> bool:
        done = run(("loginctl", "--no-ask-password", "enable-linger", self._user), self._extra)
        return done.status == 0 and self.lingers() is not False

    def linger_command(self) -> str:
        return f"sudo loginctl enable-linger {self._user}"

    def journal(self) -> str:
        return f"journalctl --user -u {self.place.name} -n 20"

    def _shown(self) -> dict[str, str]:
        done = self._ask("show", self.place.name, f"--property={SHOWN}")
        pairs = (line.partition("=") for line in done.out.splitlines() if "=" in line)
        return {name: value for name, _, value in pairs} if done.status == 0 else {}

    def _must(self, message: str, *words: str) -> None:
        done = self._ask(*words)
        if done.status:
            raise failed(done, ("systemctl", "--user", *words), message, self.journal())

    def _ask(self, *words: str) -> Done:
        return run(("systemctl", "--user", "--no-ask-password", *words), self._extra)


def _pid(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and text != "0" else None


def _runtime_folder() -> dict[str, str]:
    """Where the user's manager is, for a login that was not told: after `su` it is there all the same."""
    usual = f"/run/user/{os.getuid()}"
    if RUNTIME in os.environ or not os.path.isdir(usual) or os.stat(usual).st_uid != os.getuid():
        return {}
    return {RUNTIME: usual}
