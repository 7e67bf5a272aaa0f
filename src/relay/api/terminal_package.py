"""The terminal that the dashboard shows a task's terminal in: xterm.js, which is fetched once, and is no part of Relay.

What is fetched is pinned: the package by the hash of its file, and each file that is used by its own. Files are
checked again whenever they are read, so that nothing is ever served that is not what was pinned.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.core.errors import Code, LocalFault, Unreachable

if TYPE_CHECKING:
    from relay.api.home import Home

MOST_PACKED, MOST_FILE = 8 * 2**20, 2 * 2**20
WITHIN_S = 60.0
REGISTRY = "https://registry.npmjs.org"
INSTALL = "dashboard terminal install"


@dataclass(frozen=True, slots=True)
class Package:
    """A package of a registry, pinned.

    Attributes:
        name, version: of it.
        sha256: of its file.
        files: those that are used: their path in it, and the hash of each.
    """

    name: str
    version: str
    sha256: str
    files: Mapping[str, str]

    @property
    def path(self) -> str:
        """Where a registry has its file."""
        return f"{self.name}/-/{self.name.rpartition('/')[2]}-{self.version}.tgz"


SCRIPT, STYLE, LICENSE = "lib/xterm.js", "css/xterm.css", "LICENSE"
XTERM = Package(
    "@xterm/xterm",
    "6.0.0",
    "908e66e04af6c8dc6b00dd3b54de088e2e81e5ed866284fd6c2fb3c2d1c7a3f6",
    {
        SCRIPT: "14903579ff54664cd72f8e8699e6961a6272c21863ec1c3b118cdc8af5d4a972",
        STYLE: "854a7c0fb70e8b1a083c16797ab827299fb18744f5ad34f227b48337e33293c6",
        LICENSE: "b569f629d00f2626a8100df2a1798210535621e42164dfd426a6fe5aac7b0ccd",
    },
)


def _is(data: bytes, sha256: str) -> bool:
    return hashlib.sha256(data).hexdigest() == sha256


def _kept_as(name: str) -> str:
    return name.rpartition("/")[2]


def kept(home: Home, package: Package = XTERM) -> dict[str, bytes] | None:
    """The files as they were pinned, by their path in the package; None where one is missing or is another."""
    found = {}
    for name, sha256 in package.files.items():
        try:
            with open(os.path.join(home.terminal, _kept_as(name)), "rb") as file:
                data = file.read(MOST_FILE)
        except OSError:
            return None
        if not _is(data, sha256):
            return None
        found[name] = data
    return found


def marks(home: Home, package: Package = XTERM) -> tuple[tuple[int, int, int] | None, ...]:
    """What changes when one of the files does."""
    found: list[tuple[int, int, int] | None] = []
    for name in package.files:
        try:
            now = os.stat(os.path.join(home.terminal, _kept_as(name)))
            found.append((now.st_ino, now.st_size, now.st_mtime_ns))
        except OSError:
            found.append(None)
    return tuple(found)


def keep(home: Home, packed: bytes, package: Package = XTERM) -> None:
    """Check a package's file, and keep of it what is used.

    Raises:
        LocalFault: `not_as_pinned`: it is another one.
        OSError: it could not be written.
    """
    files = _unpacked(packed, package)
    os.makedirs(home.terminal, mode=0o700, exist_ok=True)
    for name, data in files.items():
        _write(os.path.join(home.terminal, _kept_as(name)), data)


def _write(path: str, data: bytes) -> None:
    beside = f"{path}.new"
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    os.replace(beside, path)


def _unpacked(packed: bytes, package: Package) -> dict[str, bytes]:
    import io
    import tarfile

    if not _is(packed, package.sha256):
        raise _another(f"its hash is {hashlib.sha256(packed).hexdigest()}", package)
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        files = {name: _member(archive, name) for name in package.files}
    for name, data in files.items():
        if not _is(data, package.files[name]):
            raise _another(f"in it {name} is another file", package)
    return files


def _member(archive: object, name: str) -> bytes:
    import tarfile

    assert isinstance(archive, tarfile.TarFile)
    try:
        file = archive.extractfile(f"package/{name}")
    except KeyError:
        file = None
    return b"" if file is None else file.read(MOST_FILE)


def _another(why: str, package: Package) -> LocalFault:
    return LocalFault(
        f"that is not {package.name} {package.version} as it is pinned here: nothing of it was kept",
        code=Code.NOT_AS_PINNED,
        why=f"{why}; wanted is {package.sha256}",
        hint="relay dashboard terminal install, by another network or registry",
    )


def remove(home: Home, package: Package = XTERM) -> bool:
    """Keep it no longer; whether it was there."""
    was = False
    for name in package.files:
        try:
            os.unlink(os.path.join(home.terminal, _kept_as(name)))
            was = True
        except FileNotFoundError:
            continue
    return was


# fetching it


def registry() -> str:
    """The registry that npm would ask on this machine; its usual one where there is no npm, or it names none."""
    import shutil
    import subprocess

    npm = shutil.which("npm")
    told = os.environ.get("npm_config_registry") or os.environ.get("NPM_CONFIG_REGISTRY") or ""
    if not told and npm is not None:
        try:
            words = [npm, "config", "get", "registry"]
            ran = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False)
            told = ran.stdout.decode("utf-8", "replace")
        except (OSError, subprocess.TimeoutExpired):
            told = ""
    found = told.strip().rstrip("/")
    is_one = found.startswith(("https://", "http://")) and found.isprintable() and "@" not in found
    return found if is_one else REGISTRY


def fetch(address: str) -> bytes:
    """What a web server has at an address, at most 8 MiB of it.

    Raises:
        Unreachable: `fetch_failed`.
    """
    import http.client
    import urllib.request

    try:
        with urllib.request.urlopen(address, timeout=WITHIN_S) as answer:  # noqa: S310 - http or https, by `registry`
            data: bytes = answer.read(MOST_PACKED + 1)
    except (OSError, ValueError, http.client.HTTPException) as fault:
        raise _unfetched(address, str(fault)) from None
    if len(data) > MOST_PACKED:
        raise _unfetched(address, f"it is longer than {MOST_PACKED} bytes")
    return data


def _unfetched(address: str, why: str) -> Unreachable:
    return Unreachable(
        "the terminal could not be fetched",
        code=Code.FETCH_FAILED,
        why=f"{address}: {why}",
        hint=f"fetch that file on a machine that reaches it, then: relay {INSTALL} --from FILE",
    )
