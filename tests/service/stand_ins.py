"""Programs that take the place of the system's own on PATH: they record their calls and act out what they are told."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_HEAD = f"""#!{sys.executable} -SE
import json, os, sys
HERE = os.path.dirname(os.path.abspath(__file__))
NAME = os.path.basename(__file__)
words = [each for each in sys.argv[1:] if each not in ("--user", "--no-ask-password")]
with open(HERE + "/calls", "a") as file:
    file.write(json.dumps([NAME, *words]) + "\\n")
with open(HERE + "/plan") as file:
    plan = json.load(file)
def keep():
    with open(HERE + "/plan", "w") as file:
        json.dump(plan, file)
def fail(text, status=1):
    sys.stderr.write(text + "\\n")
    sys.exit(status)
verb = words[0]
if verb in plan["fails"]:
    fail(plan["fails"][verb])
"""

SYSTEMCTL = _HEAD + """
if plan["unreachable"]:
    fail(plan["unreachable"])
unit = os.path.expanduser("~/.config/systemd/user/") + (words[-1] if verb != "show" else words[1])
if words == ["show", "--property=Version"]:
    print("Version=252")
elif verb == "show":
    there = os.path.exists(unit)
    print("LoadState=" + plan.get("load", "loaded" if there else "not-found"))
    print("FragmentPath=" + (plan.get("fragment", unit) if there else ""))
    print("UnitFileState=" + ("enabled" if plan["enabled"] else "disabled"))
    print("ActiveState=" + plan["active"])
    print("SubState=" + plan["sub"])
    print("MainPID=%d" % (plan["pid"] if plan["active"] == "active" else 0))
elif verb == "enable":
    plan["enabled"] = True
elif verb == "restart":
    plan["active"], plan["sub"] = plan["starts_as"]
elif verb == "disable":
    plan["enabled"], plan["active"], plan["sub"] = False, "inactive", "dead"
keep()
"""

LOGINCTL = _HEAD + """
if "enable-linger" in words:
    if plan["linger_refused"]:
        fail("Could not enable linger: Access denied")
    plan["linger"] = True
elif verb == "show-user":
    print("Linger=" + ("yes" if plan["linger"] else "no"))
keep()
"""

LAUNCHCTL = _HEAD + """
target = words[1] if len(words) > 1 else ""
if words == ["print", "gui/%d" % os.getuid()]:
    if plan["unreachable"]:
        fail(plan["unreachable"], 125)
elif verb == "print":
    if not plan["loaded"]:
        fail('Could not find service "%s" in domain for user gui' % target, 113)
    pid = "\\tpid = %d\\n" % plan["pid"] if plan["active"] == "active" else ""
    state = "running" if pid else "spawn scheduled"
    inner = "\\tresource coalition = {\\n\\t\\tstate = active\\n\\t}"
    told = (target, state, pid, plan["last_exit"], inner)
    print("%s = {\\n\\tactive count = 1\\n\\tstate = %s\\n%s\\tlast exit code = %s\\n%s\\n}" % told)
elif verb == "bootstrap":
    plan["loaded"], plan["active"] = True, plan["starts_as"][0]
elif verb == "bootout":
    plan["loaded"] = False
keep()
"""

PROGRAMS = {"systemctl": SYSTEMCTL, "loginctl": LOGINCTL, "launchctl": LAUNCHCTL}
PLAN: dict[str, Any] = {
    "unreachable": "",
    "fails": {},
    "enabled": False,
    "active": "inactive",
    "sub": "dead",
    "starts_as": ["active", "running"],
    "pid": 0,
    "linger": False,
    "linger_refused": False,
    "loaded": False,
    "last_exit": "(never exited)",
}


class StandIns:
    """The stand-ins of one folder.

    Attributes:
        folder: to be the whole PATH.
    """

    def __init__(self, folder: Path, *names: str) -> None:
        self.folder = folder
        folder.mkdir()
        for name in names:
            (folder / name).write_text(PROGRAMS[name])
            (folder / name).chmod(0o755)
        self._write(PLAN)

    def _write(self, plan: dict[str, Any]) -> None:
        (self.folder / "plan").write_text(json.dumps(plan))

    def plan(self, **changes: Any) -> None:
        """What they are to act out from now on."""
        self._write(self.now() | changes)

    def now(self) -> dict[str, Any]:
        """How things stand by what they were asked to do."""
        found: dict[str, Any] = json.loads((self.folder / "plan").read_text())
        return found

    def calls(self, *, asking: bool = False) -> list[str]:
        """What they were called with, a line each; with `asking` also what changes nothing."""
        path = self.folder / "calls"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [" ".join(each) for each in lines if asking or each[1] not in ("show", "show-user", "print")]

    def shell(self, text: str) -> str:
        """A login shell that is this script; its path."""
        path = self.folder / "shell"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)
