"""What fits where something is being typed: from the table of verbs, and from the broker of this machine."""

from __future__ import annotations

from relay.cli.completing import place as places
from relay.cli.completing.place import Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from relay.api.client import Client
    from relay.api.shapes import Spawn
    from relay.cli.surface import Entry

    Candidates = Iterable[tuple[str, str]]

PATIENCE_S, AGAIN_S = 0.3, 0.1  # half a second in all
MOST = 200
ABOUT_LETTERS = 50
PATTERN = frozenset("*?[")
STATES = tuple(
    "live ended failed needs_you queued delivered held waiting starting running needs_input completed timed_out"
    " cancelled rejected expired lost".split()
)
UNFINISHED = tuple("needs_you queued delivered held waiting starting running needs_input".split())
FIXED: dict[str, tuple[str, ...]] = {
    "state": STATES,
    "status": UNFINISHED,
    "sort": ("created", "started", "ended", "name", "state", "broker", "priority"),
    "mode": ("plan", "edit", "full"),
    "profile": ("read-only", "runner", "full"),
    "shell": ("bash", "zsh", "fish"),
    "action": ("list", "revoke"),
}
COMES_TO = ("done", "failed", "pending")
BROKERS = frozenset({"broker", "brokers", "origin", "allow"})
AGENTS = frozenset({"agent", "agents"})
SPAWNS = frozenset({"spawn", "spawns", "to", "after", "after_success", "after_any"})
FILES = frozenset({"home", "cwd", "dirs", "directory", "file", "output"})
# the words of which the name alone does not say what they are
BY_VERB = {
    ("broker show", "name"): "broker",
    ("broker ping", "name"): "broker",
    ("broker rename", "name"): "broker",
    ("broker forget", "name"): "broker",
    ("broker promote", "name"): "broker",
    ("broker demote", "name"): "broker",
    ("broker evict", "name"): "broker",
    ("resolve", "words"): "spawn",
    ("ps", "name"): "spawn",
}
# whom a verb can act on
ONLY = {
    "stop": "live",
    "attach": "live",
    "forward": "live",
    "send": "live",
    "pause": "live",
    "resume": "live",
    "edit": "live",
    "wait": "live",
    "approve": "needs_you",
    "deny": "needs_you",
    "retry": "ended",
    "continue": "ended",
    "resolve": "failed",
}


def wants_files(place: Place) -> bool:
    """Whether the shell itself completes this better."""
    return place.sort == places.VALUE and place.name in FILES


def candidates(place: Place, table: dict[str, Entry], client: Client) -> list[tuple[str, str]]:
    """What fits, each with what it is; sorted, each once.

    Args:
        place: where.
        table: of the verbs.
        client: of this machine's broker; it is asked only where it knows more than the table.

    Raises:
        RelayError: the broker does not answer.
    """
    found: dict[str, str] = {}
    for value, about in _fitting(place, table, client):
        if value.startswith(place.typed) and value.isprintable():
            found.setdefault(place.before + value, about)
    return sorted(found.items())


def _fitting(place: Place, table: dict[str, Entry], client: Client) -> Candidates:
    if place.sort == places.VERB:
        return _verbs(place.verb, table)
    if place.sort == places.OPTION:
        flags = {**places.COMMON, **places.options(place.verb, table)}
        return [(flag, "") for flag in flags if flag.startswith("--") or place.typed == "-"]
    if place.sort != places.VALUE:
        return []
    name = BY_VERB.get((place.verb, place.name), place.name)
    if name in FIXED:
        return [(each, "") for each in FIXED[name]]
    return _known(name, place, client)


def _verbs(begun: str, table: dict[str, Entry]) -> Candidates:
    start = f"{begun} " if begun else ""
    return [(key.removeprefix(start).split()[0], "") for key in table if key.startswith(start)]


def _known(name: str, place: Place, client: Client) -> Candidates:
    from relay.api import routes

    found: list[tuple[str, str]] = []
    if name in SPAWNS:
        found += _spawns(_listed(place, client), place.typed)
    if place.verb == "resolve" and place.name == "words":
        found += [(each, "") for each in (COMES_TO if place.given else ("all",))]
    if name in BROKERS | AGENTS:
        known = client.ask(routes.brokers(PATIENCE_S))
        found += (
            [(agent, each["name"]) for each in known for agent in each["agents"]]
            if name in AGENTS
            else [(each["name"], "online" if each["online"] else "not in reach") for each in known]
        )
    return found


def _listed(place: Place, client: Client) -> list[Spawn]:
    """The newest of all that are kept; where there are more, all that lives as well, and what is called as is typed."""
    from contextlib import suppress

    from relay.api import routes
    from relay.core.errors import RelayError

    filters: dict[str, object] = {"all": True, "limit": MOST, "states": ONLY.get(place.verb)}
    found = client.ask(routes.listing(filters, PATIENCE_S))["spawns"]
    if len(found) < MOST:
        return found
    begun = place.typed.partition("@")[0]
    more = [] if filters["states"] else [filters | {"states": "live"}]
    if begun and not set(begun) & PATTERN:
        more.append(filters | {"name": f"{begun}*"})
    for each in more:
        with suppress(RelayError):  # what has come already is offered all the same
            found = [*found, *client.ask(routes.listing(each, AGAIN_S))["spawns"]]
    return list({each["id"]: each for each in found}.values())


def _spawns(spawns: list[Spawn], typed: str) -> Candidates:
    """Names; where there is one on several brokers, with its broker; and ids, when one is being typed."""
    from relay.cli.clean import brief
    from relay.cli.spawn_lines import SHORT
    from relay.dashboard.words import word

    brokers: dict[str, set[str]] = {}
    for each in spawns:
        brokers.setdefault(each["name"], set()).add(each["broker"]["id"])
    for each in spawns:
        name, broker = each["name"], each["broker"]["name"]
        about = f"{word(each['state'])} on {brief(broker)}: {brief(each['task'], ABOUT_LETTERS)}"
        yield (name if len(brokers[name]) == 1 and "@" not in typed else f"{name}@{broker}"), about
        if typed:
            yield each["id"][:SHORT], f"{brief(name)}, {about}"
