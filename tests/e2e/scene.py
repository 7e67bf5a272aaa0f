"""Two brokers of one workspace and the words that most tests begin with."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from relay.testing import command, processes
from relay.testing.control import ControlError
from relay.testing.mesh import Mesh
from relay.testing.node import Node

Done = subprocess.CompletedProcess[bytes]
# kept by the shim itself: where a run of the tests is cut off, what it had begun ends all the same
LONGEST = "90s"
_numbers = itertools.count(1)


def fresh(prefix: str = "t") -> str:
    """A spawn's name that no other test of this worker uses."""
    return f"{prefix}-{next(_numbers)}"


def relay(node: Node, *words: str | bytes, typed: bytes | None = None, timeout: float = 30.0, **settings: str) -> Done:
    """`relay WORDS` for this node, bytes in and out; it must not print a traceback.

    Args:
        node: whose home it is.
        words: what follows `relay`.
        typed: its standard input; None for /dev/null.
        timeout: seconds after which it hangs.
        settings: additions to the environment.
    """
    done = command.run(words, node.environment() | settings, node.scratch, typed=typed, timeout=timeout)
    assert b"Traceback" not in done.stderr + done.stdout, done.stderr.decode()
    return done


@contextlib.contextmanager
def started(node: Node, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A `relay WORDS` that goes on while the block runs, and is ended by its pid after it."""
    command = [sys.executable, "-m", "relay", *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, env=node.environment(), cwd=node.scratch, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def said(done: Done) -> bytes:
    """What a command wrote to its standard error, but for the line that says after a second what it waits for."""
    return re.sub(rb"(?m)^(?:asking|waiting) [^\n]* \.\.\.\n", b"", done.stderr)


def relay_json(node: Node, *words: str, status: int | None = 0) -> Any:
    """The document that `relay WORDS --json` prints; its exit status must be the one given, unless that is None."""
    done = relay(node, "--json", *words)
    assert status is None or done.returncode == status, (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout)


def error_of(done: Done) -> dict[str, str]:
    """The error document a command printed with --json."""
    error: dict[str, str] = json.loads(done.stdout)["error"]
    return error


def type_hint(hint: str, brokers: dict[str, Node]) -> Done:
    """Do what an error's hint says: `on BROKER: relay WORDS`, in a shell, on that broker's machine."""
    where, _, command = hint.partition(": ")
    node = brokers[where.removeprefix("on ")]
    assert command.startswith("relay "), hint
    line = f'"$PYTHON" -m {command}'
    done = subprocess.run(
        ["/bin/sh", "-c", line],
        env=node.environment() | {"PYTHON": sys.executable},
        cwd=node.scratch,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, (hint, done.stdout, done.stderr)
    return done


class Scene:
    """`laptop` asks, `vps` runs.

    Attributes:
        mesh: both.
        laptop, vps: the two nodes.
    """

    def __init__(self, mesh: Mesh, laptop: Node, vps: Node) -> None:
        self.mesh = mesh
        self.laptop = laptop
        self.vps = vps

    @classmethod
    def made(cls, mesh: Mesh) -> Scene:
        """A fresh pair, linked, with no grants."""
        return cls(mesh, *mesh.pair("laptop", "vps"))

    def heal(self) -> None:
        """Both run, both are linked, nobody has a grant: what each test begins with."""
        for node in (self.laptop, self.vps):
            node.resume()
            if not node.running:
                node.start()
            (node.home / "agents.toml").unlink(missing_ok=True)
        for node in (self.laptop, self.vps):
            self._take_grants(node)
        self.at_rest()

    def _take_grants(self, node: Node) -> None:
        trust = node.home / "trust.toml"
        if trust.exists():
            trust.unlink()
            # the link to who has lost a grant ends: told of it, the broker has that behind it when it answers
            with node.control() as control:
                control.post("grants/changed", {})
            self.mesh.await_link(node)

    def linked(self) -> None:
        """Wait until the two are linked."""
        self.mesh.await_link(self.laptop, self.vps)

    def at_rest(self) -> None:
        """Wait until the two are linked and have nothing more to tell each other; what an earlier test left is stopped.

        Raises:
            TimeoutError: they do not come to rest.
        """
        self.linked()
        for node in (self.laptop, self.vps):
            if any(node.status()["everywhere"].values()):
                _stop_all(node)
        processes.wait_until(
            lambda: all(self._rests(node) for node in (self.laptop, self.vps)), 30, "the two to be at rest"
        )

    def _rests(self, node: Node) -> bool:
        with node.control() as control:
            status = control.get("status")
            if not status["links"] or any(status["everywhere"].values()):
                return False
            # members that other tests had come and go are asleep for good
            pair = {self.laptop.name, self.vps.name}
            return not status["outbox"]["envelopes"] or pair.isdisjoint(
                line["peer"] for line in control.get("outbox")["outgoing"]
            )

    def grant(self, *words: str) -> None:
        """Let laptop run `shell` and `exec` on vps, in its work directory."""
        self.mesh.grant(on=self.vps, to=self.laptop, words=words or ("--agent", "exec", "--agent", "shell"))

    # asking

    def words(
        self, agent: str, *task: str, name: str = "-", cwd: Path | str | None = None, options: Sequence[str] = ()
    ) -> list[str]:
        """The command line of a spawn on vps."""
        where = ("--broker", "vps", "--cwd", str(cwd or self.vps.work), "--timeout", LONGEST)
        return ["spawn", name, agent, *where, *options, *(("--", *task) if agent == "exec" else task)]

    def shell(self, script: str, *options: str, name: str = "-", status: int | None = None) -> dict[str, Any]:
        """Run a script on vps and wait for its end; the spawn's document."""
        document: dict[str, Any] = relay_json(
            self.laptop, *self.words("shell", script, name=name), "--wait", *options, status=status
        )
        return document

    def begin(self, script: str, *options: str, name: str = "-") -> str:
        """Ask vps to run a script; the spawn's id."""
        return self.begin_with("shell", script, *options, name=name)

    def begin_with(self, agent: str, task: str, *options: str, name: str = "-") -> str:
        """Ask vps to run an agent; the spawn's id."""
        found = relay_json(self.laptop, *self.words(agent, task, name=name), *options)
        return str(found["id"])

    def show(self, spawn: str, on: Node | None = None) -> dict[str, Any]:
        """The spawn as one of the two knows it; laptop unless said."""
        with (on or self.laptop).control() as control:
            found: dict[str, Any] = control.get(f"spawns/{spawn}")
        return found

    def until(self, spawn: str, *states: str, on: Node | None = None, within: float = 15.0) -> dict[str, Any]:
        """The spawn once it is in one of these states on laptop, or on `on`."""
        seen: dict[str, Any] = {}

        def there() -> bool:
            try:
                seen.update(self.show(spawn, on))
            except ControlError as fault:
                if fault.code != "unknown_spawn":  # its machine may not have heard of it yet
                    raise
            return seen.get("state") in states

        try:
            processes.wait_until(there, within, f"{spawn} to be {' or '.join(states)}")
        except TimeoutError as error:
            raise AssertionError(f"{error}; it is {seen.get('state')}: {seen.get('reason')}") from None
        return seen


def _stop_all(node: Node) -> None:
    with node.control() as control:
        for each in control.get("queue"):
            with contextlib.suppress(ControlError):  # it has ended meanwhile
                control.post(f"spawns/{each['id']}/stop", {})


TERMINAL = ("completed", "failed", "timed_out", "cancelled", "rejected", "expired", "lost")


def audit(node: Node) -> list[dict[str, Any]]:
    """The latest decisions in a node's audit log, oldest first."""
    with node.control() as control:
        found: list[dict[str, Any]] = control.get("audit?limit=200")
    return found


def put(file: Path, text: str) -> None:
    """Write a file whose reader may come at any moment, and would find it empty while it is written over."""
    new = file.with_name(f"{file.name}.new")
    new.touch(0o600)
    new.write_text(text)
    new.replace(file)


def tasks_alive(spawn: str) -> list[psutil.Process]:
    """The live processes of a spawn's tree, found by the mark in their environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            mark = process.environ().get(processes.TASK_MARKER, "")
            if mark.startswith(f"{spawn}-") and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def gone_within(spawn: str, seconds: float = 5.0) -> None:
    """Wait until nothing of a spawn's tree is alive."""
    processes.wait_until(lambda: not tasks_alive(spawn), seconds, f"the processes of {spawn} to be gone", every=0.1)


def pid_of(file: Path, within: float = 10.0) -> int:
    """The pid that a task wrote into a file."""
    text = processes.wait_until(lambda: file.exists() and file.read_text().strip(), within, f"{file} to be written")
    return int(text)


def is_alive(pid: int) -> bool:
    """Whether a process of this pid runs."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill(pid: int) -> None:
    """SIGKILL, by pid, to what a test itself has started."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 9)


def refused(node: Node, *words: str, code: str) -> dict[str, str]:
    """Type this, and be refused with this code."""
    done = relay(node, "--json", *words)
    assert done.returncode in (1, 2), (done.stdout, done.stderr)
    error = error_of(done)
    assert error["code"] == code, error
    return error
