"""A private sshd on loopback, with keys thrown away afterwards and an empty HOME for who logs in.

An empty HOME, because a shell profile multiplies the time of a command (contract.md). PAM is off and the cipher
suite is the default, both in ssh's favour.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from relay.testing.mesh import free_port
from relay.testing.processes import wait_until

INSTALL = "sshd is not installed; apt-get install openssh-server openssh-client"
MANY = 200


class NoSshd(Exception):
    """There is no sshd here, or it does not let us in; the message says which."""


@dataclass(frozen=True, slots=True)
class Ssh:
    """Ways to run a command through the private sshd."""

    folder: Path

    @property
    def fresh(self) -> list[str]:
        """The words of `ssh` over a connection of its own."""
        return ["ssh", "-F", str(self.folder / "ssh_config"), "-S", "none", "bench"]

    @property
    def shared(self) -> list[str]:
        """The words of `ssh` over the master's connection."""
        return ["ssh", "-F", str(self.folder / "ssh_config"), "-S", str(self.folder / "master"), "bench"]

    def run(self, words: list[str], *command: str) -> None:
        """Run a command to its end.

        Raises:
            NoSshd: it did not exit with 0.
        """
        done = subprocess.run(
            [*words, *command], stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False
        )
        if done.returncode:
            raise NoSshd(f"ssh exited with {done.returncode}: {done.stderr.decode(errors='replace').strip()}")

    def many_per_second(self, count: int, in_flight: int) -> float:
        """Commands a second over the master's connection; xargs starts them, which costs less than Python would.

        Raises:
            NoSshd: one of them failed.
        """
        words = ["xargs", "-P", str(in_flight), "-n", "1", *self.shared, "/bin/true"]
        numbers = "\n".join(map(str, range(count)))
        started = time.perf_counter()
        done = subprocess.run(words, input=numbers, text=True, capture_output=True, timeout=120, check=False)
        if done.returncode:
            raise NoSshd(f"a command failed: {done.stderr.strip()[:300]}")
        return count / (time.perf_counter() - started)


def _write_keys(folder: Path) -> None:
    for name in ("host_key", "user_key"):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(words, check=True, timeout=30)
    shutil.copy(folder / "user_key.pub", folder / "authorized_keys")


def _write_configs(folder: Path, port: int) -> None:
    (folder / "home").mkdir()
    sshd = {
        "ListenAddress": f"127.0.0.1:{port}",
        "HostKey": folder / "host_key",
        "PidFile": folder / "sshd.pid",
        "AuthorizedKeysFile": folder / "authorized_keys",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
        "MaxSessions": MANY,
        "MaxStartups": MANY,
        "PrintMotd": "no",
        "PrintLastLog": "no",
        "SetEnv": f"HOME={folder / 'home'}",
    }
    ssh = {
        "Host": "bench",
        "HostName": "127.0.0.1",
        "Port": port,
        "User": getpass.getuser(),
        "IdentityFile": folder / "user_key",
        "IdentitiesOnly": "yes",
        "StrictHostKeyChecking": "no",
        "UserKnownHostsFile": folder / "known_hosts",
        "GlobalKnownHostsFile": "/dev/null",
        "BatchMode": "yes",
        "LogLevel": "ERROR",
    }
    for name, lines in (("sshd_config", sshd), ("ssh_config", ssh)):
        (folder / name).write_text("".join(f"{key} {value}\n" for key, value in lines.items()))


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextmanager
def _serving(program: str, folder: Path) -> Iterator[None]:
    port = free_port()
    _write_keys(folder)
    _write_configs(folder, port)
    if os.geteuid() == 0:  # where sshd puts its unprivileged half; the system's own unit makes it at boot
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with (folder / "sshd.log").open("wb") as log:
        server = subprocess.Popen([program, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=log, stdout=log)
    try:
        wait_until(lambda: _answers(port) or server.poll() is not None, 10, "sshd")
        yield
    finally:
        server.terminate()
        server.wait(10)


@contextmanager
def serving(folder: Path) -> Iterator[Ssh]:
    """A private sshd and a ControlMaster connection to it, for a block.

    Args:
        folder: an empty folder with a short path (a socket lies in it).

    Raises:
        NoSshd: it is not installed, or a first command fails.
    """
    program = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not program or not shutil.which("ssh"):
        raise NoSshd(INSTALL)
    ssh = Ssh(folder)
    with _serving(program, folder):
        ssh.run(ssh.fresh, "/bin/true")
        master = subprocess.Popen([*ssh.shared, "-M", "-N"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until((folder / "master").exists, 10, "the master connection")
            yield ssh
        finally:
            master.terminate()
            master.wait(10)
