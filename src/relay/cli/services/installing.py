"""Installs a service and takes it away; what cannot be finished is taken back."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from relay.api import config, routes
from relay.api.client import Client, not_set_up
from relay.api.service.definition import MODULE, Definition
from relay.cli import programs
from relay.cli.services.launchd import Launchd
from relay.cli.services.seam import Manager, has
from relay.cli.services.systemd import Systemd
from relay.cli.stopping import stop_broker
from relay.core.errors import Code, LocalFault, RelayError, Unreachable
from relay.trust.keyfile import replace_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from relay.api.home import Home
    from relay.api.shapes import Status

TRIAL_S = 30.0
ANSWERS_S, LOOK_S = 90.0, 0.1


@dataclass(slots=True)
class Installed:
    """What `install` came to.

    Attributes:
        pid: the service's broker.
        updated: whether there was a service before.
        took_over: the pid of a broker that ran outside of the service and was stopped, or None.
        lingers: as `Manager.lingers`.
    """

    pid: int = 0
    updated: bool = False
    took_over: int | None = None
    lingers: bool | None = None
    _before: bytes | None = field(default=None, repr=False)


def manager_of(home: Home) -> Manager:
    """This system's service manager."""
    if has("launchctl") and not has("systemctl"):
        return Launchd(home)
    return Systemd(home)


def defined(home: Home, manager: Manager, path: str) -> Definition:
    """The service of a home with this relay and this PATH.

    Raises:
        LocalFault: the manager cannot run it.
    """
    made = Definition(home.path, os.path.abspath(sys.executable), path)
    why = manager.fault(made)
    if why:
        hint = "keep relay and its home where paths are plain"
        raise LocalFault("this home cannot be a service", code=Code.SERVICE_FAILED, why=why, hint=hint)
    return made


def require_ready(home: Home, manager: Manager) -> None:
    """Make sure that there is a sound home, a manager, and nothing in the way.

    Raises:
        RelayError: what is the matter.
    """
    if not home.is_set_up:
        raise not_set_up(home)
    config.load(home)
    manager.check()
    manager.place.installed()


def install(home: Home, manager: Manager, definition: Definition) -> Installed:
    """Write it, have it started from now on, start it, and wait until its broker answers.

    Raises:
        RelayError: why that did not come about; everything is as it was before.
    """
    trouble = would_fail(definition)
    if trouble:
        hint = "install relay into a virtual environment of its own, and type this with the relay in there"
        raise LocalFault("the service's broker would not start", code=Code.SERVICE_FAILED, why=trouble, hint=hint)
    done = Installed(_before=manager.place.content())
    done.updated = done._before is not None
    with _taken_back(home, manager, done):
        _write(manager, manager.text(definition))
        manager.load()
        manager.enable()
        _stop_what_runs_outside(home, manager, done)
        manager.start()
        done.pid = _answering(home, manager)
    done.lingers = manager.lingers()
    if done.lingers is not True and manager.linger():
        done.lingers = True
    return done


def uninstall(home: Home, manager: Manager) -> bool:
    """Stop it, disable it, remove it; whether there was one. The home stays.

    Raises:
        RelayError: nothing was removed.
    """
    if manager.place.installed() is None:
        return False
    manager.check()
    manager.remove()
    os.unlink(manager.place.file)
    manager.forget()
    return True


def would_fail(definition: Definition) -> str:
    """Why the service's program cannot start, or an empty text: it is started, and asked for its usage alone."""
    words = (*definition.words[:4], "--help")
    environment = {"PATH": definition.path, "HOME": os.path.expanduser("~")}
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TRIAL_S,
            check=False,
            env=environment,
            cwd="/",
        )
    except OSError as error:
        return f"{definition.python}: {error.strerror}"
    except subprocess.TimeoutExpired:
        return f"{definition.python} -m {MODULE} did not start within {TRIAL_S:.0f} s"
    last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2][:300]
    return f"{definition.python} -m {MODULE} ends with exit status {done.returncode}: {last}" if done.returncode else ""


def answer(home: Home) -> Status | None:
    """How the home's broker is, or None where none answers."""
    client = Client(home)
    try:
        return client.ask(routes.status())
    except RelayError as fault:
        if isinstance(fault, Unreachable) or fault.code is Code.NOT_SET_UP:
            return None
        raise
    finally:
        client.close()


def _write(manager: Manager, text: bytes) -> None:
    file = Path(manager.place.file)
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_private(file, text, Code.SERVICE_FAILED)


@contextlib.contextmanager
def _taken_back(home: Home, manager: Manager, done: Installed) -> Iterator[None]:
    try:
        yield
    except BaseException as fault:
        trouble = _tried(lambda: _take_back(manager, done._before))
        if done.took_over is not None:
            trouble += _tried(lambda: programs.start(home))
        if trouble and isinstance(fault, RelayError):
            fault.why = "; ".join(filter(None, (fault.why, "and it could not be taken back", *trouble)))
        raise


def _tried(act: Callable[[], object]) -> list[str]:
    try:
        act()
    except RelayError as fault:
        return [f"{fault.message}: {fault.why}"]
    except OSError as fault:
        return [str(fault)]
    return []


def _take_back(manager: Manager, before: bytes | None) -> None:
    if before is None:
        with contextlib.suppress(RelayError):
            manager.remove()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(manager.place.file)
        manager.forget()
    else:
        _write(manager, before)
        manager.load()
        manager.start()


def _stop_what_runs_outside(home: Home, manager: Manager, done: Installed) -> None:
    running = answer(home)
    if running is not None and running["pid"] != manager.state().pid:
        # noted first: should the stop be cut off, the broker is started again
        done.took_over = running["pid"]
        stop_broker(home)


def _answering(home: Home, manager: Manager) -> int:
    until = time.monotonic() + ANSWERS_S
    while time.monotonic() < until:
        running, state = answer(home), manager.state()
        if running is not None and running["pid"] == state.pid:
            return running["pid"]
        if state.failing:
            break
        time.sleep(LOOK_S)
    why = programs.last_line(home)
    hint = f"{home.command('up')}   (shows what is wrong; then install again), or: {manager.journal()}"
    raise LocalFault(
        "the service's broker does not start; everything is as it was before",
        code=Code.SERVICE_FAILED,
        why=f"the last line of {home.log}: {why}" if why else "",
        hint=hint,
    )
