"""A machine whose user has a real systemd: namespaces for mounts, processes and network, with a user manager in them.

What is on disk outlives a shutdown, as on a real machine; every process ends with it. Nothing outside of the
namespaces is touched but one empty folder of the cgroup tree, which is removed again.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from relay.testing.processes import wait_until

MANAGER = "/lib/systemd/systemd"
UID = os.getuid()
RUNTIME = f"/run/user/{UID}"
BEGIN = (
    *("setpriv", "--pdeathsig", "KILL"),  # it ends with the tests, however they end
    *("unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc"),
)
ENTER = ("nsenter", "--mount", "--pid", "--net")
# bash as the first process takes in what the ended leave behind
BOOT = """
mount --make-rprivate / || exit 90
ip link set lo up || exit 94
[ -e /sys/fs/cgroup/cgroup.procs ] || { umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; } || exit 91
mkdir -p "$GROUP" && echo $$ > "$GROUP/cgroup.procs" || exit 92
mount -t tmpfs none /run && mkdir -p /run/systemd/system "$XDG_RUNTIME_DIR" && chmod 700 "$XDG_RUNTIME_DIR" || exit 93
%s --user > "$HOME/manager.log" 2>&1 &
echo up
sleep infinity &
while :; do wait; done
"""


class Machine:
    """One user's machine.

    Attributes:
        folder: everything that outlives a shutdown.
        user: the user's home folder.
        terminal: variables that only the user's terminal has.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.terminal: dict[str, str] = {}
        self.user = folder / "user"
        self.user.mkdir()
        self._first: subprocess.Popen[bytes] | None = None
        self._group = f"/sys/fs/cgroup/relay-test-{folder.name}"

    def environment(self) -> dict[str, str]:
        """What a login of the user begins with."""
        return {
            "HOME": str(self.user),
            "USER": "root",
            "LOGNAME": "root",
            "SHELL": "/bin/bash",
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": RUNTIME,
            "GROUP": self._group,
        }

    def boot(self) -> None:
        """Start it; returns when the user's manager answers."""
        self._first = subprocess.Popen(
            [*BEGIN, "bash", "-c", BOOT % MANAGER],
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._first.stdout is not None
        if self._first.stdout.readline() != b"up\n":
            _, said = self._first.communicate(timeout=10)
            raise OSError(f"no namespaces here (exit status {self._first.returncode}): {said.decode()[:200]}")
        words = ("systemctl", "--user", "show", "--property=Version")
        try:
            wait_until(lambda: self.run(*words).returncode == 0, 20, "the user's systemd answers")
        except TimeoutError:
            told = (self.user / "manager.log").read_text()[-300:]
            raise OSError(f"no user manager runs in a namespace here: {told}") from None

    def shutdown(self) -> None:
        """Power off: every process of the machine ends at once."""
        if self._first is None:
            return
        self._first.kill()
        self._first.communicate(timeout=10)
        self._first = None
        base = "/sys/fs/cgroup" if os.path.exists("/sys/fs/cgroup/cgroup.procs") else "/sys/fs/cgroup/unified"
        group = Path(base, Path(self._group).name)
        folders = sorted(group.rglob("*"), key=lambda each: len(each.parts), reverse=True)
        for each in [*(found for found in folders if found.is_dir()), group]:
            if each.exists():
                wait_until(lambda each=each: _removed(each), 30, f"{each} is empty")  # type: ignore[misc]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as the user types it."""
        return subprocess.run(
            [*ENTER, "--target", str(self._inner()), "env", f"--chdir={self.user}", *words],
            env=self.environment() | self.terminal,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=50,
        )

    def _inner(self) -> int:
        assert self._first is not None
        return int(Path(f"/proc/{self._first.pid}/task/{self._first.pid}/children").read_text().split()[0])


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def scratch() -> Path:
    """A short folder: a socket's path has room for about 100 characters."""
    return Path(tempfile.mkdtemp(prefix="relay-service-")).resolve()
