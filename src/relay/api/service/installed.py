"""Where a home's service is written down, and what stands there."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from relay.api.home import Home
from relay.api.service import launchd, systemd
from relay.api.service.definition import Definition
from relay.core.errors import Code, LocalFault
from relay.core.values import frozen

MAX_FILE = 128 * 1024


@frozen
class Place:
    """The one file that defines a home's service for one manager.

    Attributes:
        manager: `systemd` or `launchd`.
        name: what the manager calls the service.
        file: the unit or property list, absolute; it need not exist.
        home: whose service it is.
    """

    manager: str
    name: str
    file: str
    home: str
    _read: Callable[[bytes], Definition | None]

    def content(self) -> bytes | None:
        """The file as it is, or None where there is none.

        Raises:
            LocalFault: there is something else than a plain file of this user, or it is too long.
        """
        try:
            with open(self.file, "rb", opener=_as_it_is) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise self._not_ours("it is no plain file")
                data = file.read(MAX_FILE + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            link = os.path.islink(self.file)
            raise self._not_ours("it is a symbolic link" if link else error.strerror or "it cannot be read") from None
        if len(data) > MAX_FILE:
            raise self._not_ours(f"it has more than {MAX_FILE} bytes")
        return data

    def installed(self) -> Definition | None:
        """What is written down, or None where nothing is.

        Raises:
            LocalFault: what stands there was not written by `relay service install`, or is another home's.
        """
        data = self.content()
        if data is None:
            return None
        found = self._read(data)
        if found is None:
            raise self._not_ours("it was not written by `relay service install`, or was changed since")
        if os.path.realpath(found.home) != os.path.realpath(self.home):
            raise self._not_ours(f"it is the service of another home, {found.home}")
        return found

    def _not_ours(self, why: str) -> LocalFault:
        return LocalFault(
            f"{self.file} is in the way",
            code=Code.SERVICE_FAILED,
            why=why,
            hint=f"look at it, move it away, and do it again: ls -l '{self.file}'",
        )


def _as_it_is(path: str, flags: int) -> int:
    # neither another file by a link, nor a pipe that holds its reader
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def systemd_place(home: Home) -> Place:
    """The unit, in the folder of the user's own units (systemd.unit(5), "User Unit Search Path")."""
    given = os.environ.get("XDG_CONFIG_HOME", "")
    base = given if os.path.isabs(given) else os.path.expanduser("~/.config")
    name = systemd.unit_name(home.path)

    def read(data: bytes) -> Definition | None:
        return systemd.read_unit(data.decode("utf-8", "replace"))

    return Place("systemd", name, os.path.join(base, "systemd", "user", name), home.path, read)


def launchd_place(home: Home) -> Place:
    """The property list, in the user's LaunchAgents."""
    name = launchd.label(home.path)
    file = os.path.expanduser(f"~/Library/LaunchAgents/{name}.plist")
    return Place("launchd", name, file, home.path, launchd.read_plist)


def find(home: Home) -> tuple[Place, Definition] | None:
    """The service of a home, whichever manager it was written for; None where there is none of ours."""
    for place in (systemd_place(home), launchd_place(home)):
        try:
            found = place.installed()
        except LocalFault:
            continue
        if found is not None:
            return place, found
    return None
