"""Keys stay in their files: not in any argv, environment, log, error or audit entry, and not in a core file."""

from __future__ import annotations

import base64
import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from relay.testing import stem
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until
from relay.trust.identity import load_identity
from relay.trust.workspace import load_workspace
from tests.e2e.scene import relay_json
from tests.trees.ground import repository

WITHIN = 20.0
JOINS = b"-m\0relay\0join\0"


def forms(secret: bytes) -> set[bytes]:
    """A secret as it might be printed."""
    encoded = (base64.b64encode(secret), base64.urlsafe_b64encode(secret), base64.b32encode(secret))
    plain = {secret.hex().encode(), *(each.rstrip(b"=") for each in encoded)}
    return {secret, repr(secret)[2:-1].encode()} | plain | {each.swapcase() for each in plain}


def keys_of(node: Node) -> dict[str, bytes]:
    """Every private key of a broker, by what it is."""
    identity, workspace = load_identity(node.home / "identity.key"), load_workspace(node.home / "workspace.key")
    sealing = {f"sealing {n}": each.secret for n, each in enumerate(identity.sealing_keys)}
    found = {"seed": identity.seed, "workspace": workspace.key, **sealing}
    return {f"{node.name} {name}": secret for name, secret in found.items()}


class Watched:
    """What any program of the machine can see of the processes of a mesh, while it is watched."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder).encode()
        self._over = threading.Event()
        self._others = set(psutil.pids())  # what was there before is of somebody else
        self.seen: set[bytes] = set()

    def _look(self) -> None:
        pids = set(psutil.pids())
        self._others &= pids  # a pid that was given back may be ours the next time
        for pid in pids - self._others:
            with contextlib.suppress(OSError):
                words, variables = (Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
                if self._folder in words + variables:
                    self.seen |= {words, variables}

    def has(self, part: bytes) -> bool:
        """Whether this was seen somewhere."""
        return any(part in text for text in tuple(self.seen))

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self._look()

    @contextlib.contextmanager
    def going(self) -> Iterator[None]:
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()


def written(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below a scratch folder that is no key file, no store and no socket."""
    for path in folder.rglob("*"):
        private = path.suffix == ".key" or path.name.startswith("relay.db") or path.name == "token"
        if path.is_file() and not private and not path.is_symlink():
            yield str(path), path.read_bytes()


def test_no_key_is_in_any_argv_environment_log_error_or_audit_entry(mesh: Mesh) -> None:
    watched, printed = Watched(mesh.folder), dict[str, bytes]()

    def say(node: Node, *words: str) -> str:
        done = node.relay(*words, check=False)
        printed[" ".join((node.name, *words))[:120]] = (done.stdout + done.stderr).encode()
        return done.stdout

    # nothing is forked from another process: what it was started with is what is seen of it
    with watched.going(), stem.aside():
        vps, laptop = mesh.add("vps", started=False), mesh.add("laptop", started=False)
        for node in (vps, laptop):
            node.configure('log_level = "debug"')
            node.start()
        invited = relay_json(vps, "invite")
        say(laptop, "join", invited["code"], invited["address"])
        mesh.await_link(vps, laptop)
        link = relay_json(vps, "invite", "--link")["link"]
        _joined_when_seen(mesh.add("mini", started=False), link, watched)
        mesh.grant(on=vps, to=laptop)
        until_seen = "until [ -e seen ]; do sleep 0.02; done"
        task = f"env; cat /proc/self/cmdline; cat $RELAY_TOKEN >token-was; {until_seen}"
        spawn = relay_json(laptop, "spawn", "x", "shell", task, "--broker", "vps", "--cwd", str(vps.work))
        wait_until(lambda: watched.has(b"RELAY_TOKEN="), WITHIN, "the task to be seen")
        (vps.work / "seen").touch()
        relay_json(laptop, "wait", spawn["id"])
        for node in (vps, laptop):
            for words in ("status", "doctor", "brokers", "identity show", "audit export", "events", "config list"):
                say(node, "--json", *words.split())
            say(node, "-h")
        say(laptop, "logs", spawn["id"])
        for spoil in (b"{", b"[]", b'{"version": 9}'):
            say(laptop, "--home", str(_spoiled(laptop, spoil)), "up", "--detach")
        vps.restart()
        mesh.await_link(vps, laptop)
    secrets = {name: secret for node in (vps, laptop) for name, secret in keys_of(node).items()}
    secrets["link"] = link.removeprefix("relay://join/").encode()
    secrets["token"] = (vps.work / "token-was").read_bytes()
    (vps.work / "token-was").unlink()
    texts = {"seen": b"\0".join(watched.seen), **printed, **dict(written(mesh.folder))}
    kept = (vps.home / "identity.key").read_bytes() + (vps.home / "workspace.key").read_bytes()
    in_files = [name for name, secret in secrets.items() if any(form in kept for form in forms(secret))]
    assert {"vps seed", "vps workspace", "laptop workspace"} <= {*in_files}, "the forms are not those of the key files"
    assert all(part in texts["seen"] for part in (b"relay.daemon", JOINS, b"RELAY_TOKEN="))
    found = [
        (name, where)
        for name, secret in secrets.items()
        for where, text in texts.items()
        if any(form in text for form in forms(secret))
    ]
    assert not found


def _joined_when_seen(node: Node, link: str, watched: Watched) -> None:
    """A command may be over before whoever watches comes to look: it is given its input once it was seen."""
    command, silent = [sys.executable, "-m", "relay", "join"], subprocess.DEVNULL
    with subprocess.Popen(
        command, env=node.environment(), cwd=node.scratch, stdin=subprocess.PIPE, stdout=silent, stderr=silent
    ) as joining:
        wait_until(lambda: watched.has(JOINS), WITHIN, "the command to be seen")
        joining.communicate(link.encode(), timeout=60)
    assert joining.returncode == 0


def _spoiled(node: Node, end: bytes) -> Path:
    """A copy of a home whose key file has another beginning, the secret still in it."""
    home = node.scratch / "spoiled"
    home.mkdir(mode=0o700, exist_ok=True)
    for name in ("identity.key", "workspace.key"):
        (home / name).write_bytes(end + (node.home / name).read_bytes())
        (home / name).chmod(0o600)
    return home


def test_a_crash_of_a_broker_leaves_no_core_file(mesh: Mesh) -> None:
    if Path("/proc/sys/kernel/core_pattern").read_text().strip() != "core":
        pytest.skip("core files go elsewhere on this machine")
    control = mesh.folder / "control"
    control.mkdir()
    allowed = f"import resource; resource.setrlimit(resource.RLIMIT_CORE, ({resource.RLIM_INFINITY},) * 2)"
    subprocess.run([sys.executable, "-c", f"{allowed}; import os; os.abort()"], cwd=control, check=False)
    if not any(control.iterdir()):
        pytest.skip("no process leaves a core file on this machine")
    node = mesh.add("vps", started=False)
    words = "import os, sys; os.execv(sys.executable, [sys.executable, '-u', '-m', 'relay.daemon', *sys.argv[1:]])"
    node.launcher = (sys.executable, "-c", f"{allowed}; {words}")
    node.start()
    assert node.process is not None
    os.kill(node.process.pid, signal.SIGABRT)
    assert node.process.wait(10) == -signal.SIGABRT
    assert not [*mesh.folder.glob("core*"), *node.home.glob("core*")]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user as well")
def test_another_user_is_not_heard_even_where_the_socket_is_open(mesh: Mesh) -> None:
    node = mesh.add("vps")
    node.socket.chmod(0o666)
    for folder in (mesh.folder, node.home):
        folder.chmod(0o755)
    assert node.socket.is_socket()
    ask = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
        "s.sendall(b'GET /api/v1/status HTTP/1.1\\r\\nHost: relay\\r\\n\\r\\n'); print(s.recv(9))"
    )

    def asked(user: int) -> str:
        done = subprocess.run(
            ["/usr/bin/env", "python3", "-c", ask, str(node.socket)],
            capture_output=True,
            text=True,
            user=user,
            cwd="/",
            timeout=20,
            check=False,
        )
        return done.stdout + done.stderr

    assert "HTTP/1.1" in asked(0)
    other = asked(65534)
    assert "HTTP" not in other and ("b''" in other or "reset" in other.lower() or "BrokenPipe" in other), other


def test_doctor_names_what_is_open_to_others(mesh: Mesh) -> None:
    node = mesh.add("vps")
    site = repository(node.scratch / "site")
    for words in (("--cwd", "new"), ("--repo", str(site))):
        node.relay("spawn", "-", "shell", "touch made; mkdir -m 777 open", *words, "--wait")

    def files() -> dict[str, str]:
        checks = relay_json(node, "doctor", status=None)
        return next(each for each in checks if each["name"] == "files")

    assert files()["ok"], files()
    for place, mode in ((node.home / "broker.log", 0o644), (node.home / "attempts", 0o755)):
        before = place.stat().st_mode
        place.chmod(mode)
        found = files()
        assert not found["ok"] and place.name in found["detail"] and "chmod" in found["hint"]
        place.chmod(before & 0o777)
    assert files()["ok"]
