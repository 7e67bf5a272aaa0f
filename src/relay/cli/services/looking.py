"""What is true of a home's service: the file, the manager's word, the program in it, and the broker itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relay import __version__
from relay.cli.services.installing import answer, manager_of, would_fail
from relay.cli.services.seam import State
from relay.core.errors import RelayError

if TYPE_CHECKING:
    from relay.api.home import Home
    from relay.api.service.definition import Definition
    from relay.api.shapes import Status
    from relay.cli.services.seam import Manager

UNKNOWN = State(None, None, None, False)


def look(home: Home) -> dict[str, Any]:
    """The document of `relay service status --json`.

    Raises:
        LocalFault: something else stands where the service would be.
    """
    manager = manager_of(home)
    definition = manager.place.installed()
    trouble, mend = _unreachable(manager)
    state = UNKNOWN if trouble or definition is None else manager.state()
    broker = answer(home)
    found: dict[str, Any] = {
        "installed": definition is not None,
        "manager": manager.place.manager,
        "name": manager.place.name,
        "unit": manager.place.file,
        "enabled": state.enabled,
        "active": state.active,
        "pid": state.pid,
        "linger": None if trouble else manager.lingers(),
        "path": definition.path if definition else None,
        "program": _program(definition) if definition else None,
        "broker": _broker(broker, state, bool(trouble)),
    }
    silent = [(f"the service manager does not answer: {trouble}", mend)]
    problems = silent if trouble else _problems(home, manager, found)
    return found | {"ok": not problems, "problems": [{"text": text, "hint": hint} for text, hint in problems]}


def _unreachable(manager: Manager) -> tuple[str, str]:
    """What is the matter with the manager, and what mends it; empty texts where nothing is."""
    try:
        manager.check()
    except RelayError as fault:
        return fault.why, fault.hint
    return "", ""


def _program(definition: Definition) -> dict[str, Any]:
    trouble = would_fail(definition)
    return {"words": list(definition.words), "works": not trouble, "trouble": trouble}


def _broker(broker: Status | None, state: State, unknown: bool) -> dict[str, Any]:
    if broker is None:
        return {"answers": False, "pid": None, "version": None, "in_service": None}
    ours = None if unknown else broker["pid"] == state.pid
    return {"answers": True, "pid": broker["pid"], "version": broker["broker"]["version"], "in_service": ours}


def _problems(home: Home, manager: Manager, found: dict[str, Any]) -> list[tuple[str, str]]:
    install = home.command("service install")
    if not found["installed"]:
        return [("the broker does not come back after a reboot: no service is installed", install)]
    return [(text, hint) for holds, text, hint in _table(manager, found, install) if holds]


def _table(manager: Manager, found: dict[str, Any], install: str) -> list[tuple[bool, str, str]]:
    broker, program = found["broker"], found["program"]
    active = found["active"] or "in an unknown state"
    older = broker["answers"] and broker["version"] != __version__
    return [
        (not program["works"], f"what it would start does not work: {program['trouble']}", install),
        (found["enabled"] is False, "it is not started with the machine", install),
        (not broker["answers"], f"its broker does not answer; {manager.place.name} is {active}", install),
        (broker["in_service"] is False, "a broker runs, but outside of the service", install),
        (older, f"its broker is relay {broker['version']}, and this is {__version__}", install),
        (found["linger"] is False, "it runs only while you are logged in", manager.linger_command()),
    ]
