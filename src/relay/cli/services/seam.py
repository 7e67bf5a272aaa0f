"""What the verbs need of a service manager, and how its commands are run."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, NamedTuple, Protocol

from relay.core.errors import Code, LocalFault

if TYPE_CHECKING:
    from relay.api.service.definition import Definition
    from relay.api.service.installed import Place

COMMAND_S = 90.0
MAX_SAID = 600


class State(NamedTuple):
    """What the manager says of a service.

    Attributes:
        enabled: whether it is started with the machine or the login; None where nobody can say.
        active: the manager's own word, such as `active`, `failed` or `inactive`; None where nobody can say.
        pid: of its broker, while that runs.
        failing: it was started and ended, or waits to be started again.
    """

    enabled: bool | None
    active: str | None
    pid: int | None
    failing: bool


class Manager(Protocol):
    """One way a system runs services for a user, for one home."""

    place: Place

    def check(self) -> None:
        """Make sure that the manager can be reached.

        Raises:
            LocalFault: `no_service_manager`, with what is the matter and what to do.
        """

    def fault(self, definition: Definition) -> str:
        """Why this manager cannot run a definition, or an empty text."""

    def text(self, definition: Definition) -> bytes:
        """What is written into the place."""

    def load(self) -> None:
        """Make the manager read the place.

        Raises:
            LocalFault: `service_failed`; it does not take what stands there.
        """

    def enable(self) -> None:
        """Have it started from now on.

        Raises:
            LocalFault: `service_failed`.
        """

    def start(self) -> None:
        """Start it, or start it anew where it runs.

        Raises:
            LocalFault: `service_failed`.
        """

    def remove(self) -> None:
        """Stop it and let go of it; the file stays for the caller to remove.

        Raises:
            LocalFault: `service_failed`; it may run on.
        """

    def forget(self) -> None:
        """After the file was removed: let the manager see that."""

    def state(self) -> State:
        """What the manager says."""

    def lingers(self) -> bool | None:
        """Whether it runs without a login; None where that is no question here, or nobody can say."""

    def linger(self) -> bool:
        """Ask for that; whether it was granted."""

    def linger_command(self) -> str:
        """The command for a person to type where it was refused, or an empty text."""

    def journal(self) -> str:
        """The command that shows what the service printed."""


class Done(NamedTuple):
    """A command that has ended: its exit status (127: there is none of that name) and what it said."""

    status: int
    out: str
    said: str


def run(words: tuple[str, ...], extra: dict[str, str] | None = None) -> Done:
    """Run a command of the system's, its words in the C locale.

    Args:
        words: the program, looked up in PATH, and its arguments.
        extra: variables beside the present ones.
    """
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_S,
            check=False,
            env={**os.environ, "LC_ALL": "C", "SYSTEMD_COLORS": "0", **(extra or {})},
        )
    except FileNotFoundError:
        return Done(127, "", f"there is no {words[0]} on this machine")
    except OSError as error:
        return Done(126, "", f"{words[0]}: {error.strerror}")
    except subprocess.TimeoutExpired:
        return Done(124, "", f"{words[0]} did not end within {COMMAND_S:.0f} s")
    out, said = (each.decode("utf-8", "replace") for each in (done.stdout, done.stderr))
    return Done(done.returncode, out, " ".join(said.split())[:MAX_SAID])


def failed(done: Done, words: tuple[str, ...], message: str, hint: str) -> LocalFault:
    """The fault for a command that did not do what it was asked."""
    why = f"`{' '.join(words)}` ended with exit status {done.status}: {done.said}".rstrip(": ")
    return LocalFault(message, code=Code.SERVICE_FAILED, why=why, hint=hint)


def no_manager(why: str, hint: str) -> LocalFault:
    """The fault for a machine, or a login, without a service manager."""
    return LocalFault("no service can be installed here", code=Code.NO_SERVICE_MANAGER, why=why, hint=hint)


def has(program: str) -> bool:
    """Whether a program of this name is found on PATH."""
    return shutil.which(program) is not None
