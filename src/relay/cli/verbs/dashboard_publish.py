"""`relay dashboard publish`."""

from __future__ import annotations

from relay.api import config
from relay.api import dashboard_routes as routes
from relay.cli import speech, tailscale_serve
from relay.core.errors import LocalFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.cli.invocation import Invocation


def run(invocation: Invocation, *, off: bool) -> int:
    """Serve the dashboard to the tailnet, or no more."""
    return _off(invocation) if off else _on(invocation)


def _on(invocation: Invocation) -> int:
    client = invocation.client()
    port = client.ask(routes.serve())["port"] or config.DASHBOARD_PORT
    origin = tailscale_serve.serve(tailscale_serve.command(port), port)
    place = client.ask(routes.publish(origin))
    if invocation.json:
        speech.document(place)
        return 0
    speech.say(f"{origin} is the dashboard of this machine, for the machines of your tailnet")
    speech.note(f"try:   {invocation.home.command('dashboard pair')}   (the link for a phone)")
    return 0


def _off(invocation: Invocation) -> int:
    client = invocation.client()
    # first: from then on the broker turns away what comes by that name, whatever becomes of the rest
    place = client.ask(routes.publish(None))
    try:
        tailscale_serve.stop(tailscale_serve.command(place["port"] or config.DASHBOARD_PORT))
    except LocalFault as fault:
        speech.note(f"tailscale may still carry it here, where it is turned away: {fault.message}: {fault.why}")
    if invocation.json:
        speech.document(place)
    else:
        speech.say("the dashboard is served to this machine alone")
    return 0
