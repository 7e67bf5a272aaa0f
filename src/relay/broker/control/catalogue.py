"""Every route of the control API, with the scope that a device of the dashboard needs for it.

A route that is not here is answered to nobody who comes by the dashboard's port; nor is one whose scope is None, which
is for this machine's own user on the control socket.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.core.scopes import APPROVE, SPAWN, TERMINAL, TRUST, VIEW

PREFIX = "/api/v1/"


@dataclass(frozen=True, slots=True)
class Described:
    """One route.

    Attributes:
        method: GET or POST.
        path: below `PREFIX`, its parameters in braces.
        scope: what a device needs; None: it is not for devices.
        about: what it does.
    """

    method: str
    path: str
    scope: str | None
    about: str


def _get(path: str, about: str) -> Described:
    return Described("GET", path, VIEW, about)


def _post(path: str, scope: str | None, about: str) -> Described:
    return Described("POST", path, scope, about)


CATALOGUE: tuple[Described, ...] = (
    _get("status", "How this broker is"),
    _get("settings", "The settings as they hold"),
    _get("doctor", "What the broker finds when it examines itself"),
    _post("down", TRUST, "Stop the broker; what it runs goes on"),
    _post("identity/keep", TRUST, "This machine is the real one of two with one identity"),
    _post("person", VIEW, "Whether this is no task"),
    # the mesh
    _get("brokers", "The members of the workspace"),
    _get("brokers/{ref}", "Everything known of one member"),
    _post("brokers/{ref}/ping", VIEW, "One round trip over the link to a member"),
    _post("brokers/{ref}/rename", TRUST, "Call a member otherwise"),
    _post("brokers/{ref}/forget", TRUST, "Delete what is known of a member beside its membership"),
    _post("brokers/{ref}/promote", TRUST, "Let a member sign the roster"),
    _post("brokers/{ref}/demote", TRUST, "Let a member sign the roster no more"),
    _post("brokers/{ref}/evict", TRUST, "Put a member out of the workspace"),
    _get("roster", "The roster and who signs it"),
    _get("workspace", "The workspace and its epochs"),
    _post("workspace/rotate", TRUST, "Give the workspace a new key"),
    _post("invites", TRUST, "A one-time way in for a new member"),
    _post("joins", TRUST, "Take this broker into another workspace"),
    _get("grants", "Who may do what on this machine"),
    _post("grants/{ref}/allow", TRUST, "Give a broker rights on this machine, or more of them"),
    _post("grants/{ref}/revoke", TRUST, "Take all rights on this machine from a broker"),
    _post("grants/changed", TRUST, "trust.toml was edited"),
    _get("outbox", "Envelopes on their way"),
    _post("outbox/retry", SPAWN, "Send dead letters again"),
    _post("outbox/drop", SPAWN, "Take an envelope out of the outbox"),
    # spawns
    _get("spawns", "Spawns, newest first"),
    _post("spawns", SPAWN, "Run something"),
    _get("spawns/{ref}", "One spawn with its course"),
    _get("spawns/{ref}/wait", "One spawn, once it has ended or needs a person"),
    _get("spawns/{ref}/log", "What a spawn has written"),
    _post("spawns/{ref}/files", SPAWN, "Write the files that a spawn gave back into a folder of this machine"),
    _post("spawns/{ref}/tree", SPAWN, "Write what a spawn changed into a folder of this machine"),
    _post("spawns/{ref}/stop", SPAWN, "End a spawn and all it started"),
    _post("spawns/{ref}/pause", SPAWN, "Do not start a spawn that waits"),
    _post("spawns/{ref}/resume", SPAWN, "Let a paused spawn start"),
    _post("spawns/{ref}/retry", SPAWN, "Run it once more"),
    _post("spawns/{ref}/take", SPAWN, "Start a spawn before its turn"),
    _post("spawns/{ref}/edit", SPAWN, "Change a spawn that has not started"),
    _post("spawns/{ref}/continue", SPAWN, "Go on with its session"),
    _post("spawns/{ref}/attach", TERMINAL, "Its terminal, both ways"),
    _post("spawns/{ref}/forward", TERMINAL, "A connection to a port of the machine that runs it"),
    _get("waits", "The first of several spawns that ends"),
    _get("listing", "Spawns, with how many there are and where the events go on from"),
    _get("queue", "The tasks that have not ended"),
    _post("queue/pause", SPAWN, "Start nothing more on a broker"),
    _post("queue/resume", SPAWN, "Start what waits on a broker"),
    _get("away", "What needs a person, and what has ended since they last looked"),
    _get("schedules", "What runs again and again"),
    _post("schedules", SPAWN, "Run something again and again"),
    _post("schedules/{ref}/remove", SPAWN, "Run it no more"),
    _post("trials", SPAWN, "What would become of a spawn"),
    _get("agents", "What each broker can run"),
    _post("clean", SPAWN, "Remove the folders that ended spawns worked in"),
    # persons
    _get("review", "Everything that waits for a person"),
    _post("answers", APPROVE, "Approve, deny, or send text"),
    _get("failures", "What ended badly and nobody has resolved"),
    _post("resolutions", APPROVE, "Say what an end comes to"),
    # what happened
    _get("events", "What happened, a line each"),
    _get("audit", "The latest decisions"),
    _get("audit/lines", "The decisions after a number, a line each"),
    _get("audit/verify", "Whether the audit log is whole"),
    # files
    _get("blobs", "The blobs that are here or on their way"),
    _post("blobs", SPAWN, "Offer a file of this machine to another broker"),
    _post("blobs/get", SPAWN, "Write a blob to a file of this machine"),
    _post("blobs/remove", SPAWN, "Drop a blob"),
    # the dashboard
    _get("dashboard", "Where the dashboard is served"),
    _post("dashboard/open", None, "Serve the dashboard from now on"),
    _post("dashboard/codes", None, "A code that opens the dashboard once"),
    _post("dashboard/publish", None, "What the dashboard is called in public"),
    _get("dashboard/devices", "The devices that may open the dashboard"),
    _post("dashboard/devices/{ref}/revoke", TRUST, "Take the token of a device away"),
)
SCOPE_OF: dict[tuple[str, str], str | None] = {(each.method, each.path): each.scope for each in CATALOGUE}
