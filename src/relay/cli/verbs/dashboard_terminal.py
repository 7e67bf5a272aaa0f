"""`relay dashboard terminal`."""

from __future__ import annotations

from relay.api import terminal_package as package
from relay.cli import speech
from relay.core.errors import LocalFault, Misuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.cli.invocation import Invocation

SHOW, INSTALL, REMOVE = "show", "install", "remove"
_WHAT = f"{package.XTERM.name} {package.XTERM.version}"


def run(invocation: Invocation, *, action: str, source: str | None) -> int:
    """Say whether the dashboard has a terminal, fetch one, or remove it."""
    if action not in (SHOW, INSTALL, REMOVE) or (source is not None and action != INSTALL):
        raise Misuse(
            f"{action[:40]!r} is nothing that can be done with the terminal" if source is None else "from where?",
            why="it is show, install, install --from FILE, or remove",
            hint=f"relay {package.INSTALL}",
        )
    if action == INSTALL:
        _install(invocation, source)
    elif action == REMOVE:
        package.remove(invocation.home)
    return _show(invocation)


def _install(invocation: Invocation, source: str | None) -> None:
    wanted = f"{package.registry()}/{package.XTERM.path}" if source is None else source
    speech.note(f"{'fetching' if source is None else 'reading'} {wanted}")
    package.keep(invocation.home, package.fetch(wanted) if source is None else _read(source))


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(package.MOST_PACKED)
    except OSError as fault:
        why = f"{path}: {fault.strerror}"
        raise LocalFault("the file cannot be read", why=why, hint=f"relay {package.INSTALL}") from None


def _show(invocation: Invocation) -> int:
    is_there = package.kept(invocation.home) is not None
    if invocation.json:
        document = {"installed": is_there, "package": package.XTERM.name, "version": package.XTERM.version}
        speech.document(document | {"folder": invocation.home.terminal})
    elif is_there:
        speech.say(f"the dashboard shows tasks' terminals by {_WHAT}, in {invocation.home.terminal}")
    else:
        speech.say(f"the dashboard has no terminal: it shows logs; {_WHAT} is fetched only when you say so")
        speech.note(f"try:   {invocation.home.command(package.INSTALL)}   (1.4 MB, once, checked by its hash)")
    return 0
