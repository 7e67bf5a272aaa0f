"""`relay service install`, `uninstall` and `status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relay.cli import login_path, progress, speech, table
from relay.cli.clean import clean
from relay.cli.services import installing, looking

if TYPE_CHECKING:
    from relay.cli.invocation import Invocation
    from relay.cli.login_path import FoundPath
    from relay.cli.services.installing import Installed
    from relay.cli.services.seam import Manager

WRONG = 1


def install(invocation: Invocation, *, show: bool) -> int:
    """Install the service or, with `--print`, show what would be written."""
    home = invocation.home
    manager = installing.manager_of(home)
    if not show:
        installing.require_ready(home, manager)
    found = login_path.login_path()
    definition = installing.defined(home, manager, found.path)
    notes = _path_notes(found)
    if show:
        return _print(invocation, manager, manager.text(definition), notes)
    with progress.Shown("installing the service, and waiting for its broker", quiet=invocation.json):
        done = installing.install(home, manager, definition)
    notes += _install_notes(manager, done)
    if invocation.json:
        speech.document(_document(manager, found, done, notes))
        return 0
    word = "brought up to date" if done.updated else "installed"
    speech.say(f"{word}: {manager.place.name}; its broker runs as pid {done.pid}")
    table.facts([("unit", manager.place.file), ("PATH", f"{found.path}   (from {found.source})")])
    _say(notes)
    speech.note(f"which agents it finds: {home.command('doctor')}")
    return 0


def _print(invocation: Invocation, manager: Manager, text: bytes, notes: list[str]) -> int:
    unit = text.decode()
    if invocation.json:
        speech.document({"manager": manager.place.manager, "unit": manager.place.file, "text": unit, "notes": notes})
        return 0
    speech.put(unit)
    _say([*notes, f"it would be written to {manager.place.file}"])
    return 0


def _say(notes: list[str]) -> None:
    for each in notes:
        speech.note(clean(each))


def _path_notes(found: FoundPath) -> list[str]:
    notes = [f"{found.trouble}: the service gets the PATH of {found.source} instead"] if found.trouble else []
    if found.left_out:
        notes.append(f"{found.left_out} entries of that PATH were left out: not absolute, or not printable")
    return notes


def _install_notes(manager: Manager, done: Installed) -> list[str]:
    notes = []
    if done.took_over is not None:
        notes.append(f"the broker that ran outside of the service (pid {done.took_over}) was stopped; its work goes on")
    if manager.place.manager == "launchd":
        notes.append("it starts when you log in at this Mac")
    elif done.lingers:
        notes.append("it starts with the machine, before you log in")
    elif done.lingers is None:
        notes.append(f"whether it runs without a login, nobody could say; to make sure: {manager.linger_command()}")
    else:
        notes.append(f"it runs only while you are logged in, because lingering was refused: {manager.linger_command()}")
    return notes


def _document(manager: Manager, found: FoundPath, done: Installed, notes: list[str]) -> dict[str, Any]:
    return {
        "manager": manager.place.manager,
        "name": manager.place.name,
        "unit": manager.place.file,
        "path": found.path,
        "path_from": "terminal" if found.trouble else "login_shell",
        "pid": done.pid,
        "updated": done.updated,
        "took_over": done.took_over,
        "linger": done.lingers,
        "notes": notes,
    }


def uninstall(invocation: Invocation) -> int:
    """Remove the service; the home stays."""
    home = invocation.home
    manager = installing.manager_of(home)
    with progress.Shown("removing the service", quiet=invocation.json):
        was = installing.uninstall(home, manager)
    if invocation.json:
        speech.document({"removed": was, "name": manager.place.name, "unit": manager.place.file, "home": home.path})
        return 0
    if not was:
        speech.say(f"there was no service {manager.place.name}")
        return 0
    speech.say(f"removed: {manager.place.name}; its broker is stopped")
    speech.note(f"kept: the home {clean(home.path)}, and what the broker was running, which goes on")
    if manager.lingers():
        speech.note("kept: lingering, which other services of yours may need; to end it: loginctl disable-linger")
    speech.note(f"to run the broker without a service: {home.command('up --detach')}")
    return 0


def status(invocation: Invocation) -> int:
    """Show how the service is."""
    found = looking.look(invocation.home)
    if invocation.json:
        speech.document(found)
    else:
        table.facts(_facts(found))
        for problem in found["problems"]:
            speech.say(f"{speech.coloured('WRONG', speech.RED)}  {clean(problem['text'])}")
            if problem["hint"]:
                speech.say(f"       try: {clean(problem['hint'])}")
    return 0 if found["ok"] else WRONG


def _facts(found: dict[str, Any]) -> list[tuple[str, str]]:
    broker = found["broker"]
    program = found["program"]
    runs = f"yes, pid {broker['pid']}, relay {broker['version']}" if broker["answers"] else "no"
    return [
        ("service", f"{found['name']} ({found['manager']})"),
        ("installed", f"yes, {found['unit']}" if found["installed"] else "no"),
        ("enabled", _word(found["enabled"])),
        ("active", f"{found['active'] or 'unknown'}" + (f", pid {found['pid']}" if found["pid"] else "")),
        ("linger", _word(found["linger"]) if found["manager"] == "systemd" else ""),
        ("PATH", found["path"] or ""),
        ("program", f"{' '.join(program['words'])}" if program else ""),
        ("broker", runs),
    ]


def _word(value: bool | None) -> str:
    return {True: "yes", False: "no", None: "unknown"}[value]
