"""`relay doctor`."""

from __future__ import annotations

import json
import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from relay.api import config, modes, roster, routes
from relay.cli import progress, speech
from relay.cli.clean import clean
from relay.cli.hints import for_home
from relay.cli.services import looking
from relay.core.errors import RelayError
from relay.trust import grants

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.api.home import Home
    from relay.api.shapes import Check
    from relay.cli.invocation import Invocation

WRONG = 1
AGENTS_S = 60.0


def run(invocation: Invocation) -> int:
    """Examine the home's files and, where it runs, let the broker examine itself."""
    home = invocation.home
    checks = [_python(), _set_up(home)]
    if _can_be_looked_into(home):
        own = [*map(_key, (home.identity_key, home.workspace_key)), _modes(home), *_files(home)]
        said = _broker(invocation)
        names = {each["name"] for each in said}
        checks += [*(each for each in own if each["name"] not in names), *said, *_service(home)]
    if invocation.json:
        speech.document(checks)
    else:
        column = max(len(each["name"]) for each in checks)
        for each in checks:
            _say(each, column, home)
    return 0 if all(each["ok"] for each in checks) else WRONG


def _say(check: Check, column: int, home: Home) -> None:
    word = speech.coloured("ok   ", speech.GREEN) if check["ok"] else speech.coloured("WRONG", speech.RED)
    speech.say(f"{word}  {check['name']:<{column}}  {clean(check['detail'])}")
    if not check["ok"] and check["hint"]:
        speech.say(f"       {'':<{column}}  try: {clean(for_home(check['hint'], home))}")


def _check(name: str, ok: bool, detail: str, hint: str = "") -> Check:
    return {"name": name, "ok": ok, "detail": detail, "hint": hint}


def _python() -> Check:
    return _check("python", sys.version_info >= (3, 11), sys.version.split()[0], "install Python 3.11 or later")


def _can_be_looked_into(home: Home) -> bool:
    try:
        return home.is_set_up
    except RelayError:
        return False


def _set_up(home: Home) -> Check:
    try:
        if not home.is_set_up:
            return _check("home", False, f"{home.path} holds no broker", home.command("init"))
    except RelayError as fault:
        return _check("home", False, f"{fault.message}: {fault.why}", fault.hint)
    if not os.access(home.path, os.W_OK):
        hint = f"ls -ld {shlex.quote(home.path)}; and see whether that file system is mounted to be read only"
        return _check("home", False, f"{home.path} cannot be written: no broker can run on it", hint)
    mode = stat.S_IMODE(os.stat(home.path).st_mode)
    return _check("home", not mode & 0o077, f"{home.path}, mode {mode:04o}", f"chmod 700 {home.path}")


def _key(path: str) -> Check:
    name = f"mode of {os.path.basename(path)}"
    if not os.path.exists(path):
        return _check(name, False, f"{path} is missing", "restore it from a backup")
    mode = stat.S_IMODE(os.stat(path).st_mode)
    return _check(name, not mode & 0o077, f"{mode:o}", f"chmod 600 {path}")


def _modes(home: Home) -> Check:
    detail, hint = modes.told(home.path)
    return _check("files", not hint, detail, hint)


def _files(home: Home) -> list[Check]:
    return [
        _readable("config.toml", lambda: config.load(home)),
        _readable("trust.toml", lambda: grants.load(Path(home.trust))),
        _readable("roster.json", lambda: roster.members(home)),
    ]


def _readable(name: str, read: Callable[[], object]) -> Check:
    try:
        found = read()
    except RelayError as fault:
        return _check(name, False, f"{fault.message}: {fault.why}", fault.hint)
    return _check(name, True, f"{len(found)} entries" if isinstance(found, list | dict) else "can be read")


def _broker(invocation: Invocation) -> list[Check]:
    try:
        return invocation.client().ask(routes.doctor())
    except RelayError as fault:
        with progress.Shown("looking at the agents of this machine", quiet=invocation.json):
            agents = _agents(invocation.home)
        return [_check("broker", False, fault.message, fault.hint), *agents]


def _agents(home: Home) -> list[Check]:
    """The agents, examined by a program of their own room: a command does not know them."""
    words = [sys.executable, "-P", "-m", "relay.spawn.agents.probing", "--home", home.path]
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=AGENTS_S, check=True)
        found: list[Check] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as fault:
        return [_check("agents", False, f"they cannot be examined: {type(fault).__name__}", home.command("up"))]
    return found


def _service(home: Home) -> list[Check]:
    try:
        found = looking.look(home)
    except RelayError as fault:
        return [_check("service", False, f"{fault.message}: {fault.why}", fault.hint)]
    if not found["installed"]:
        hint = home.command("service install")
        return [_check("service", True, f"none: after a reboot nothing starts this broker ({hint})")]
    wrong = [_check("service", False, each["text"], each["hint"]) for each in found["problems"]]
    return wrong or [_check("service", True, f"{found['name']}, {found['active']}")]
