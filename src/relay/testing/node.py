"""One broker of a mesh in a box: a home folder and, most of the time, a process."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from relay.testing import command, control, processes, stem
from relay.testing.netns.namespaces import inside

START_WITHIN = 45.0
STOP_WITHIN = 15.0
DAEMON = (sys.executable, "-m", "relay.daemon")


class NotReady(Exception):
    """A broker ended, or said nothing, before it was ready; the tail of its log is the message."""


class CommandFailed(Exception):
    """`relay` exited with another status than 0."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        super().__init__(f"{' '.join(done.args)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        self.done = done


@dataclass(slots=True)
class Node:
    """A broker's home and process.

    Attributes:
        scratch: the mesh's folder.
        name: the broker's name.
        port: where it listens on loopback.
        launcher: the words in front of `--home DIR`; `relay.testing.crashing` puts itself there.
        namespace: the name of the network namespace that it runs in; empty for this process's.
        starts: how often the process was started.
    """

    scratch: Path
    name: str
    port: int
    launcher: tuple[str, ...] = DAEMON
    namespace: str = ""
    starts: int = 0
    process: subprocess.Popen[bytes] | stem.Forked | None = None
    _id: str = field(default="")

    @property
    def home(self) -> Path:
        """The home folder."""
        return self.scratch / self.name

    @property
    def work(self) -> Path:
        """A directory that tasks may run in."""
        return self.scratch / f"{self.name}-work"

    @property
    def printed(self) -> Path:
        """What the broker's process printed, over all its starts."""
        return self.scratch / f"{self.name}.printed"

    @property
    def socket(self) -> Path:
        """The control socket."""
        return self.home / "broker.sock"

    @property
    def address(self) -> str:
        """Where the broker listens, `HOST:PORT`."""
        return f"127.0.0.1:{self.port}"

    @property
    def id(self) -> str:
        """The broker's id."""
        if not self._id:
            self._id = self.relay_json("status")["broker"]["id"]
        return self._id

    def environment(self) -> dict[str, str]:
        """The environment of the broker and of commands: the path, this home, and nothing of the caller's."""
        return stem.environment() | {"HOME": str(self.scratch), "RELAY_HOME": str(self.home), "NO_COLOR": "1"}

    # the command

    def relay(
        self, *words: str, check: bool = True, timeout: float = 30.0, typed: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run `relay WORDS` for this home.

        Args:
            words: the command's.
            check: whether it has to succeed.
            timeout: seconds.
            typed: what stands on its standard input.

        Raises:
            CommandFailed: with `check`, for an exit status that is not 0.
        """
        ran = command.run(words, self.environment(), self.scratch, typed=typed.encode(), timeout=timeout)
        done = subprocess.CompletedProcess(ran.args, ran.returncode, ran.stdout.decode(), ran.stderr.decode())
        if check and done.returncode:
            raise CommandFailed(done)
        return done

    def relay_json(self, *words: str, check: bool = True) -> Any:
        """The document that `relay WORDS --json` prints."""
        return json.loads(self.relay(*words, "--json", check=check).stdout)

    def init(self) -> None:
        """`relay init`: identity and a workspace of its own."""
        self.work.mkdir(exist_ok=True)
        made = self.relay_json("init", "--name", self.name, "--listen", self.address)
        self._id = made["broker"]["id"]
        self.configure("mdns = false", "tailscale = false")  # nothing is announced on, or asked of, a real network

    def configure(self, *lines: str) -> None:
        """Put lines of TOML in front of config.toml, where they stand before every table; the next start reads them."""
        path = self.home / "config.toml"
        text = path.read_text()
        fresh = {line.partition("=")[0].strip() for line in lines}
        kept = [line for line in text.splitlines() if line.partition("=")[0].strip() not in fresh]
        path.write_text("\n".join([*lines, *kept]) + "\n")

    def control(self, timeout: float = 40.0) -> AbstractContextManager[control.Control]:
        """A connection to the control socket, for a block."""
        return control.connected(self.socket, timeout)

    def status(self) -> dict[str, Any]:
        """`GET status`."""
        with self.control() as opened:
            answer: dict[str, Any] = opened.get("status")
        return answer

    # the process

    @property
    def running(self) -> bool:
        """Whether the broker's process is alive."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start the broker; returns once it says that it is ready.

        Raises:
            NotReady: it ended first, or did not get there within 20 s.
        """
        read, write = os.pipe()
        try:
            self._launch(write)
            os.close(write)
            self._await_ready(read)
        finally:
            os.close(read)
        self.starts += 1

    def _launch(self, ready: int) -> None:
        with self.printed.open("ab") as log:
            rest = ["--home", str(self.home), "--ready-fd", str(ready)]
            if (module := stem.words_of(self.launcher)) is not None:
                self.process = self._forked([*module, *rest], log.fileno(), ready)
                return
            words = inside(self.namespace, *self.launcher) if self.namespace else self.launcher
            self.process = subprocess.Popen(
                [*words, *rest],
                env=self.environment(),
                cwd=self.scratch,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(ready,),
            )

    def _forked(self, words: list[str], log: int, ready: int) -> stem.Forked:
        with open(os.devnull, "rb") as null:
            given = {0: null.fileno(), 1: log, 2: log, ready: ready}
            return stem.shared().fork(words, self.environment(), self.scratch, given, self.namespace)

    def _await_ready(self, read: int) -> None:
        deadline = time.monotonic() + START_WITHIN
        said = b""
        while b"\n" not in said:
            readable, _, _ = select.select([read], [], [], max(0.0, deadline - time.monotonic()))
            more = os.read(read, 65536) if readable else b""
            if not more:
                self.kill()
                raise NotReady(f"{self.name} is not ready\n{self.log_tail()}")
            said += more
        answer = json.loads(said)
        if "ready" not in answer:
            self.kill()
            raise NotReady(f"{self.name}: {answer['error']}\n{self.log_tail()}")

    def log(self) -> str:
        """All the broker has logged and printed, oldest first."""
        files = [*sorted(self.home.glob("broker.log*"), reverse=True), self.printed]
        return "".join(path.read_text(errors="replace") for path in files if path.exists())

    def log_tail(self, size: int = 4000) -> str:
        """The end of it."""
        return self.log()[-size:]

    def stop(self) -> None:
        """SIGTERM, and wait for the end; SIGKILL where it does not come."""
        if self.process is None:
            return
        self.resume()
        self.process.terminate()
        try:
            self.process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> bool:
        """SIGKILL to the broker; whether it was alive."""
        if self.process is None:
            return False
        alive = self.process.poll() is None
        self.process.kill()
        self.process.wait()
        return alive

    def restart(self) -> None:
        """SIGKILL and start again."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: the broker's machine is asleep, as far as the others can see."""
        if self.process is not None:
            self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        if self.running and self.process is not None:
            self.process.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def asleep(self) -> Iterator[None]:
        """The broker is stopped for the length of a block."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    # what it started

    def fork_servers(self) -> list[psutil.Process]:
        """The fork servers of the running broker."""
        if not self.running or self.process is None:
            return []
        return processes.fork_servers(psutil.Process(self.process.pid))

    def shims(self) -> list[psutil.Process]:
        """The live shims of this home."""
        return processes.shims(self.home)
