"""`roster.json`: the members of the workspace as the last broker run, `init` or `join` left them.

Public information, kept so that a name can be turned into an id while no broker runs. It grants nothing.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from relay.core import naming
from relay.core.errors import Code, LocalFault, Misuse
from relay.core.ids import BrokerId
from relay.core.spawning import is_broker_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from relay.api.home import Home

MAX_BYTES = 16 * 1024 * 1024


class Member(NamedTuple):
    """One broker of the workspace."""

    id: BrokerId
    name: str
    addresses: tuple[str, ...]
    alias: str = ""

    @property
    def called(self) -> str:
        """What it is called on this machine."""
        return self.alias or self.name


def _member(entry: object) -> Member | None:
    if not isinstance(entry, dict) or not is_broker_id(entry.get("id")):
        return None
    addresses = entry.get("addresses", [])
    texts = tuple(str(each) for each in addresses) if isinstance(addresses, list) else ()
    return Member(BrokerId(entry["id"]), str(entry.get("name", "")), texts, str(entry.get("alias", "")))


def _document(home: Home) -> dict[str, Any]:
    try:
        with open(home.roster, "rb") as file:
            data = file.read(MAX_BYTES + 1)
        document = json.loads(data) if len(data) <= MAX_BYTES else None
    except FileNotFoundError:
        return {}
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise LocalFault(
            f"{home.roster} cannot be read",
            code=Code.STORE_FAULT,
            why="it is not the JSON that a broker writes there",
            hint=f"remove it and run {home.command('up')}, which writes it again",
        )
    return document


def members(home: Home) -> list[Member]:
    """Everyone on the roster; empty where there is none yet.

    Raises:
        LocalFault: the file is there and is not a roster.
    """
    entries = _document(home).get("members", [])
    found = map(_member, entries if isinstance(entries, list) else [])
    return [member for member in found if member is not None]


def find(known: Iterable[Member], text: str) -> Member:
    """The one member that this text names: by name, id, or the first letters of the id.

    Raises:
        Misuse: nobody, or more than one.
    """
    everyone = list(known)
    found = naming.meant(text, {member.id: (member.name, member.called) for member in everyone})
    matching = [member for member in everyone if member.id in found]
    if len(matching) == 1:
        return matching[0]
    raise _nobody(text, everyone) if not matching else _several(text, matching)


def _nobody(text: str, everyone: list[Member]) -> Misuse:
    names = ", ".join(sorted(member.called for member in everyone)) or "none"
    return Misuse(
        f"no broker is called {text[:80]!r}",
        code=Code.UNKNOWN_BROKER,
        why=f"the workspace's members known here: {names}",
        hint="relay brokers",
    )


def _several(text: str, matching: list[Member]) -> Misuse:
    candidates = ", ".join(f"{member.called} ({member.id[:12]})" for member in matching)
    return Misuse(
        f"{text[:80]!r} names more than one broker",
        code=Code.AMBIGUOUS,
        why=f"candidates: {candidates}",
        hint="use more letters of the id",
    )
