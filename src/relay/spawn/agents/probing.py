"""What a broker's tasks would find of each agent: its program, its version, and whether somebody is logged in to it.

The broker examines itself by this. Where none runs, `relay doctor` starts it as a program of its own:
`python -m relay.spawn.agents.probing --home DIR` prints the findings as JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from relay.api import config
from relay.api.home import Home
from relay.api.service import installed
from relay.core.errors import RelayError
from relay.core.values import frozen
from relay.spawn.agents.agent import Agent, Probe
from relay.spawn.agents.registry import Agents
from relay.spawn.environment import task_environment

PROBE_S = 10.0
MAX_SAID = 64 * 1024
AT_ONCE = 4
LOOK_UP_S = 0.25
ENDS_S = 1.0
"""How long a program that has said all may take to end by itself."""
GivenUp = Callable[[], bool]
SHELL = "/bin/sh"
LOGIN_WORDS = {True: "logged in", False: "NOT logged in", None: "nobody can say whether it is logged in"}
_VERSION = re.compile(r"\d+(?:\.\d+)+")


@frozen
class Sight:
    """What tasks find in their environment, and why.

    Attributes:
        environment: a task's, but for what the agent adds.
        of: whose PATH it is, in words.
        trouble: why a task of the broker that runs finds another one, or an empty text.
        mend: the command that mends that.
    """

    environment: Mapping[str, str]
    of: str
    trouble: str = ""
    mend: str = ""


def sight(home: Home, own: Mapping[str, str], allowed: tuple[str, ...], is_broker: bool) -> Sight:
    """As the service sees it where one is installed, else as this process does.

    Args:
        home: the broker's.
        own: this process's environment.
        allowed: `env` of config.toml.
        is_broker: whether this process is the broker that runs.
    """
    found = installed.find(home)
    if found is None:
        whose = "this broker" if is_broker else "this terminal"
        return Sight(task_environment(own, allowed, {}, ""), f"{whose}: no service is installed")
    place, definition = found
    if is_broker and own.get("PATH") == definition.path:
        return Sight(task_environment(own, allowed, {}, ""), f"the service {place.name}")
    # of the variables in `env`, a service has none of those that a terminal's own files set
    environment = task_environment({**own, "PATH": definition.path}, (), {}, "")
    trouble = "the broker that runs has another PATH: it was started outside of the service" if is_broker else ""
    return Sight(environment, f"the service {place.name}", trouble, home.command("service install"))


def examine(agents: Agents, seen: Sight) -> list[dict[str, Any]]:
    """The findings: the PATH, and each agent that has a program of its own. Takes up to 20 s; not for an event loop."""
    path = seen.environment["PATH"]
    detail = f"{path}   (of {seen.of})"
    findings = [_finding("PATH", not seen.trouble, f"{detail}; {seen.trouble}" if seen.trouble else detail, seen.mend)]
    probes = [(agent, probe) for agent in _all(agents) if (probe := agents.probe(agent.name)) is not None]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return findings + list(pool.map(lambda each: _examined(each[0], each[1], agents, seen), probes))


def _all(agents: Agents) -> Iterable[Agent]:
    for name in agents.names():
        with contextlib.suppress(RelayError):  # agents.toml is broken, which another finding tells
            yield agents.get(name)


def _finding(name: str, ok: bool, detail: str, hint: str) -> dict[str, Any]:
    return {"name": name, "ok": ok, "detail": detail, "hint": "" if ok else hint}


def _examined(agent: Agent, probe: Probe, agents: Agents, seen: Sight) -> dict[str, Any]:
    name = f"agent {agent.name}"
    look = _found(probe, seen.environment)
    if look.path is None:
        # a preset that is not here is no fault; one that this machine's owner wrote down is
        ok = agents.is_preset(agent.name)
        detail = f"{probe.program} is not installed, or not in that PATH; spawns of it fail here with missing_binary"
        return _finding(name, ok, detail, f"install {probe.program}, or mend its section in agents.toml")
    if look.note:
        return _finding(name, False, look.note, f"install {probe.program} again, or take it out of that PATH")
    told = [look.path, look.version or "version unknown", LOGIN_WORDS[look.logged_in]]
    hint = f"{probe.log_in}   (on this machine, as this user)"
    return _finding(name, look.logged_in is not False, ", ".join(told if probe.version else told[:1]), hint)


@frozen
class Found:
    """What there is of one agent.

    Attributes:
        path: of its program; None where there is none.
        version: or empty.
        logged_in: None where nobody can say, or nobody need be.
        log_in: the command that logs in, or empty.
        note: how the program failed to say its version, or what a task that starts later would find otherwise; empty
            for nothing.
    """

    path: str | None
    version: str = ""
    logged_in: bool | None = None
    log_in: str = ""
    note: str = ""


def found(
    probe: Probe | None, environment: Mapping[str, str], seen: Sight, given_up: GivenUp = lambda: False
) -> Found:
    """What a task that starts now finds of one agent. Takes up to 20 s; not for an event loop.

    Args:
        probe: how to examine it; None where every machine has it.
        environment: such a task's.
        seen: what tasks of the broker's service find.
        given_up: whether nobody waits for it any more; asked four times a second.
    """
    if probe is None:
        return Found(SHELL)
    look = _found(probe, environment, given_up)
    other = shutil.which(probe.program, path={**seen.environment, **probe.environment}["PATH"])
    if seen.trouble and other != look.path:
        return replace(look, note=f"{seen.trouble}; tasks of {seen.of} find {other or 'none'}")
    return look


def _found(probe: Probe, task: Mapping[str, str], given_up: GivenUp = lambda: False) -> Found:
    environment = {**task, **probe.environment}
    program = shutil.which(probe.program, path=environment["PATH"])
    if program is None:
        return Found(None)
    asking = _Asking(environment, given_up)
    version, fault = _version(program, probe, asking)
    return Found(program, version, _login(program, probe, version, asking), probe.log_in, fault)


def _version(program: str, probe: Probe, asking: _Asking) -> tuple[str, str]:
    """What a program says of its version, and why it says none, in words."""
    if not probe.version:
        return "", ""
    answer = _asked([program, *probe.version], asking)
    if found := _VERSION.search(answer.text):
        return found[0][:32], ""
    return "", f"{' '.join([program, *probe.version])}: {answer.fault}" if answer.fault else ""


def _login(program: str, probe: Probe, version: str, asking: _Asking) -> bool | None:
    numbers = tuple(int(part) for part in version.split(".")) if version else ()
    if not probe.login or numbers < probe.login_since:
        return None
    answer = _asked([program, *probe.login], replace(asking, told=probe.told, ends=probe.has_answered))
    return probe.logged_in(answer.text)


@frozen
class _Asking:
    """How a program is asked: in which environment, told what, until when."""

    environment: dict[str, str]
    given_up: GivenUp
    told: str = ""
    ends: Callable[[str], bool] = lambda _: False


@frozen
class _Answer:
    """What a program printed, and how it failed, in words; empty where it did not."""

    text: str
    fault: str = ""


def _asked(words: list[str], asking: _Asking) -> _Answer:
    """What a program prints within 10 s and 64 KiB; whatever it started is ended with it."""
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE if asking.told else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=asking.environment,
            cwd=os.path.expanduser("~"),
            start_new_session=True,
        )
    except OSError as fault:
        return _Answer("", f"it cannot be started: {fault.strerror}")
    assert process.stdout is not None
    began = time.monotonic()
    with process.stdout, process.stdin or contextlib.nullcontext():
        try:
            if process.stdin is not None:
                with contextlib.suppress(OSError):  # it does not hear it: what it prints says the rest
                    os.write(process.stdin.fileno(), asking.told.encode())
            text = _read(process.stdout.fileno(), asking).decode("utf-8", "replace")
            return _Answer(text, _fault(process, began, asking))
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _fault(process: subprocess.Popen[bytes], began: float, asking: _Asking) -> str:
    """How a program failed that has closed its output, or that nobody reads any more."""
    if time.monotonic() - began >= PROBE_S:
        return f"it was not done after {PROBE_S:g} s"
    if asking.given_up():
        return ""
    try:
        status = process.wait(ENDS_S)
    except subprocess.TimeoutExpired:
        return ""
    if status < 0:
        return f"it was ended by {signal.Signals(-status).name}"
    return f"it ended with exit code {status}" if status else ""


def _read(handle: int, asking: _Asking) -> bytes:
    until = time.monotonic() + PROBE_S
    data = b""
    with selectors.DefaultSelector() as selector:
        selector.register(handle, selectors.EVENT_READ)
        while len(data) < MAX_SAID and (left := until - time.monotonic()) > 0 and not asking.given_up():
            if not selector.select(min(left, LOOK_UP_S)):
                continue
            piece = os.read(handle, MAX_SAID)
            data += piece
            if not piece or asking.ends(data.decode("utf-8", "replace")):
                break
    return data[:MAX_SAID]


def main() -> int:
    """Print the findings for a home whose broker does not run."""
    parser = argparse.ArgumentParser(prog="relay.spawn.agents.probing", description="People use `relay doctor`.")
    parser.add_argument("--home")
    home = Home(parser.parse_args().home)
    try:
        allowed = config.load(home).env
    except RelayError:
        allowed = ()  # a broken config.toml is told by another finding
    seen = sight(home, os.environ, allowed, is_broker=False)
    sys.stdout.write(json.dumps(examine(Agents(Path(home.agents)), seen)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
