"""Network namespaces with the pid of the run in their names, and the removal of what a killed run left."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil

from relay.spawn.shim.processes import ticks
from relay.testing import processes

FOLDER = Path("/run/netns")
GONE_WITHIN = 5.0
_NAME = re.compile(r"relaytest-(?P<pid>[0-9]+)-(?P<began>[0-9]+)-[0-9]+-[a-z0-9-]+\Z")
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_numbers = itertools.count(1)


class NetworkFailed(Exception):
    """A command that makes networks ended with an error; its words are the message."""


def program(name: str) -> str | None:
    """Where `ip`, `tc` or `nft` stands, /usr/sbin looked through too; None where it is not installed."""
    return shutil.which(name, path=_PATH)


def run(*words: str, given: str = "") -> str:
    """Run a command to its end; what it printed.

    Args:
        words: its name and arguments.
        given: its input.

    Raises:
        NetworkFailed: it is missing, or exited with another status than 0.
    """
    found = program(words[0])
    if found is None:
        raise NetworkFailed(f"{words[0]} is not installed")
    done = subprocess.run([found, *words[1:]], input=given, capture_output=True, text=True, timeout=20, check=False)
    if done.returncode:
        raise NetworkFailed(f"{' '.join(words)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def ip(namespace: str, *words: str) -> str:
    """`ip WORDS` in a namespace."""
    return run("ip", "-n", namespace, *words)


def inside(namespace: str, *words: str) -> tuple[str, ...]:
    """The command that runs a command in a namespace; it keeps its pid and its open files."""
    return (program("ip") or "ip", "netns", "exec", namespace, *words)


def allow(namespace: str, setting: str) -> None:
    """Set a switch below `net.ipv4` to 1 in a namespace."""
    run("ip", "netns", "exec", namespace, "sh", "-c", f"echo 1 > /proc/sys/net/ipv4/{setting}")


class Namespaces:
    """The namespaces of one test. Several may stand beside one another in one run."""

    def __init__(self) -> None:
        pid = os.getpid()
        self.prefix = f"relaytest-{pid}-{ticks(pid)}-{next(_numbers)}-"

    def make(self, name: str) -> str:
        """A new namespace with its loopback up; its full name.

        Raises:
            NetworkFailed: this machine does not let us.
        """
        full = self.prefix + name
        run("ip", "netns", "add", full)
        ip(full, "link", "set", "lo", "up")
        return full

    def close(self) -> None:
        """Remove them all, and all that is in them."""
        for name in standing():
            if name.startswith(self.prefix):
                remove(name)


def standing() -> list[str]:
    """The namespaces of this machine whose names are of our form."""
    return sorted(each.name for each in FOLDER.glob("relaytest-*") if _NAME.match(each.name))


def remove(name: str) -> None:
    """End what runs in a namespace, by pid, and delete it."""
    with suppress(NetworkFailed):
        left = {int(pid) for pid in run("ip", "netns", "pids", name).split()} - {os.getpid()}
        for pid in left:
            with suppress(psutil.Error):
                processes.kill(psutil.Process(pid))
        run("ip", "netns", "delete", name)


def remove_leftovers() -> list[str]:
    """Remove the namespaces of runs that ended without removing them; their names."""
    dead = [name for name in standing() if not _is_alive(name)]
    for name in dead:
        remove(name)
    return dead


def _is_alive(name: str) -> bool:
    match = _NAME.match(name)
    assert match is not None
    # a pid may have been given to another process since; told by ticks, as a moment moves when the clock is set
    return ticks(int(match["pid"])) == int(match["began"])


def await_gone(prefix: str) -> None:
    """Wait until no namespace of this prefix is left.

    Raises:
        TimeoutError: one is there 5 s later.
    """
    began = time.monotonic()
    while any(name.startswith(prefix) for name in standing()):
        if time.monotonic() - began > GONE_WITHIN:
            raise TimeoutError(f"namespaces {prefix}* are not gone after {GONE_WITHIN:g} s")
        time.sleep(0.05)
