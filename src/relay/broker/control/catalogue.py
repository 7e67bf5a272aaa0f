"""Every route of the control API, with the scope that a device of the dashboard needs for it.

A route that is not here is answered to nobody who comes by the dashboard's port; nor is one whose scope is None, which
is for this machine's own user on the control socket. The dashboard's OpenAPI document is made of this.
"""

from __future__ import annotations

from typing import Any

from relay.core.scopes import APPROVE, SPAWN, TERMINAL, TRUST, VIEW
from relay.core.values import frozen

PREFIX = "/api/v1/"
TITLE = "The control API of a Relay broker"


@frozen
class Described:
    """One route.

    Attributes:
        method: GET or POST.
        path: below `PREFIX`, its parameters in braces.
        scope: what a device needs; None: it is not for devices.
        about: what it does.
        fields: of the query of a GET, or of the JSON object of a POST beside its operation id: `NAME:KIND` each, where
            a kind is one of `KINDS`, and `!` after it says that the field must be there.
        lines: whether the answer is a line of JSON each.
    """

    method: str
    path: str
    scope: str | None
    about: str
    fields: tuple[str, ...] = ()
    lines: bool = False


KINDS: dict[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "texts": {"type": "array", "items": {"type": "string"}},
    "flag": {"type": "boolean"},
    "count": {"type": "integer", "minimum": 0},
    "whole": {"type": "integer"},
    "number": {"type": "number"},
    "object": {"type": "object"},
    "verb": {"enum": ["approve", "deny", "send"]},
    "end": {"enum": ["done", "failed", "pending"]},
    "mode": {"enum": ["plan", "edit", "full"]},
}
"""What a field may be, as JSON Schema; `?` after a kind lets it be null as well."""


def _get(path: str, about: str, fields: str = "", lines: bool = False) -> Described:
    return Described("GET", path, VIEW, about, tuple(fields.split()), lines)


def _post(path: str, scope: str | None, about: str, fields: str = "", lines: bool = False) -> Described:
    return Described("POST", path, scope, about, tuple(fields.split()), lines)


_ORDER = (
    "name:text! agent:text! task:text argv:texts broker:text cwd:text mode:mode model:text timeout_s:number"
    " ttl_s:number labels:object requested_by:text priority:whole retries:count not_before:count max_turns:count"
    " on_limit:text memory:count cpus:number tty:flag stdin:flag keep_awake:flag place:object after:texts"
    " after_success:texts after_any:texts collect:texts wait_s:number notify:flag"
)
_LOG = "offset:count follow:flag tail:count since:count bytes:flag"
_CHANGE = (
    "task:text argv:texts cwd:text mode:mode model:text timeout_s:number ttl_s:number labels:object priority:whole"
    " retries:count not_before:count after:texts after_success:texts after_any:texts requested_by:text"
)
_GRANT = (
    "profile:text verbs:texts agents:texts dirs:texts mode:mode max_parallel:count ask:flag expires:text rate:text"
    " hours:texts"
)
_LIST = (
    "all:flag limit:count broker:text origin:text agent:text name:text states:text labels:text since:count before:count"
    " sort:text reverse:flag"
)
CATALOGUE: tuple[Described, ...] = (
    _get("status", "How this broker is"),
    _get("settings", "The settings as they hold"),
    _get("doctor", "What the broker finds when it examines itself"),
    _post("down", TRUST, "Stop the broker; its tasks go on, and its shared servers end"),
    _post("identity/keep", TRUST, "This machine is the real one of two with one identity"),
    _post("person", VIEW, "Whether this is no task"),
    # the mesh
    _get("brokers", "The members of the workspace"),
    _get("brokers/{ref}", "Everything known of one member"),
    _post("brokers/{ref}/ping", VIEW, "One round trip over the link to a member"),
    _post("brokers/{ref}/rename", TRUST, "Call a member otherwise", "name:text!"),
    _post("brokers/{ref}/forget", TRUST, "Delete what is known of a member beside its membership"),
    _post("brokers/{ref}/promote", TRUST, "Let a member sign the roster"),
    _post("brokers/{ref}/demote", TRUST, "Let a member sign the roster no more", "reason:text"),
    _post("brokers/{ref}/evict", TRUST, "Put a member out of the workspace", "reason:text"),
    _get("roster", "The roster and who signs it"),
    _get("workspace", "The workspace and its epochs"),
    _post("workspace/rotate", TRUST, "Give the workspace a new key"),
    _post("invites", TRUST, "A one-time way in for a new member", "ttl_s:number code:flag qr:flag"),
    _post("joins", TRUST, "Take this broker into another workspace", "link:text! address:text? name:text?"),
    _get("grants", "Who may do what on this machine"),
    _post("grants/{ref}/allow", TRUST, "Give a broker rights on this machine, or more of them", _GRANT),
    _post("grants/{ref}/revoke", TRUST, "Take all rights on this machine from a broker"),
    _post("grants/changed", TRUST, "trust.toml was edited"),
    _get("outbox", "Envelopes on their way"),
    _post("outbox/retry", SPAWN, "Send dead letters again", "id:text? all:flag broker:text?"),
    _post("outbox/drop", SPAWN, "Take an envelope out of the outbox", "id:text? all:flag broker:text?"),
    # spawns
    _get("spawns", "Spawns, newest first", _LIST),
    _post("spawns", SPAWN, "Run something", _ORDER),
    _get("spawns/{ref}", "One spawn with its course"),
    _get("spawns/{ref}/wait", "One spawn, once it has ended or needs a person", "seconds:number"),
    _get("spawns/{ref}/log", "What a spawn has written", _LOG, lines=True),
    _get("spawns/{ref}/diff", "What a spawn changed, as text"),
    _post(
        "spawns/{ref}/files",
        SPAWN,
        "Write the files that a spawn gave back into a folder of this machine",
        "to:text! force:flag",
        lines=True,
    ),
    _post(
        "spawns/{ref}/tree",
        SPAWN,
        "Write what a spawn changed into a folder of this machine",
        "to:text!",
        lines=True,
    ),
    _post("spawns/{ref}/stop", SPAWN, "End a spawn and all it started", "requested_by:text"),
    _post("spawns/{ref}/pause", SPAWN, "Do not start a spawn that waits", "requested_by:text"),
    _post("spawns/{ref}/resume", SPAWN, "Let a paused spawn start", "requested_by:text"),
    _post("spawns/{ref}/retry", SPAWN, "Run it once more", "requested_by:text"),
    _post("spawns/{ref}/take", TERMINAL, "Take its session over, to type into it", "requested_by:text"),
    _post("spawns/{ref}/edit", SPAWN, "Change a spawn that has not started", _CHANGE),
    _post("spawns/{ref}/continue", SPAWN, "Go on with its session", "task:text! requested_by:text"),
    _post("spawns/{ref}/attach", TERMINAL, "Its terminal, both ways"),
    _post("spawns/{ref}/forward", TERMINAL, "A connection to a port of the machine that runs it"),
    _get("waits", "The first of several spawns that ends", "of:text! seconds:number"),
    _get("listing", "Spawns, with how many there are and where the events go on from", _LIST),
    _get("queue", "The tasks that have not ended", "states:text"),
    _post("queue/pause", SPAWN, "Start nothing more on a broker", "broker:text? requested_by:text"),
    _post("queue/resume", SPAWN, "Start what waits on a broker", "broker:text? requested_by:text"),
    _get("away", "What needs a person, and what has ended since they last looked", "seq:count since:count"),
    _get("schedules", "What runs again and again", "all:flag"),
    _post("schedules", SPAWN, "Run something again and again", _ORDER + " every:text!"),
    _post("schedules/{ref}/remove", SPAWN, "Run it no more", "requested_by:text"),
    _post("trials", SPAWN, "What would become of a spawn", _ORDER + " every:text"),
    _get("agents", "What each broker can run", "broker:text"),
    _post("clean", SPAWN, "Remove the folders that ended spawns worked in", "older_s:number! trial:flag"),
    # persons
    _get("review", "Everything that waits for a person"),
    _post(
        "answers",
        APPROVE,
        "Approve, deny, or send text",
        "spawn:text! verb:verb! request:text? text:text requested_by:text wait_s:number",
    ),
    _get("notify", "Whom a person is told by, the addresses masked"),
    _get("notify/sent", "What a person was told, and how that went", "spawn:text limit:count"),
    _post(
        "notify",
        None,
        "Add a channel",
        "name:text! address:text! on:texts by:texts labels:texts agents:texts brokers:texts full:flag link:text?"
        " instead_of:text? via:texts",
    ),
    _post("notify/{ref}/test", None, "Send a test over a channel"),
    _post("notify/{ref}/remove", None, "Tell over a channel no more"),
    # runners, shared tools, calls
    _get("tools", "The runners of this broker and the tools that others share with it"),
    _post("tools/hide", TRUST, "Show a tool to no client of this broker", "name:text! broker:text?"),
    _post("tools/unhide", TRUST, "Show a hidden tool again", "name:text! broker:text?"),
    _get("shares", "What is shared here"),
    _post(
        "shares",
        None,
        "Share an MCP server or a runner",
        "name:text! command:texts? runner:text? only:texts env:object",
    ),
    _post("shares/{name}/remove", None, "Share it no more"),
    _get("calls", "The calls that are known here, newest first", "limit:count"),
    _post(
        "calls",
        SPAWN,
        "Run a tool once",
        "tool:text! broker:text? arguments:object timeout_s:number? ttl_s:number? wait_s:number? requested_by:text",
    ),
    _get("calls/{ref}", "One call, once it has ended", "wait_s:number"),
    _post("calls/{ref}/stop", SPAWN, "Stop a call", "requested_by:text"),
    _post("programs", None, "What a program that serves runners says and hears, both ways"),
    _get("failures", "What ended badly and nobody has resolved"),
    _post("resolutions", APPROVE, "Say what an end comes to", "spawns:texts! as:end! notes:text requested_by:text"),
    # what happened
    _get("events", "What happened, a line each", "since:count follow:flag", lines=True),
    _get("audit", "The latest decisions", "limit:count"),
    _get("audit/lines", "The decisions after a number, a line each", "since:count follow:flag", lines=True),
    _get("audit/verify", "Whether the audit log is whole"),
    # files
    _get("blobs", "The blobs that are here or on their way"),
    _post(
        "blobs",
        SPAWN,
        "Offer a file of this machine to another broker",
        "path:text! broker:text! name:text ttl_s:number wait:flag",
        lines=True,
    ),
    _post("blobs/get", SPAWN, "Write a blob to a file of this machine", "blob:text! to:text?", lines=True),
    _post("blobs/remove", SPAWN, "Drop a blob", "blob:text!"),
    # the dashboard
    _get("dashboard", "Where the dashboard is served"),
    _post("dashboard/open", None, "Serve the dashboard from now on"),
    _post("dashboard/codes", None, "A code that opens the dashboard once", "scopes:texts! shown:flag"),
    _post("dashboard/publish", None, "What the dashboard is called in public", "origin:text?"),
    _get("dashboard/push", "Whether this device is told by Web Push, and the key that it has to name"),
    _post("dashboard/push", VIEW, "Tell this device by Web Push", "endpoint:text! key:text! auth:text! full:flag"),
    _post("dashboard/push/off", VIEW, "Tell this device no more"),
    _get("dashboard/devices", "The devices that may open the dashboard"),
    _post("dashboard/devices/{ref}/revoke", TRUST, "Take the token of a device away"),
)
LIVE = frozenset({("POST", "spawns/{ref}/attach"), ("POST", "spawns/{ref}/forward")})
"""What goes on as long as both sides like."""
SCOPE_OF: dict[tuple[str, str], str | None] = {(each.method, each.path): each.scope for each in CATALOGUE}
