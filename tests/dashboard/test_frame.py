"""The program that draws terminals: fetched by an explicit act, kept only as it was pinned, and shut in a frame."""

from __future__ import annotations

import base64
import functools
import hashlib
import http.server
import io
import os
import re
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.responses import StreamingResponse

from relay.api import terminal_package
from relay.api.home import Home
from relay.api.terminal_package import LICENSE, SCRIPT, STYLE, XTERM, Package
from relay.core.errors import Code, LocalFault, Unreachable
from relay.dashboard.armour import FRAME, policy
from relay.dashboard.frame import Frame
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from tests.dashboard.browser import Browser
from tests.e2e.scene import error_of, relay, relay_json

FILES = {SCRIPT: b"var Terminal = 1;\n", STYLE: b".xterm {}\n", LICENSE: b"do as you like\n"}


def _packed(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return made.getvalue()


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


PACKED = _packed(FILES)
OURS = Package("@x/term", "1.0.0", _sha(PACKED), {name: _sha(data) for name, data in FILES.items()})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """A registry that has our package, and another one in xterm's place."""
    for package in (OURS, XTERM):
        (tmp_path / "registry" / package.path).parent.mkdir(parents=True)
        (tmp_path / "registry" / package.path).write_bytes(PACKED)
    made = functools.partial(_Quiet, directory=str(tmp_path / "registry"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), made) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        serving.join()


def test_what_is_fetched_is_kept_as_it_was_pinned(home: Home, registry: str) -> None:
    assert terminal_package.kept(home, OURS) is None
    terminal_package.keep(home, terminal_package.fetch(f"{registry}/{OURS.path}"), OURS)
    assert terminal_package.kept(home, OURS) == FILES
    modes = {oct(path.stat().st_mode & 0o777) for path in Path(home.terminal).iterdir()}
    assert modes == {"0o600"} and Path(home.terminal).stat().st_mode & 0o777 == 0o700
    (Path(home.terminal) / "xterm.js").write_bytes(FILES[SCRIPT] + b"//")
    assert terminal_package.kept(home, OURS) is None  # it was changed: nothing of it is served
    assert terminal_package.remove(home, OURS) and not terminal_package.remove(home, OURS)


def test_another_package_or_another_file_in_it_is_not_kept(home: Home) -> None:
    other = _packed(FILES | {SCRIPT: b"steal()\n"})
    beside = _packed({SCRIPT: FILES[SCRIPT]})
    pinned = [Package("x", "1", _sha(packed), OURS.files) for packed in (other, beside)]
    for packed, package in ((other, OURS), (other, pinned[0])):
        with pytest.raises(LocalFault) as refused:
            terminal_package.keep(home, packed, package)
        assert refused.value.code is Code.NOT_AS_PINNED
    with pytest.raises(LocalFault):
        terminal_package.keep(home, beside, pinned[1])
    assert not os.path.exists(home.terminal)


def test_a_registry_that_does_not_have_it_is_an_error(registry: str) -> None:
    for address in (f"{registry}/nothing", "http://127.0.0.1:1/x"):
        with pytest.raises(Unreachable) as refused:
            terminal_package.fetch(address)
        assert refused.value.code is Code.FETCH_FAILED


async def test_the_frame_runs_the_two_scripts_that_its_policy_names_and_nothing_else(home: Home) -> None:
    terminal_package.keep(home, PACKED, OURS)
    made = Frame(home, OURS).made("http://127.0.0.1:7412")
    assert made is not None
    assert isinstance(made[0], StreamingResponse)
    document, security = b"".join([bytes(piece) async for piece in made[0].body_iterator]), made[1]  # type: ignore[arg-type]
    scripts = re.findall(rb"<script>(.*?)</script>", document, re.S)
    named = [base64.b64encode(hashlib.sha256(each).digest()).decode() for each in scripts]
    assert len(scripts) == 2 and scripts[0] == FILES[SCRIPT]
    assert security.split("; ")[:5] == [
        "default-src 'none'",
        f"script-src 'sha256-{named[0]}' 'sha256-{named[1]}'",
        "style-src 'unsafe-inline'",
        "sandbox allow-scripts",
        "frame-ancestors http://127.0.0.1:7412",
    ]
    frame = Frame(home, OURS)
    assert frame.made("http://127.0.0.1:7412") is not None
    (Path(home.terminal) / "xterm.js").write_bytes(b"steal()")
    assert frame.made("http://127.0.0.1:7412") is None


def test_the_page_may_have_that_one_frame_and_without_the_program_there_is_none(browser: Browser) -> None:
    assert f"frame-src {browser.origin}{FRAME};" in policy(browser.origin)
    folder = Path(Home(browser.node.home).terminal)
    assert browser.ask("GET", FRAME).status == 404
    folder.mkdir()
    for name in XTERM.files:
        (folder / Path(name).name).write_bytes(b"another")
    answer = browser.ask("GET", FRAME)
    assert (answer.status, answer.headers["content-security-policy"]) == (404, policy(browser.origin))
    assert browser.get("dashboard")["terminal"] is False
    assert browser.ask("POST", FRAME).status == 404
    assert browser.ask("GET", FRAME, Host="evil.example").status == 421


@pytest.fixture(scope="module")
def idle() -> Iterator[Node]:
    with Mesh.scratch("relay-dash-") as mesh:
        yield mesh.add("idle", started=False)


def test_the_command_asks_the_registry_that_is_named_and_takes_nothing_else(idle: Node, registry: str) -> None:
    words = ("--json", "dashboard", "terminal", "install")
    assert error_of(relay(idle, *words, npm_config_registry=registry))["code"] == "not_as_pinned"
    failed = error_of(relay(idle, *words, npm_config_registry="http://127.0.0.1:1/"))
    assert failed["code"] == "fetch_failed"
    assert f"http://127.0.0.1:1/{XTERM.path}" in failed["why"] and "--from FILE" in failed["hint"]
    shown = relay_json(idle, "dashboard", "terminal")
    assert (shown["installed"], shown["version"]) == (False, XTERM.version)


def test_the_command_takes_a_file_and_says_what_is_wrong_with_it(idle: Node, tmp_path: Path) -> None:
    (tmp_path / "x.tgz").write_bytes(PACKED)
    words = ("--json", "dashboard", "terminal")
    assert error_of(relay(idle, *words, "install", "--from", str(tmp_path / "x.tgz")))["code"] == "not_as_pinned"
    assert "No such file" in error_of(relay(idle, *words, "install", "--from", str(tmp_path / "no")))["why"]
    assert error_of(relay(idle, *words, "paint"))["code"] == "usage"
    assert error_of(relay(idle, *words, "remove", "--from", "x"))["code"] == "usage"
    assert relay_json(idle, "dashboard", "terminal", "remove")["installed"] is False
