"""A node that shares the scripted server, and what is seen of it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import psutil

from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.e2e.scene import relay, relay_json

SCRIPT = str(Path(__file__).with_name("scripted.py"))
WITHIN = 30.0


def command(folder: Path, *more: str) -> str:
    """The command line of a scripted server."""
    return " ".join([sys.executable, SCRIPT, str(folder), *more])


def share(node: Node, name: str, folder: Path, *options: str, more: tuple[str, ...] = (), **settings: Any) -> Any:
    """Share such a server; the share once it runs."""
    words = ("tools", "share", name, "--mcp", command(folder, *more), *options)
    done = relay(node, *words, **settings)
    assert done.returncode == 0, done.stderr.decode()
    return until_runs(node, name)


def share_of(node: Node, name: str) -> dict[str, Any]:
    """How a share stands."""
    with node.control() as control:
        found: dict[str, Any] = next(each for each in control.get("shares") if each["name"] == name)
    return found


def until_runs(node: Node, name: str) -> dict[str, Any]:
    """The share once its server runs, and the broker has its tools."""

    def runs() -> bool:
        found = share_of(node, name)
        return bool(found["running"] and found["tools"])

    wait_until(runs, WITHIN, f"{name} to run")
    return share_of(node, name)


def call(node: Node, tool: str, status: int | None = 0, **arguments: Any) -> dict[str, Any]:
    """The document of a call that has ended."""
    document: dict[str, Any] = relay_json(node, "tools", "call", tool, json.dumps(arguments), status=status)
    return document


def begin(node: Node, tool: str, **arguments: Any) -> str:
    """Begin a call; its id."""
    with node.control() as control:
        return str(control.post("calls", {"tool": tool, "arguments": arguments})["id"])


def shown(node: Node, call_id: str) -> dict[str, Any]:
    """How a call stands."""
    with node.control() as control:
        found: dict[str, Any] = control.get(f"calls/{call_id}")
    return found


def until(node: Node, call_id: str, *states: str) -> dict[str, Any]:
    """A call once it is in one of these states."""
    wait_until(lambda: shown(node, call_id)["state"] in states, WITHIN, f"{call_id} to be {states}")
    return shown(node, call_id)


def seen(folder: Path, begins: str) -> list[str]:
    """What the scripted servers of a folder have noted."""
    try:
        lines = (folder / "seen").read_text().splitlines()
    except FileNotFoundError:
        return []
    return [line for line in lines if line.startswith(begins)]


def processes_of(node: Node) -> list[psutil.Process]:
    """The host of a node's shares, its keepers, and all that its servers have started."""
    found = []
    for process in psutil.process_iter():
        words = words_of(process)
        try:
            marks = process.environ()
        except (psutil.Error, OSError):
            marks = {}
        is_host = "relay.mcp_server.host" in words and str(node.home) in words
        if is_host or marks.get("RELAY_SHARE_OF") == str(node.home):
            found.append(process)
    return found


def words_of(process: psutil.Process) -> list[str]:
    """The command line of a process; none of one that is gone meanwhile."""
    try:
        return process.cmdline()
    except (psutil.Error, OSError):
        return []


def host_of(node: Node) -> psutil.Process:
    """The process of the host."""
    pid = int((node.home / "tools" / "host.lock").read_text().split()[0])
    return psutil.Process(pid)


def is_gone(pid: int) -> bool:
    """Whether no living process has this pid."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return not os.path.exists(f"/proc/{pid}")
