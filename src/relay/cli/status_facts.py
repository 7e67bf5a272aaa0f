"""`relay status` in full."""

from __future__ import annotations

from relay.api import routes
from relay.cli import ages, speech, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.home import Home
    from relay.api.shapes import Load, Status
    from relay.cli.invocation import Invocation

NOT_RUNNING = 1


def show(invocation: Invocation) -> int:
    """Print how the broker is; without one say so. The exit status."""
    home = invocation.home
    try:
        found = invocation.client().ask(routes.status())
    except Exception as fault:
        from relay.core.errors import Code, RelayError

        if not isinstance(fault, RelayError) or fault.code is not Code.NOT_RUNNING:
            raise
        return _not_running(invocation)
    if invocation.json:
        speech.document(found)
        return 0
    named = f"{found['broker']['name']} ({found['broker']['id'][:8]})"
    table.facts([("broker", named), *_facts(found, home), ("home", home.path)])
    return 0


def _not_running(invocation: Invocation) -> int:
    if invocation.json:
        speech.document({"running": False, "home": invocation.home.path})
    else:
        speech.say("the broker of this machine is not running")
        speech.note(f"try:   {invocation.home.command('up --detach')}")
    return NOT_RUNNING


def _facts(status: Status, home: Home) -> list[tuple[str, str]]:
    tasks, outbox, workspace = status["tasks"], status["outbox"], status["workspace"]
    oldest = f", the oldest {ages.since(outbox['oldest'])} old" if outbox["oldest"] else ""
    store, doctor = status["store"], home.command("doctor")
    return [
        ("running", f"yes, pid {status['pid']}, for {ages.since(status['since'])}"),
        ("listens", ", ".join(status["listen"]) or "nowhere"),
        ("workspace", f"{workspace['name']} ({workspace['id'][:8]}), epoch {workspace['epoch']}"),
        ("links", _links(status)),
        ("tasks", f"{tasks['running']} running, {tasks['waiting']} waiting, {tasks['held']} held for you"),
        ("queue", _queue(status, home)),
        ("outbox", f"{_counted(outbox)}{oldest}"),
        ("keeps", f"{_counted(kept)} for others" if (kept := status.get("held")) and kept["envelopes"] else ""),
        ("intake", "" if status.get("intake", True) else f"STOPPED: the store is an older copy: {doctor}"),
        ("store", f"{'ok' if store['ok'] else f'NOT OK: {doctor}'}, SQLite {store['sqlite']}"),
        ("version", status["broker"]["version"]),
    ]


def _queue(status: Status, home: Home) -> str:
    paused = status.get("queue", {"paused": None})["paused"]
    resume = home.command("queue resume")
    return f"paused by {paused['by']} for {ages.since(paused['at'])}: {resume}" if paused else ""


def _counted(load: Load) -> str:
    return f"{load['envelopes']} envelope{'s' * (load['envelopes'] != 1)}, {load['bytes']} bytes"


def _links(status: Status) -> str:
    there = status.get("brokers")
    if not there or not there["online"] + there["away"] + there["unknown"]:
        return str(status["links"])
    unknown = f", {there['unknown']} unknown" if there["unknown"] else ""
    return f"{status['links']}; of the others {there['online']} online, {there['away']} away{unknown}"
