"""`relay dashboard`, `dashboard devices` and `dashboard pair`."""

from __future__ import annotations

import os
import sys

from relay.api import dashboard_routes as routes
from relay.cli import ages, speech, table
from relay.cli.clean import clean
from relay.core.errors import Code, Misuse, Unreachable
from relay.core.scopes import PHONE, SCOPES, scopes_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.dashboard_shapes import DashboardCode, Device
    from relay.cli.invocation import Invocation

HEADINGS = ("NAME", "ID", "FINGERPRINT", "MAY", "SINCE", "LAST USED")
NOBODY = "no browser may open the dashboard; this lets one: "
LIST, REVOKE = "list", "revoke"


def run(invocation: Invocation, *, no_open: bool, scopes: str | None) -> int:
    """Open the dashboard, or print the link to it."""
    opens = not no_open and not invocation.json and _has_screen()
    # the browser is given it in a command line
    made = invocation.client().ask(routes.code(_scopes(scopes, SCOPES), is_shown=opens))
    url = f"{made['address']}/#code={made['code']}"
    is_opened = opens and _open(url)
    if invocation.json:
        speech.document(_document(made, url))
        return 0
    speech.say(url)
    _say_port(made)
    if is_opened:
        speech.note("your browser opens it")
    else:
        speech.note(f"open it in a browser of this machine within {ages.ahead(made['expires'])}; it works once")
        if not _has_screen():
            forward = f"ssh -N -L {made['port']}:127.0.0.1:{made['port']} THIS_MACHINE"
            speech.note(f"from another machine, run this there first:  {forward}")
    return 0


def _document(made: DashboardCode, url: str) -> dict[str, object]:
    return {"url": url, **made}


def _scopes(text: str | None, default: tuple[str, ...]) -> tuple[str, ...]:
    return default if text is None else scopes_of([each.strip() for each in text.split(",") if each.strip()])


def _say_port(made: DashboardCode) -> None:
    if made["wanted_port"] and made["port"] != made["wanted_port"]:
        speech.note(f"port {made['wanted_port']} was taken on this machine: it is served on {made['port']} instead")


def _has_screen() -> bool:
    """Whether a browser could show anything here; over SSH it would be shown to nobody."""
    if os.environ.get("SSH_CONNECTION"):
        return False
    return sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _open(url: str) -> bool:
    import webbrowser

    return webbrowser.open(url)


def pair(invocation: Invocation, *, scopes: str | None) -> int:
    """Show the link for another device."""
    wanted = _scopes(scopes, PHONE)
    client = invocation.client()
    if client.ask(routes.place())["published"] is None:
        raise Unreachable(
            "a phone cannot reach the dashboard yet",
            code=Code.NO_ADDRESS,
            why="it is served to this machine alone",
            hint=invocation.home.command("dashboard publish"),
        )
    made = client.ask(routes.code(wanted))
    url = f"{made['published']}/#code={made['code']}"
    if invocation.json:
        speech.document(_document(made, url))
        return 0
    if speech.is_terminal(sys.stdout):
        _draw(url)
    speech.say(url)
    speech.note(f"It works once, for {ages.ahead(made['expires'])}, and lets the device {', '.join(made['scopes'])}.")
    return 0


def _draw(url: str) -> None:
    import segno

    segno.make(url, micro=False).terminal(out=sys.stdout, compact=True, border=2)


def devices(invocation: Invocation, *, action: str, device: str | None) -> int:
    """List the devices, or revoke one."""
    if action == REVOKE and device is not None:
        return _revoke(invocation, device)
    if action != LIST or device is not None:
        raise Misuse(
            "which device?" if action == REVOKE else f"{action[:40]!r} is nothing that can be done with devices",
            why="it is list, or revoke with a device",
            hint="relay dashboard devices list   or: relay dashboard devices revoke DEVICE",
        )
    found = invocation.client().ask(routes.devices())
    if invocation.json:
        speech.document(found)
    else:
        table.show(HEADINGS, [_row(each) for each in found], NOBODY + invocation.home.command("dashboard"))
    return 0


def _revoke(invocation: Invocation, ref: str) -> int:
    gone = invocation.client().ask(routes.revoke(ref))
    if invocation.json:
        speech.document(gone)
    else:
        speech.say(f"{clean(gone['name'])} may no longer open the dashboard")
    return 0


def _row(device: Device) -> list[str]:
    used = f"{ages.since(device['last_used'])} ago" if device["last_used"] else "-"
    may = ",".join(device["scopes"])
    return [device["name"], device["id"][:8], device["fingerprint"], may, device["created"][:10], used]
