"""A client's request to run something, checked: from JSON to an order, or a sentence about what is wrong."""

from __future__ import annotations

import os
from typing import Any

from relay.broker.members import Members
from relay.core import ids
from relay.core.errors import Code, Misuse
from relay.core.ids import BrokerId
from relay.core.sources import read_source
from relay.core.spawning import FRESH_DIRECTORY, MAX_ARGV, MAX_TASK, MODES, SpawnRequest, first_bad_field
from relay.core.values import frozen
from relay.core.wishes import (
    MAX_COLLECT,
    MAX_PRIORITY,
    MAX_RETRIES,
    MAX_TURNS,
    Wishes,
    first_bad_wish,
    wishes_from_content,
)
from relay.core.workplaces import NOT_YET, ORIGIN
from relay.spawn.marks import changed
from relay.store.spawn_rows import SpawnRow

MADE_UP = "-"
DEFAULT_TTL_S, MAX_TTL_S = 7 * 86_400, 30 * 86_400


@frozen
class Order:
    """A checked request of a client.

    Attributes:
        operation: the client's; the same one acts once.
        request: what is to run.
        target: where.
        bundle: the file with the tree that goes along; absolute, or None.
        is_told: a person is told of it whatever the rules of their channels.
    """

    operation: str
    request: SpawnRequest
    target: BrokerId
    bundle: str | None = None
    is_told: bool = False


_WORDS = {
    "name": "a name has 1 to 64 of a-z, 0-9, '.', '_' and '-', and starts with a letter or digit; `-` makes one up",
    "agent": "an agent's name looks like a spawn's",
    "task": f"a task is text of at most {MAX_TASK // 1024} KiB, without NUL",
    "argv": f"it has at most {MAX_ARGV} words, without NUL",
    "cwd": "a directory is a path of UTF-8 text, of at most 4096 bytes and without NUL, or `new`",
    "mode": f"a mode is one of {', '.join(MODES)}",
    "model": "a model is a short text",
    "timeout_s": "a timeout is more than 0 and at most 30 days",
    "labels": "labels are at most 32 short texts by name",
    "requested_by": "it is a short text",
    "broker": "a broker is named by a text: its name, or the beginning of its id",
    "priority": f"a priority is a whole number from -{MAX_PRIORITY} to {MAX_PRIORITY}; the higher one starts first",
    "retries": f"a number of retries lies between 0 and {MAX_RETRIES}",
    "not_before": "a moment is given in milliseconds since 1970",
    "collect": f"it is at most {MAX_COLLECT} patterns of files below its directory, such as 'dist/*.whl'",
    "memory": "a limit of memory is at least 1 MiB, in bytes",
    "cpus": "a limit of processors is at least 0.01",
    "place": "it is a repository that can be fetched, or a tree, with a folder in it and what it is pushed to",
    "max_turns": f"a limit of turns lies between 1 and {MAX_TURNS}",
    "on_limit": "it is fail, or wait",
}
_SAID = {"timeout_s": "timeout", "max_turns": "limit of turns", "collect": "pattern of files"}
_TRIES = {"timeout_s": "--timeout 2h", "collect": "--collect 'dist/*.whl'", "labels": "--label ticket=42"}
_WISHES = (
    *("priority", "retries", "not_before", "collect", "tty", "stdin", "memory", "cpus", "keep_awake"),
    *("max_turns", "on_limit"),
)
_WISHES_OF_ITS_COURSE = ("after", "place")


def _text(body: dict[str, Any], key: str, default: str = "") -> str:
    value = body.get(key)
    if value is not None and not isinstance(value, str):
        raise _bad(key)
    return default if value is None else value


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _bad(key: str) -> Misuse:
    what = {"task": Code.BAD_TASK, "argv": Code.BAD_TASK, "name": Code.BAD_NAME, "agent": Code.BAD_NAME}
    return Misuse(
        f"the {_SAID.get(key, key)} cannot be used",
        code=what.get(key, Code.USAGE),
        why=_WORDS.get(key, "it has another form"),
        hint=_TRIES.get(key, "relay spawn --help"),
    )


def check_operation(body: dict[str, Any]) -> str:
    """The operation id of a POST.

    Raises:
        Misuse: it has none, or an ill-formed one.
    """
    operation = body.get("operation")
    if not ids.is_operation(operation):
        raise Misuse(
            "the request has no operation id" if operation is None else "that cannot be an operation id",
            why="each POST carries one, so that a retry acts once: 1 to 128 letters, digits and . _ : / + = -",
            hint="choose another --idempotency-key, or none",
        )
    return str(operation)


def read_order(body: dict[str, Any], members: Members, now: int) -> Order:
    """The order in a client's JSON.

    Args:
        body: of `POST /api/v1/spawns`.
        members: to find the broker.
        now: milliseconds since 1970.

    Raises:
        Misuse: a field is missing or wrong; the sentence names it.
    """
    operation = check_operation(body)
    # None is this machine; anything else that is no text must not become this machine by accident
    target = members.resolve(None if body.get("broker") is None else _text(body, "broker"))
    request = _request(body, target == members.own, now)
    content = request.to_content()
    bad = "task" if not _encodable(request.task) else first_bad_field(content)
    if bad is not None:
        raise _bad(bad)
    return Order(operation, request, target, _bundle(body), body.get("notify") is True)


def _request(body: dict[str, Any], local: bool, now: int) -> SpawnRequest:
    spawn = ids.spawn_id(os.urandom(ids.SPAWN_ID_BYTES))
    argv = body.get("argv") or []
    if not isinstance(argv, list) or not all(isinstance(word, str) and _encodable(word) for word in argv):
        raise _bad("argv")
    wishes = _wishes(body)
    return SpawnRequest(
        id=spawn,
        name=_name(body, spawn),
        agent=_text(body, "agent"),
        task=_text(body, "task") or " ".join(argv),
        created=now,
        expires=max(now, wishes.not_before or 0) + _ttl(body),
        argv=tuple(argv),
        cwd=_directory(body, local, wishes),
        mode=_text(body, "mode", "edit"),
        model=body.get("model"),
        timeout_s=body.get("timeout_s"),
        labels=body.get("labels") or {},
        requested_by=_text(body, "requested_by")[:128],
        wishes=wishes,
    )


def _wishes(body: dict[str, Any]) -> Wishes:
    asked = {key: body.get(key) for key in (*_WISHES, *_WISHES_OF_ITS_COURSE)}
    given = {key: value for key, value in asked.items() if value is not None and value is not False}  # 0 is a wish
    if "place" in given:
        given["place"] = _place(given["place"])
    bad = first_bad_wish(given)
    if bad is not None:
        raise _bad(bad)
    return wishes_from_content(given)


def _directory(body: dict[str, Any], local: bool, wishes: Wishes) -> Any:
    if wishes.place is None:
        return body.get("cwd") or (body.get("caller_cwd") if local else None)
    if body.get("cwd") not in (None, FRESH_DIRECTORY):
        why = "a place that comes along is made in a folder of its own"
        raise Misuse("--cwd goes with neither --repo nor --here", why=why, hint="relay spawn --help")
    return FRESH_DIRECTORY


def _place(given: Any) -> Any:
    """The wish in a client's words: what its blob is the broker finds out."""
    if not isinstance(given, dict):
        return given
    for key in ("repo", "push"):
        if isinstance(given.get(key), str) and given[key] != ORIGIN:
            read_source(given[key])  # which says what is wrong with it
    if not isinstance(given.get("tree"), dict):
        return {key: value for key, value in given.items() if value not in (None, "")}
    told = {key: value for key, value in given.items() if value not in (None, "") and key != "file"}
    return told | {"tree": {"blob": NOT_YET, "size": 0} | given["tree"]}


def _bundle(body: dict[str, Any]) -> str | None:
    place = body.get("place")
    path = place.get("file") if isinstance(place, dict) else None
    if path is None:
        return None
    if not isinstance(path, str) or not os.path.isabs(path) or "\0" in path:
        raise _bad("place")
    return path


def _name(body: dict[str, Any], spawn: str) -> str:
    name = _text(body, "name", MADE_UP)
    # of 10,000 that live some two would have the same five letters of their ids, and one of them be refused for it
    agent = (_text(body, "agent") or "spawn")[: 63 - ids.SHORT_CHARS]
    return f"{agent}-{spawn[: ids.SHORT_CHARS]}" if name == MADE_UP else name


def _ttl(body: dict[str, Any]) -> int:
    given = body.get("ttl_s")
    ttl = DEFAULT_TTL_S if given is None else given
    if type(ttl) not in (int, float) or not 0 < ttl <= MAX_TTL_S:
        raise Misuse(
            "the ttl cannot be used",
            code=Code.BAD_DURATION,
            why="it is more than 0 and at most 30 days",
            hint="--ttl 7d",
        )
    return int(ttl * 1000)


_CHANGES = ("task", "argv", "cwd", "mode", "model", "timeout_s")
_CHANGED_WISHES = ("priority", "retries", "not_before", "after")


def read_change(body: dict[str, Any], row: SpawnRow, now: int) -> dict[str, Any]:
    """What `edit` changes, in the terms of a request's body.

    Args:
        body: of the request; a field that is not in it stays as it is.
        row: the spawn as it is known here.
        now: milliseconds since 1970.

    Raises:
        Misuse: there is nothing to change, or something cannot be that.
    """
    change = {key: body[key] for key in _CHANGES if key in body}
    if "labels" in body:
        change["labels"] = row.labels | body["labels"] if isinstance(body["labels"], dict) else body["labels"]
    if "argv" in change and "task" not in change:
        change["task"] = " ".join(map(str, change["argv"]))
    wishes = {key: body[key] for key in _CHANGED_WISHES if key in body}
    if bad := first_bad_wish({key: value for key, value in wishes.items() if value is not None}):
        raise _bad(bad)
    change |= {"wishes": wishes} if wishes else {}
    if "ttl_s" in body or "not_before" in body:
        change["expires"] = _expires(body, row, wishes.get("not_before", row.wishes.not_before), now)
    if not change:
        raise Misuse("there is nothing to change", why="no option was given", hint="relay edit --help")
    changed(row, change)
    return change


def _expires(body: dict[str, Any], row: SpawnRow, moment: int | None, now: int) -> int:
    """Until when a changed spawn may start: its time to live counts from its moment, and goes along with that."""
    earlier = row.expires - max(row.created, row.wishes.not_before or 0)
    ttl = _ttl(body) if "ttl_s" in body else min(max(earlier, 1), MAX_TTL_S * 1000)
    return max(now, moment or 0) + ttl
