"""One line of `relay review`: a question with all that a person has to know to answer it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import field
from typing import Any

from relay.broker.asked_terms import are_terms, terms
from relay.broker.members import Members
from relay.broker.words import rfc3339
from relay.core import ids
from relay.core.errors import PeerFault
from relay.core.field_checks import MAX_MOMENT
from relay.core.ids import BrokerId
from relay.core.questions import Asked, is_request
from relay.core.spawning import MAX_ARGV, MAX_CHAIN, MODES, is_broker_id, is_json
from relay.core.values import frozen
from relay.core.wire import pack
from relay.store.spawn_rows import SpawnRow

MAX_ITEM = 200 * 1024
MAX_SHOWN = 60_000  # characters of a task that would not fit an envelope with the rest


@frozen
class Item:
    """A question that is open.

    Attributes:
        spawn … requested_by: the spawn it is about; `argv` for `exec`, else empty.
        request … expires: the question; times in milliseconds.
        cut: the task is longer than what is shown; its hash is of the whole.
        task_hash: SHA-256 of the task's text, 64 hexadecimal digits.
        model, timeout_s, wishes: what is asked for beside the task; the last as `Wishes.to_content` has it.
    """

    spawn: str
    name: str
    target: BrokerId
    origin: BrokerId
    chain: tuple[BrokerId, ...]
    agent: str
    cwd: str | None
    mode: str
    requested_by: str
    request: str
    kind: str
    text: str
    tool: str | None
    input: Any
    hash: str
    asked: int
    expires: int | None
    task: str
    argv: tuple[str, ...]
    task_hash: str
    cut: bool = False
    model: str | None = None
    timeout_s: float | None = None
    wishes: dict[str, Any] = field(default_factory=dict)

    def to_content(self) -> dict[str, Any]:
        """As it crosses a link."""
        own: dict[str, Any] = {name: getattr(self, name) for name in self.__match_args__}
        return own | {"chain": list(self.chain), "argv": list(self.argv)}


def moment_or_none(value: object) -> int | None:
    """A moment that a snapshot's `needs` gives, which is another broker's word; None where it is none."""
    return value if type(value) is int and 0 <= value <= MAX_MOMENT else None


def item_of(row: SpawnRow, needs: dict[str, Any]) -> Item:
    """The item of a spawn and one question about it.

    Args:
        row: the spawn.
        needs: the question, as in a snapshot.
    """
    item = Item(
        spawn=row.id,
        name=row.name,
        target=row.target,
        origin=row.origin,
        chain=row.chain,
        agent=row.agent,
        cwd=row.ran_in or row.cwd,
        mode=row.mode,
        requested_by=row.requested_by,
        request=str(needs.get("request", "")),
        kind=str(needs.get("kind", "")),
        text=str(needs.get("text", "")),
        tool=needs.get("tool"),
        input=needs.get("input"),
        hash=str(needs.get("hash", "")),
        asked=moment_or_none(needs.get("asked")) or row.since,
        expires=moment_or_none(needs.get("expires")),
        task="" if row.argv else row.task,
        argv=row.argv,
        task_hash=hashlib.sha256(row.task.encode()).hexdigest(),
        model=row.model,
        timeout_s=row.timeout_s,
        wishes=row.wishes.to_content(),
    )
    if len(pack(item.to_content())) <= MAX_ITEM:
        return item
    return dataclasses.replace(item, task=row.task[:MAX_SHOWN], argv=(), cut=True, input=None)


def _text(limit: int) -> Callable[[object], bool]:
    return lambda value: type(value) is str and len(value) <= limit


def _optional(check: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or check(value)


def _moment(value: object) -> bool:
    return moment_or_none(value) is not None


def _texts(value: object) -> bool:
    return type(value) is list and len(value) <= MAX_ARGV and all(type(each) is str for each in value)


def _brokers(value: object) -> bool:
    return type(value) is list and len(value) <= MAX_CHAIN and all(map(is_broker_id, value))


_CHECKS: dict[str, Callable[[object], bool]] = {
    "spawn": ids.is_spawn_id,
    "name": ids.is_name,
    "target": is_broker_id,
    "origin": is_broker_id,
    "chain": _brokers,
    "agent": ids.is_name,
    "cwd": _optional(_text(4096)),
    "mode": lambda value: value in MODES,
    "requested_by": _text(128),
    "request": is_request,
    "kind": lambda value: type(value) is str and value in Asked._value2member_map_,
    "text": _text(4096),
    "tool": _optional(_text(256)),
    "input": is_json,
    "hash": _text(64),
    "asked": _moment,
    "expires": _optional(_moment),
    "task": _text(MAX_ITEM),
    "argv": _texts,
    "task_hash": _text(64),
    "cut": lambda value: type(value) is bool,
}
_MAY_LACK: dict[str, Callable[[object], bool]] = {  # what brokers of an earlier version do not say
    "model": _optional(_text(256)),
    "timeout_s": _optional(lambda value: type(value) in (int, float) and 0 < value < 2**53),  # type: ignore[operator]
    "wishes": lambda value: is_json(value) and are_terms(value),
}


def item_from_content(content: object, target: BrokerId) -> Item:
    """An item that another broker sent; unknown keys are ignored.

    Args:
        content: of a `review.list`.
        target: who sent it: a broker speaks for its own spawns alone.

    Raises:
        PeerFault: a field is missing or wrong.
    """
    if type(content) is not dict:
        raise PeerFault("a list of questions was refused", why="an item is no map")
    checks = _CHECKS | {key: check for key, check in _MAY_LACK.items() if key in content}
    bad = next((key for key, check in checks.items() if key not in content or not check(content[key])), None)
    if bad is not None or content["target"] != target:
        raise PeerFault("a list of questions was refused", why=f"the field {bad or 'target'!r} of an item is wrong")
    known = {key: content[key] for key in checks}
    return Item(**known | {"chain": tuple(content["chain"]), "argv": tuple(content["argv"])})


def earlier(item: Item, by: int) -> Item:
    """The same with its times on another clock, one that shows `by` milliseconds less."""
    expires = None if item.expires is None else max(item.expires - by, 0)
    return dataclasses.replace(item, asked=max(item.asked - by, 0), expires=expires)


def item_view(item: Item, members: Members) -> dict[str, Any]:
    """An item as JSON answers show it."""
    shown = {name: getattr(item, name) for name in ("spawn", "name", "agent", "cwd", "mode", "requested_by")}
    asked = {name: getattr(item, name) for name in ("request", "kind", "text", "tool", "input", "hash")}
    what = {"task": item.task or " ".join(item.argv), "argv": list(item.argv), "task_hash": item.task_hash}
    return (
        shown
        | {"broker": members.label(item.target), "origin": members.label(item.origin)}
        | {"fingerprint": ids.grouped(item.origin), "chain": list(item.chain)}
        | what
        | {"terms": terms(item.model, item.timeout_s, item.wishes), "cut": item.cut}
        | asked
        | {"asked": rfc3339(item.asked), "expires": rfc3339(item.expires)}
    )
