"""The daemon: `python -m relay.daemon --home DIR`. It starts the fork server before keys and store are in memory.

With `--ready-fd N` one JSON line is written there: `{"ready": true, "listen": […], "pid": n}`, or the error.
With `--as-service` it ends with exit status 75 when relay was replaced on disk, and is started again as the new one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import gc
import importlib
import json
import logging
import logging.handlers
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from relay import __version__
from relay.api import config as configuration
from relay.api.config import Config
from relay.api.home import Home
from relay.broker.assembly import Running
from relay.broker.broker import Broker
from relay.broker.dashboard_seat import Face
from relay.broker.shortage import Shortage
from relay.broker.taking_in import load_keys
from relay.broker.upgrade import REPLACED, Upgrade
from relay.core.errors import NO_ROOM, Code, LocalFault, RelayError
from relay.spawn.launcher import Launcher
from relay.spawn.shim.kernel import forbid_dumps
from relay.spawn.watch import Watcher

LOG_BYTES, LOG_FILES = 4 * 1024 * 1024, 3
ROOM_EVERY_S = 5.0
DYING_S = 2.0
"""For how long the lock of a broker that was killed may be held by what it was just starting, until that one's exec."""
OPEN_FILES = 8_192  # a link is one; most systems begin with 1,024, or 256
_log = logging.getLogger("relay.daemon")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="relay.daemon", description="Run a broker. People use `relay up`.")
    parser.add_argument("--home")
    parser.add_argument("--ready-fd", type=int)
    parser.add_argument("--as-service", action="store_true", help="make room for a newer relay, once one is installed")
    return parser.parse_args()


def _tell(descriptor: int | None, document: dict[str, Any]) -> None:
    if descriptor is None:
        return
    with contextlib.suppress(OSError), os.fdopen(descriptor, "w") as file:
        file.write(json.dumps(document) + "\n")


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder_is_gone(descriptor: int) -> bool:
    """Whether the broker that wrote its pid into the lock is dead, and only what it was just starting holds it."""
    try:
        os.kill(int(os.pread(descriptor, 32, 0)), 0)
    except (ValueError, OverflowError, PermissionError):
        return False
    except ProcessLookupError:
        return True
    return False


@contextlib.contextmanager
def _only_one(home: Home) -> Iterator[None]:
    """Hold the home's lock, so that one broker at a time runs on it."""
    descriptor = os.open(home.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + DYING_S
    while not _locked(descriptor):
        if time.monotonic() >= until or not _holder_is_gone(descriptor):
            os.close(descriptor)
            raise LocalFault(
                "a broker runs on this home already",
                code=Code.ALREADY_RUNNING,
                why=f"it holds {home.lock}",
                hint=f"{home.command('status')}; to stop it: {home.command('down')}",
            )
        time.sleep(0.01)
    try:
        with contextlib.suppress(OSError):  # a full disk: whoever reads the pid can do without
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


class _PrivateLog(logging.handlers.RotatingFileHandler):
    """A log of mode 0600, also after each rotation."""

    def _open(self) -> TextIOWrapper:
        stream = super()._open()
        os.fchmod(stream.fileno(), 0o600)
        return stream

    def handleError(self, record: logging.LogRecord) -> None:
        """Leave out what cannot be written, as on a full disk: to complain of it would go to the same place."""


def _start_logging(home: Home, config: Config) -> None:
    handler = _PrivateLog(home.log, maxBytes=LOG_BYTES, backupCount=LOG_FILES)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=config.log_level.upper(), handlers=[handler], force=True)
    for noisy in ("uvicorn", "asyncio", "aiosqlite"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _allow_files() -> None:
    """Have room for the links of a large workspace, as far as this user may; tasks keep the limit they are used to."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _run(home: Home, config: Config, ready_fd: int | None, upgrade: Upgrade | None) -> None:
    asyncio.get_running_loop().set_exception_handler(Shortage())
    watcher = Watcher()
    # the fork server first: it keeps this user's limits for tasks
    launcher = Launcher(watcher, Path(home.log))
    await launcher.start()
    _allow_files()
    try:
        again = await _session(home, config, launcher, watcher, ready_fd, upgrade)
        while again:
            config = configuration.load(home)
            again = await _session(home, config, launcher, watcher, None, upgrade)
    finally:
        await launcher.close()
        watcher.close()


def _serve(home: Home, config: Config, ready_fd: int | None, upgrade: Upgrade | None) -> None:
    """Run until told to stop. As a service it waits for room where a full disk does not let it start.

    A service manager gives up after some starts, and nobody would start it once there is room again.
    """
    while True:
        try:
            asyncio.run(_run(home, config, ready_fd, upgrade))
            return
        except LocalFault as fault:
            if upgrade is None or fault.code is not Code.DISK_FULL:
                raise
            _log.error("%s: %s; it starts once there is room", fault.message, fault.why)
        time.sleep(ROOM_EVERY_S)


async def _session(
    home: Home,
    config: Config,
    launcher: Launcher,
    watcher: Watcher,
    ready_fd: int | None,
    upgrade: Upgrade | None,
) -> bool:
    """Run until told to stop; whether to start anew, because the workspace changed."""
    forbid_dumps()  # from here on there are keys in memory
    running = Running(home, config, load_keys(home), __version__, launcher, watcher)
    running.open_face = _open_dashboard
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, running.end.stop)
    await running.start()
    # what was made until now stays: the collector need not look at it again
    gc.freeze()
    _log.info("broker %s listens on %s", running.members.own_name, ", ".join(running.listening))
    _tell(ready_fd, {"ready": True, "listen": list(running.listening), "pid": os.getpid()})
    watching = loop.create_task(upgrade.watch(running.end.stop)) if upgrade else None
    await running.end.asked.wait()
    if watching:
        watching.cancel()
    await running.close("down" if running.end.is_for_good else "starts anew")
    _log.info("broker stopped")
    return not running.end.is_for_good


async def _open_dashboard(broker: Broker, ports: tuple[int, ...]) -> Face:
    """Only now is it loaded: most brokers are never asked for it."""
    listener = await asyncio.to_thread(importlib.import_module, "relay.dashboard.listener")
    opened: Face = await listener.open_listener(broker, ports)
    return opened


def _broken(error: Exception, home: Home) -> LocalFault:
    if isinstance(error, OSError) and str(error.filename).startswith(home.path):
        return LocalFault(
            "a file of this home cannot be used",
            code=Code.DISK_FULL if error.errno in NO_ROOM else Code.STORE_FAULT,
            why=f"{error.filename}: {error.strerror}",
            hint=home.command("doctor"),
        )
    _log.exception("the broker could not go on")
    return LocalFault(
        "the broker met a fault of its own",
        code=Code.INTERNAL,
        why=f"{type(error).__name__}: {error}"[:300],
        hint="its log says more: broker.log in the home folder",
    )


def main() -> int:
    """Run a broker until SIGTERM; its exit status."""
    arguments = _arguments()
    upgrade = Upgrade() if arguments.as_service else None
    home = Home(arguments.home)
    try:
        if not home.is_set_up:
            raise LocalFault(
                "nothing is set up here", code=Code.NOT_SET_UP, why=f"{home.path} has no identity", hint="relay init"
            )
        config = configuration.load(home)
        os.makedirs(home.attempts, mode=0o700, exist_ok=True)
        with _only_one(home):
            _start_logging(home, config)
            _serve(home, config, arguments.ready_fd, upgrade)
    except RelayError as error:
        return _failed(arguments.ready_fd, error)
    except Exception as error:
        return _failed(arguments.ready_fd, _broken(error, home))
    return REPLACED if upgrade and upgrade.found else 0


def _failed(ready_fd: int | None, error: RelayError) -> int:
    _log.error("%s: %s", error.message, error.why)
    _tell(ready_fd, {"error": error.to_json()})
    sys.stderr.write(f"error: {error.message}\nwhy: {error.why}\ntry: {error.hint}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
