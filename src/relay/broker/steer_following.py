"""A request about a spawn in its order among others, at its target; and how its origin's copy follows what was done.

Requests and answers may come in any order, over two ways, or sealed again: what a later one has set is not set back.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable
from typing import Any

from relay.broker.inbox import Opened, Pointless
from relay.core import ids
from relay.core.errors import Code, Misuse, PeerFault
from relay.core.ids import BrokerId
from relay.core.spawning import is_json
from relay.core.states import NOT_STARTED
from relay.core.steering import ANOTHER_ATTEMPT, MARK, order_of, things_set, without
from relay.spawn.marks import apply_change, at_once, changed
from relay.store import queueing, spawns, steers
from relay.store.journal import Entry
from relay.store.spawn_rows import BY_ID, SpawnRow
from relay.store.steers import Steer

CHANGING = frozenset({"edit", "continue"})


def in_its_order(entry: Entry, asker: BrokerId, verb: str, content: dict[str, Any]) -> dict[str, Any] | None:
    """What is left to do of a request that comes now, remembered as done; None where later ones have set all of it.

    Args:
        entry: the transaction; where the request fails this is undone with it.
        asker: who asks.
        verb: for what.
        content: of the request.

    Raises:
        Misuse: `already_started`: another attempt was asked for after it.
    """
    order, things, spawn = order_of(content), things_set(verb, content), str(content["spawn"])
    if order is None or not things:
        return content
    latest = steers.orders(entry.tx, spawn, asker)
    if order < latest.get(ANOTHER_ATTEMPT, 0):
        raise Misuse(
            f"{spawn} was asked to run again before this came",
            code=Code.ALREADY_STARTED,
            why="this was asked earlier, of the attempt before, and came later",
            hint=f"relay show {spawn}",
        )
    passed = frozenset(thing for thing in things if order < latest.get(thing, 0))
    if passed == things:
        return None
    steers.note_order(entry.tx, spawn, asker, things - passed, order)
    return content | {"change": without(content["change"], passed)} if passed else content


def as_heeded(steer: Steer, answer: dict[str, Any]) -> Steer:
    """A request as its target took it: an older one, whose answer says no order, did each as it came."""
    if order_of(answer) is not None:
        return steer
    return dataclasses.replace(steer, content={key: value for key, value in steer.content.items() if key != "order"})


def follow(entry: Entry, row: SpawnRow, steer: Steer, own: str) -> None:
    """Bring the copy to what the target did; its word on the state comes by itself.

    Args:
        entry: the transaction.
        row: the copy.
        steer: what was asked for, and is done.
        own: this broker's name.
    """
    later = _set_later(entry, steer)
    if ANOTHER_ATTEMPT in things_set(steer.verb, steer.content) and "wishes.not_before" not in later:
        at_once(entry, row)
        row = spawns.require(entry.tx, row.id)
    if steer.verb in CHANGING:
        change = without(change_of(steer.content), later)
        if change:
            apply_change(entry, row, change)
    elif MARK in later or (ANOTHER_ATTEMPT in later and steer.verb in ("pause", "resume")):
        return
    elif steer.verb == "pause":
        if row.state in NOT_STARTED:  # else somebody resumed it there, and that word came first
            queueing.pause(entry.tx, row.id, entry.now, f"{steer.content.get('by', 'somebody')} on {own}")
    else:
        queueing.resume(entry.tx, row.id)


def _set_later(entry: Entry, steer: Steer) -> frozenset[str]:
    """What this broker asked for after that, and was told is done."""
    order, found = order_of(steer.content), set[str]()
    for each in () if order is None else steers.OF_SPAWN.all(entry.tx, spawn=steer.spawn):
        if each.error == {} and (order_of(each.content) or 0) > (order or 0):
            found |= things_set(each.verb, each.content) | ({"task"} if each.verb == "continue" else set())
    return frozenset(found)


def as_asked(row: SpawnRow, unanswered: Iterable[Steer]) -> SpawnRow:
    """A spawn as it will be once its target has done what it was asked and has not answered yet.

    What changes a part of something, as one label, says the whole of it: it is to begin from what comes before.
    """
    for each in sorted(unanswered, key=lambda steer: order_of(steer.content) or 0):
        if each.verb == "edit":
            with contextlib.suppress(Misuse):
                request = changed(row, change_of(each.content))
                row = dataclasses.replace(row, labels=request.labels, expires=request.expires, wishes=request.wishes)
    return row


def change_of(content: dict[str, Any]) -> dict[str, Any]:
    """What an `edit` or a `continue` changes."""
    return dict(content["change"]) if "change" in content else {"task": content["task"]}


def changed_there(entry: Entry, each: Opened) -> None:
    """A person at the target has changed what this broker asked for: the copy follows.

    Raises:
        PeerFault, Pointless: that cannot be, or is about nothing that is known.
    """
    content, target = each.body.content, each.header.origin
    spawn, change = content["spawn"], content["change"]
    row = BY_ID.one(entry.tx, id=spawn) if ids.is_spawn_id(spawn) else None
    if row is None or row.target != target:
        raise Pointless
    if not is_json(change) or not isinstance(change, dict):
        raise PeerFault("a change was refused", why="it has another form")
    left = in_its_order(entry, target, "edit", content)
    if left is None:
        return
    try:
        apply_change(entry, row, left["change"])
    except Misuse as error:
        raise PeerFault("a change was refused", why=error.message) from None
    entry.event("spawn.steered", {"spawn": row.id, "verb": "edit", "error": None})
