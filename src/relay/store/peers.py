"""What is known of the other brokers. The roster says who is a member; this says where and when it was seen."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from relay.core.ids import BrokerId
from relay.core.values import frozen
from relay.store.query import Query, Tx, columns, first_column, insertion, mapper, to_json


@frozen
class Peer:
    """One broker that is not this one.

    Attributes:
        public, sealing_public: raw Ed25519 and X25519 keys, 32 bytes.
        addresses: `host:port` texts, or whatever documents the broker room keeps.
        last_seen: when a link to it last spoke, milliseconds.
        incarnation, nonce: the highest that a hello of it stated; `start_proof`: its own signature over them.
        frozen: its rights are suspended (a clone was seen) until its owner here allows it again.
        clock_skew_ms: its clock minus ours.
        grants_to_us: what it said we may do there; None where it has not said.
        agents: what it said it has.
        farewell: how it was last seen to go; empty where that is not known.
    """

    id: BrokerId
    public: bytes
    sealing_public: bytes | None = None
    name: str = ""
    addresses: tuple[Any, ...] = ()
    last_seen: int | None = None
    incarnation: int = 0
    nonce: bytes | None = None
    frozen: bool = False
    clock_skew_ms: int | None = None
    version: str = ""
    grants_to_us: list[Any] | None = None
    agents: tuple[Any, ...] = ()
    farewell: str = ""
    start_proof: bytes | None = None


def skew_of(tx: Tx, peer: BrokerId) -> int:
    """By how much its times are shown earlier here, milliseconds: 0 where its clock is about right, or not known."""
    return told_earlier(SKEW.one(tx, id=peer))


def told_earlier(skew: int | None) -> int:
    """The same, of what is known of its clock; see `skew_of`."""
    return skew if skew and abs(skew) >= LEAST_SKEW_MS else 0


def _texts(stored: str) -> tuple[Any, ...]:
    return tuple(json.loads(stored))


_row = mapper(Peer, addresses=_texts, frozen=bool, grants_to_us=json.loads, agents=_texts)
LEAST_SKEW_MS = 60_000
_SELECT = f"SELECT {columns(Peer)} FROM peers"
_FIELDS = tuple(item.name for item in dataclasses.fields(Peer))
_CHANGES = ", ".join(f"{key} = excluded.{key}" for key in _FIELDS if key != "id")
_UPSERT = f"{insertion('peers', _FIELDS)} ON CONFLICT (id) DO UPDATE SET {_CHANGES}"

ALL: Query[Peer] = Query(f"{_SELECT} ORDER BY name, id", _row)
SKEW: Query[int | None] = Query("SELECT clock_skew_ms FROM peers WHERE id = :id", first_column)
IDS: Query[BrokerId] = Query("SELECT id FROM peers", first_column)
BY_ID: Query[Peer] = Query(f"{_SELECT} WHERE id = :id", _row)
BY_NAME: Query[Peer] = Query(f"{_SELECT} WHERE name = :name ORDER BY id", _row)
BY_PREFIX: Query[Peer] = Query(f"{_SELECT} WHERE id >= :prefix AND id < :prefix || '~' ORDER BY id", _row)


def _stored(peer: Peer) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(peer, name) for name in _FIELDS}
    return values | {key: to_json(values[key]) for key in ("addresses", "grants_to_us", "agents")}


def upsert(tx: Tx, peer: Peer) -> None:
    """Write the whole row, new or not."""
    tx.execute(_UPSERT, _stored(peer))


def change(tx: Tx, peer: BrokerId, **changes: Any) -> Peer | None:
    """Replace some fields of a row; the new row, or None where there is no such peer.

    Args:
        changes: fields of `Peer` by name, in the form they have there.
    """
    found = BY_ID.one(tx, id=peer)
    if found is None:
        return None
    changed = dataclasses.replace(found, **changes)
    upsert(tx, changed)
    return changed


def note_seen(tx: Tx, peer: BrokerId, now: int, farewell: str = "") -> None:
    """Remember that a link to this peer spoke, and how it went; never goes back.

    Args:
        now: milliseconds.
        farewell: as in `Peer`.
    """
    sql = "UPDATE peers SET last_seen = max(coalesce(last_seen, 0), ?), farewell = ? WHERE id = ?"
    tx.execute(sql, (now, farewell, peer))


def forget(tx: Tx, peer: BrokerId) -> bool:
    """Delete the row; whether there was one."""
    return tx.execute("DELETE FROM peers WHERE id = ?", (peer,)).rowcount > 0
