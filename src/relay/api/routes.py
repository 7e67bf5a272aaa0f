"""Every request of the control contract, made once for both clients.

A function here makes a `Call`; `Client.ask` or `AsyncClient.ask` carries it and gives back what the type
says; the calls whose docstring says "a line each" go to `lines`. Every POST carries the operation id, minted
by the client, so that a request sent again after a lost answer acts once.
"""

from __future__ import annotations

import os

from relay.api.http1 import quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Generic, TypeVar

    from relay.api import (
        agent_shapes,
        audit_shapes,
        blob_shapes,
        broker_shapes,
        outbox_shapes,
        pairing_shapes,
        shapes,
        view_shapes,
    )

    Answer = TypeVar("Answer")

    class _Answered(Generic[Answer]):
        """Carries the answer's type for the checker."""

else:
    Answer = None

    class _Answered:
        """`typing.Generic` without the import."""

        def __class_getitem__(cls, item: object) -> type:
            return cls


PREFIX = "/api/v1/"
ANSWER_S = 60.0
FOLLOWED_S = 30 * 86_400.0  # an answer begins with its first line, and what is followed may be silent for long
TREE_S = 900.0  # a tree that goes along is read and hashed before the answer: at most 1 GiB
QUICK_S = 10.0  # for what a broker knows without asking anybody
MOST_LETTERS = 300  # of a name: a path has room for no more than some thousand
MOST_LISTED = 1_000  # spawns in one answer


class Call(_Answered[Answer]):
    """One request.

    Attributes:
        method: GET or POST.
        path: with its query.
        body: the JSON document, or None.
        patience_s: how long the answer may take; by default 10 s where something is only looked at.
    """

    __slots__ = ("body", "method", "path", "patience_s")

    def __init__(self, path: str, body: dict[str, Any] | None = None, patience_s: float | None = None) -> None:
        self.method = "GET" if body is None else "POST"
        self.path = PREFIX + path
        self.body = body
        self.patience_s = (QUICK_S if body is None else ANSWER_S) if patience_s is None else patience_s


def new_operation() -> str:
    """A fresh operation id (32 letters)."""
    return os.urandom(16).hex()


def query(**values: object) -> str:
    """What follows the path; what is None is left out."""
    given = {key: int(value) if isinstance(value, bool) else value for key, value in values.items()}
    pairs = [f"{key}={quoted(str(value))}" for key, value in given.items() if value is not None]
    return "?" + "&".join(pairs) if pairs else ""


def operation_body(operation: str | None, **body: object) -> dict[str, Any]:
    """A POST's body with its operation id, a fresh one where there is none."""
    return {"operation": operation or new_operation(), **body}


def ref_in_path(text: str) -> str:
    """A spawn as it stands in a path."""
    return in_path(text, "spawn", "relay ps --all")


def in_path(text: str, kind: str, hint: str) -> str:
    """What a person names, as it stands in a path; a slash would make it another path, and no name has one.

    Raises:
        Misuse: `unknown_KIND`: nothing can be called that; the hint lists what there is.
    """
    if text and "/" not in text and len(text) <= MOST_LETTERS:
        return quoted(text)
    from relay.core.errors import Code, Misuse

    raise Misuse(f"there is no {kind} {text[:80]!r}", code=Code(f"unknown_{kind}"), hint=hint)


def status(patience_s: float | None = None) -> Call[shapes.Status]:
    """How this broker is."""
    return Call("status", patience_s=patience_s)


def agents(broker: str | None = None) -> Call[list[agent_shapes.BrokerAgents]]:
    """What each broker can run, or the one of this name; each looks at its programs, which may take 20 s."""
    return Call("agents" + query(broker=broker), patience_s=ANSWER_S)


def settings() -> Call[dict[str, object]]:
    """The settings as they hold in the broker that runs."""
    return Call("settings")


def brokers(patience_s: float | None = None) -> Call[list[broker_shapes.Broker]]:
    """The members of the workspace as this broker sees them."""
    return Call("brokers", patience_s=patience_s)


def broker_in_path(text: str) -> str:
    """A broker as it stands in a path."""
    return in_path(text, "broker", "relay brokers")


def broker(ref: str) -> Call[broker_shapes.BrokerShown]:
    """Everything known of one member, by name or id prefix."""
    return Call(f"brokers/{broker_in_path(ref)}")


def broker_ping(ref: str, operation: str | None = None) -> Call[broker_shapes.BrokerPing]:
    """One round trip over the link to a member."""
    return Call(f"brokers/{broker_in_path(ref)}/ping", operation_body(operation))


def broker_rename(ref: str, name: str, operation: str | None = None) -> Call[broker_shapes.BrokerRenamed]:
    """Call a member otherwise."""
    return Call(f"brokers/{broker_in_path(ref)}/rename", operation_body(operation, name=name))


def broker_forget(ref: str, operation: str | None = None) -> Call[broker_shapes.BrokerForgotten]:
    """Delete what is known of a member beside its membership."""
    return Call(f"brokers/{broker_in_path(ref)}/forget", operation_body(operation))


def spawns(everything: bool = False, broker: str | None = None, limit: int | None = None) -> Call[list[shapes.Spawn]]:
    """Spawns, newest first.

    Args:
        everything: all that are kept; else those that live and the last that ended.
        broker: only those on this broker (name or id prefix).
        limit: at most so many.
    """
    return Call("spawns" + query(all=everything, broker=broker, limit=limit))


def listing(filters: dict[str, object], patience_s: float | None = None) -> Call[view_shapes.Listing]:
    """A list of spawns, with how many there are.

    Args:
        filters: those that are not None count: `all`, `limit`, `broker`, `origin`, `agent`, `name` (a pattern),
            `states` (names and groups with commas between), `labels` (a JSON object), `since` and `before`
            (milliseconds since 1970), `sort`, `reverse`, `around` (with what other brokers run for others),
            `unfinished` (only what has not ended; `states` is one of those).
        patience_s: how long the answer may take.
    """
    return Call("listing" + query(**filters), patience_s=patience_s)


def away(seq: int | None, since: int) -> Call[view_shapes.Away]:
    """What needs a person now, and what has ended since they last looked.

    Args:
        seq: the `seq` of the last such answer; None for none.
        since: when that was, milliseconds since 1970, for events that are no longer kept.
    """
    return Call("away" + query(seq=seq, since=since))


def spawn(request: shapes.SpawnOrder) -> Call[shapes.Spawn]:
    """Run something; answered as soon as the request is durable, or with `wait_s` when it has ended."""
    patience_s = TREE_S if "file" in request.get("place", {}) else ANSWER_S
    return Call("spawns", operation_body(None) | dict(request), patience_s=request.get("wait_s", 0) + patience_s)


def show(ref: str, patience_s: float | None = None) -> Call[view_shapes.Shown]:
    """One spawn with its course, by id prefix, name or name@broker."""
    return Call(f"spawns/{ref_in_path(ref)}", patience_s=patience_s)


def wait(ref: str, seconds: float = 30) -> Call[shapes.Spawn]:
    """One spawn, once it has ended, needs a person, or the seconds are over."""
    return Call(f"spawns/{ref_in_path(ref)}/wait" + query(seconds=seconds), patience_s=seconds + ANSWER_S)


def log(
    ref: str, follow: bool = False, tail: int | None = None, offset: int | None = None, since: int | None = None
) -> Call[shapes.LogLine]:
    """What a spawn has written, a line each.

    Args:
        ref: which spawn.
        follow: go on until it has ended.
        tail: only the last so many lines.
        offset: from a `next` that an earlier line carried.
        since: what was written at or after this moment, milliseconds since 1970.
    """
    path = f"spawns/{ref_in_path(ref)}/log" + query(offset=offset, follow=follow, tail=tail, since=since)
    return Call(path, patience_s=FOLLOWED_S if follow else ANSWER_S)


def write_files(ref: str, to: str, force: bool = False, operation: str | None = None) -> Call[blob_shapes.FilesLine]:
    """Write the files that a spawn gave back into a folder of this machine; a line each of how far it is."""
    return Call(f"spawns/{ref_in_path(ref)}/files", operation_body(operation, to=to, force=force))


def stop(ref: str, operation: str | None = None) -> Call[shapes.StoppedSpawn]:
    """End a spawn and all it started; answered as soon as that is durable."""
    from relay.api.person import person

    return Call(f"spawns/{ref_in_path(ref)}/stop", operation_body(operation, requested_by=person()))


def events(since: int | None = None, follow: bool = False) -> Call[shapes.Event]:
    """What happened, a line each; `{"kind":"reset"}` where `since` is no longer kept."""
    return Call("events" + query(since=since, follow=follow), patience_s=FOLLOWED_S if follow else None)


def queue(states: Sequence[str] = ()) -> Call[list[shapes.Spawn]]:
    """The tasks that have not ended, on every machine.

    Args:
        states: only those in one of these states or groups of states; none for all.
    """
    return Call("queue" + query(states=",".join(states) or None))


def outbox() -> Call[outbox_shapes.Outbox]:
    """Envelopes on their way."""
    return Call("outbox")


def outbox_retry(
    envelope: str | None, everything: bool = False, broker: str | None = None, operation: str | None = None
) -> Call[outbox_shapes.OutboxDone]:
    """Send dead letters again.

    Args:
        envelope: one, by the beginning of its id.
        everything: or all of them.
        broker: of these only those for this broker.
    """
    body = operation_body(operation, id=envelope, all=everything, broker=broker)
    return Call("outbox/retry", body)


def outbox_drop(
    envelope: str | None, everything: bool = False, broker: str | None = None, operation: str | None = None
) -> Call[outbox_shapes.OutboxDone]:
    """Take an envelope out of the outbox, or all dead letters; arguments as for `outbox_retry`."""
    from relay.api.person import person

    body = operation_body(operation, id=envelope, all=everything, broker=broker, requested_by=person())
    return Call("outbox/drop", body)


def audit(limit: int | None = None) -> Call[list[audit_shapes.AuditEntry]]:
    """The latest decisions, allowed and refused."""
    return Call("audit" + query(limit=limit))


def audit_lines(since: int | None, follow: bool) -> Call[audit_shapes.AuditEntry]:
    """The entries after a number, one a line; `follow` goes on with those to come, and begins there without one."""
    return Call("audit/lines" + query(since=since, follow=follow), patience_s=FOLLOWED_S if follow else None)


def audit_verify() -> Call[audit_shapes.AuditVerdict]:
    """Whether the audit log's chain holds."""
    return Call("audit/verify", patience_s=ANSWER_S)


def invite(ttl_s: float | None = None, operation: str | None = None) -> Call[pairing_shapes.Invite]:
    """A one-time link for a new member."""
    return Call("invites", operation_body(operation, ttl_s=ttl_s))


def invite_code(ttl_s: float | None = None, operation: str | None = None) -> Call[pairing_shapes.InviteCode]:
    """A one-time code for a new member."""
    return Call("invites", operation_body(operation, ttl_s=ttl_s, code=True))


def join(
    invite: str, name: str | None = None, operation: str | None = None, address: str | None = None
) -> Call[pairing_shapes.Founded]:
    """Take this broker into the workspace that a link, or a code with its address, invites to."""
    return Call("joins", operation_body(operation, link=invite, name=name, address=address), patience_s=ANSWER_S)


def as_person() -> Call[dict[str, Any]]:
    """Ask whether this is no task; changes nothing, and is refused with `task_scope` where it is one."""
    return Call("person", operation_body(None), patience_s=QUICK_S)


def grants_changed(operation: str | None = None) -> Call[dict[str, Any]]:
    """Tell the broker that trust.toml was edited."""
    return Call("grants/changed", operation_body(operation))


def doctor() -> Call[list[shapes.Check]]:
    """What the broker finds when it examines itself."""
    return Call("doctor", patience_s=ANSWER_S)


def identity_keep(operation: str | None = None) -> Call[dict[str, Any]]:
    """This machine is the real one: count on from the latest start that a peer has seen."""
    return Call("identity/keep", operation_body(operation))


def down(operation: str | None = None) -> Call[dict[str, Any]]:
    """Stop the broker; its tasks go on, and its shared servers end."""
    return Call("down", operation_body(operation))


def blobs() -> Call[list[blob_shapes.Blob]]:
    """The blobs that are here, on their way here, or offered to others."""
    return Call("blobs")


def send_blob(order: blob_shapes.BlobOrder, operation: str | None = None) -> Call[blob_shapes.BlobLine]:
    """Offer a file to another broker; a line each of how far it is, the last one with the blob."""
    return Call("blobs", operation_body(operation) | dict(order))


def get_blob(ref: str, to: str | None = None, operation: str | None = None) -> Call[blob_shapes.BlobLine]:
    """Fetch a blob and write it to a file of this machine; a line each of how far it is."""
    return Call("blobs/get", operation_body(operation, blob=ref, to=to))


def remove_blob(ref: str, operation: str | None = None) -> Call[blob_shapes.BlobRemoved]:
    """Drop a blob and all offers of it."""
    return Call("blobs/remove", operation_body(operation, blob=ref))
