"""The service under a real systemd: crash, restart, upgrade and reboot, with nobody there to help."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import relay as package
from relay.testing.processes import wait_until
from tests.service.machine import MANAGER, Machine, scratch

pytestmark = [
    pytest.mark.skipif(not os.path.exists(MANAGER), reason="no systemd: apt-get install systemd"),
    pytest.mark.skipif(not shutil.which("nsenter"), reason="no nsenter: apt-get install util-linux"),
    pytest.mark.skipif(not shutil.which("ip"), reason="no ip: apt-get install iproute2"),
    pytest.mark.skipif(not sys.platform.startswith("linux") or os.getuid() != 0, reason="namespaces need root"),
]


SELDOM = 0.2  # seconds between two questions: each is a command that is executed


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A machine that was just started; its user's shell finds programs in ~/bin."""
    made = Machine(scratch())
    try:
        try:
            made.boot()
        except OSError as fault:
            pytest.skip(str(fault))
        (made.user / ".bash_profile").write_text('PATH="$HOME/bin:$PATH"\necho welcome\n')
        yield made
    finally:
        made.shutdown()
        shutil.rmtree(made.folder)


class User:
    """Somebody who types on a machine.

    Attributes:
        home: the broker's folder, None for the usual one.
    """

    def __init__(self, machine: Machine, python: str = sys.executable, home: str | None = None) -> None:
        self.machine = machine
        self._words = [python, "-m", "relay", *(["--home", home] if home else [])]

    def types(self, *words: str, status: int = 0) -> str:
        done = self._run(*words, status=status)
        return done.stdout + done.stderr

    def sees(self, *words: str, status: int = 0) -> Any:
        """What it prints as JSON; what lasts longer than a second tells of itself beside it, on stderr."""
        return json.loads(self._run(*words, "--json", status=status).stdout)

    def _run(self, *words: str, status: int) -> subprocess.CompletedProcess[str]:
        done = self.machine.run(*self._words, *words)
        assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def broker(self) -> dict[str, Any]:
        """The broker as `relay status` shows it; empty where none answers."""
        done = self.machine.run(*self._words, "status", "--json")
        return json.loads(done.stdout) if done.returncode == 0 else {}

    def starts_work(self, name: str = "work") -> int:
        """A task that goes on until it is told to end; its pid."""
        files = self.machine.user / name
        begin = f"echo start >> {files}.starts; echo $$ > {files}.pid"  # the pid last: that is what is waited for
        text = f"{begin}; while ! [ -e {files}.end ]; do sleep 0.1; done; exit 7"
        self.types("spawn", name, "shell", text, "--cwd", "new")
        pid = Path(f"{files}.pid")
        wait_until(lambda: pid.exists() and pid.read_text().strip(), 10, "the task has started")
        return int(pid.read_text())

    def work_goes_on(self, pid: int, name: str = "work") -> None:
        """It is the same process, and the broker knows it."""
        assert self.machine.run("kill", "-0", str(pid)).returncode == 0
        wait_until(lambda: self.sees("show", name)["state"] == "running", 10, "the broker knows the task", SELDOM)
        assert self.starts(name) == 1

    def starts(self, name: str = "work") -> int:
        """How often it was started."""
        return len((self.machine.user / f"{name}.starts").read_text().splitlines())

    def work_ends(self, name: str = "work") -> None:
        """Its exit status is not lost."""
        (self.machine.user / f"{name}.end").touch()
        assert self.sees("wait", name, status=7)[0]["exit_code"] == 7


def _pids(user: User) -> tuple[int, int]:
    found = user.sees("service", "status")
    return found["pid"], found["broker"]["pid"]


@pytest.mark.timeout(300)
def test_a_crash_is_made_good_and_what_runs_is_not_touched(machine: Machine) -> None:
    user = User(machine)
    user.types("init", "--name", "vps", "--listen", "127.0.0.1:0")
    user.types("up", "--detach")
    outside, before = user.broker()["pid"], user.starts_work("before")
    took_over = user.sees("service", "install")
    assert took_over["took_over"] == outside and took_over["pid"] != outside
    assert took_over["path"].startswith(f"{machine.user}/bin:")
    user.work_goes_on(before, "before")
    user.work_ends("before")
    pid = user.starts_work()
    first, answering = _pids(user)
    assert first == answering
    machine.run("kill", "-9", str(first))
    wait_until(lambda: user.broker().get("pid", first) != first, 30, "systemd starts the broker anew", SELDOM)
    assert _pids(user)[0] == user.broker()["pid"]
    user.work_goes_on(pid)
    assert user.sees("service", "install")["updated"] is True
    user.work_goes_on(pid)
    user.types("down")
    over = "its broker does not answer; relay.service is inactive"  # to its manager a moment later
    wait_until(lambda: over in user.types("service", "status", status=1), 20, "systemd to know of the end", SELDOM)
    user.types("service", "install")
    user.types("service", "uninstall")
    assert machine.run("kill", "-0", str(pid)).returncode == 0
    user.types("up", "--detach")
    user.work_ends()


def test_a_reboot_needs_nobody(machine: Machine) -> None:
    user = User(machine)
    user.types("init", "--name", "vps")
    user.types("service", "install")
    user.starts_work()
    machine.shutdown()
    machine.boot()
    wait_until(user.broker, 30, "the broker is there after the reboot", SELDOM)
    assert user.broker()["listen"] == ["127.0.0.1:7411"]
    # Tailscale is later than the broker
    assert machine.run("ip", "address", "add", "100.64.0.7/32", "dev", "lo").returncode == 0
    wait_until(lambda: "100.64.0.7:7411" in user.broker()["listen"], 20, "the later address is listened on", SELDOM)
    assert _pids(user)[0] == user.broker()["pid"]
    # the task ended with the machine, which is told, and it is not begun a second time
    wait_until(lambda: user.sees("show", "work")["state"] == "lost", 20, "the task is told to be lost", SELDOM)
    assert user.starts() == 1


def _installed_apart(folder: Path) -> tuple[str, Path]:
    """A virtual environment with a copy of relay in it, as pip would put it there: its Python, and the package."""
    venv.create(folder, symlinks=True)
    site = next((folder / "lib").glob("python*")) / "site-packages"
    shutil.copytree(Path(package.__file__).parent, site / "relay", ignore=shutil.ignore_patterns("__pycache__"))
    (site / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return str(folder / "bin" / "python"), site / "relay"


def _replace(file: Path, text: str) -> None:
    beside = file.with_suffix(".new")
    beside.write_text(text)
    beside.replace(file)


def test_an_upgrade_needs_nobody(machine: Machine) -> None:
    python, installed = _installed_apart(machine.folder / "venv")
    user = User(machine, python)
    user.types("init", "--name", "vps", "--listen", "127.0.0.1:0")
    first = user.sees("service", "install")["pid"]
    pid = user.starts_work()
    start = installed / "__init__.py"
    text = start.read_text()
    daemon = (installed / "daemon.py").read_text()
    # an upgrade that does not start takes nobody's place
    _replace(installed / "daemon.py", "import a_library_that_was_not_installed\n")
    _replace(start, text + "# broken\n")
    log = machine.user / ".local" / "share" / "relay" / "broker.log"
    wait_until(lambda: "does not start; this broker runs on" in log.read_text(), 40, "the broken one is seen")
    assert user.broker()["pid"] == first
    _replace(installed / "daemon.py", daemon)
    _replace(start, text.replace(package.__version__, "9.9.9"))
    wait_until(lambda: user.broker().get("pid", first) != first, 40, "the new one runs", SELDOM)
    found = user.sees("service", "status")
    assert (found["ok"], found["broker"]["version"]) == (True, "9.9.9")
    user.work_goes_on(pid)
    user.work_ends()


def test_odd_paths_reach_the_broker_as_they_are(machine: Machine) -> None:
    odd = f"{machine.user}/a b%h $HOME ${{PATH}} \"q\" 'r' ; # \\"
    (machine.user / ".bash_profile").write_text('PATH="/50%h:/a b:/\\"q\\":/$$$HOME:/back\\\\:$PATH"\n')
    user = User(machine, home=odd)
    user.types("init", "--name", "vps", "--listen", "127.0.0.1:0")
    done = user.sees("service", "install")
    inner = machine.run("cat", f"/proc/{done['pid']}/environ").stdout.split("\0")
    assert f"PATH={done['path']}" in inner and "/50%h:/a b:" in done["path"] and "/back\\:" in done["path"]
    assert machine.run("cat", f"/proc/{done['pid']}/cmdline").stdout.split("\0")[-2] == odd
    assert user.sees("service", "status")["ok"] is True
    user.types("service", "uninstall")


CLAUDE = """#!/bin/sh
case $1 in
    --version) echo 2.1.197;;
    auth) [ -n "$KEY" ] && echo '{"loggedIn": true}' || echo '{"loggedIn": false}';;
esac
"""


def test_doctor_as_the_service_sees_it(machine: Machine) -> None:
    (machine.user / "bin").mkdir()
    claude = machine.user / "bin" / "claude"
    claude.write_text(CLAUDE)
    claude.chmod(0o755)
    user = User(machine)
    user.types("init", "--name", "vps", "--listen", "127.0.0.1:0")
    user.types("config", "set", "env", "KEY")
    machine.terminal = {"KEY": "only-in-the-terminal"}
    user.types("up", "--detach")

    def findings(status: int) -> dict[str, Any]:
        return {each["name"]: each for each in user.sees("doctor", status=status)}

    plain = findings(0)
    assert plain["PATH"]["detail"].endswith("(of this broker: no service is installed)")
    assert "not in that PATH" in plain["agent claude"]["detail"]
    user.types("service", "install")
    served = findings(1)
    assert served["agent claude"]["detail"] == f"{claude}, 2.1.197, NOT logged in"
    assert served["PATH"]["detail"].endswith("(of the service relay.service)")
    assert served["PATH"]["ok"] and served["service"]["ok"]
    assert "its service starts it again at the next boot" in user.types("down")
    assert "it runs beside its service" in user.types("up", "--detach")
    outside = findings(1)
    assert outside["PATH"]["ok"] is False and "started outside of the service" in outside["PATH"]["detail"]
    assert outside["service"]["detail"] == "a broker runs, but outside of the service"
    assert outside["agent claude"]["detail"] == f"{claude}, 2.1.197, NOT logged in"


def test_limits_are_kept_in_a_scope_or_nothing_runs(machine: Machine) -> None:
    """Where the manager has the controller, the kernel ends what goes beyond; where it has not, that is said."""
    user = User(machine)
    user.types("init", "--name", "vps", "--listen", "127.0.0.1:0")
    user.types("service", "install")
    hungry = ("spawn", "hungry", "shell", "exec tail /dev/zero", "--cwd", "new", "--wait", "--memory", "64MiB")
    done = machine.run(sys.executable, "-m", "relay", *hungry, "--json")
    found = json.loads(done.stdout)
    has_memory = "memory" in machine.run("cat", "/sys/fs/cgroup/cgroup.controllers").stdout.split()
    if has_memory and found["error"]["code"] == "out_of_memory":
        assert (found["state"], found["signal"], done.returncode) == ("failed", 9, 137)
    else:
        assert (found["state"], found["error"]["code"], done.returncode) == ("failed", "no_limits", 1)
        # the scope was made and the command's process was in it: only the limit was missing
        assert "the systemd of this user keeps no limit of memory here" in found["error"]["message"]
        assert found["error"]["hint"] and found["started"] is None
    units = ("systemctl", "--user", "list-units", "--all", "--plain", "--no-legend", "relay-*.scope")
    wait_until(lambda: not machine.run(*units).stdout.strip(), 20, "no scope is left")
