"""Runners that are offered here, what of them is shared, what was told to whom, and what others tell."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from relay.core.ids import BrokerId
from relay.core.offers import Catalogue, Offer
from relay.core.values import frozen
from relay.store.query import Query, Tx, columns, first_column, insertion, mapper, to_json


@frozen
class Offered:
    """A runner that a program offers here, or did when it last ran.

    Attributes:
        program: the id of that program's process; `pid`, `ticks` and `boot` name the process for good.
        title: what the program calls itself.
        served: when it was last seen to serve it, milliseconds.
    """

    name: str
    definition: str
    kind: str
    share: str | None
    program: str
    title: str
    pid: int
    ticks: int
    boot: str
    served: int

    @property
    def offer(self) -> Offer:
        """What of it is told."""
        return Offer(self.name, self.definition, self.kind, self.share)


@frozen
class Share:
    """What a person shares: the tools of an MCP server, or a runner.

    Attributes:
        name: what it is called.
        command: the server's words; None for a runner's share.
        runner: the name of the runner; None for a server's.
        chosen: the names that are shared of a server's tools; empty for all.
        env: what its process has in its environment besides; may hold secrets.
        created: milliseconds.
    """

    name: str
    command: tuple[str, ...] | None
    runner: str | None
    chosen: tuple[str, ...]
    env: dict[str, str]
    created: int


@frozen
class Heard:
    """What another broker last told of its tools, and when that came (milliseconds)."""

    broker: BrokerId
    number: int
    heard: int
    offers: tuple[Offer, ...]


@frozen
class Told:
    """What a broker was last told of this one's tools."""

    broker: BrokerId
    number: int
    digest: bytes


def _offers(text: str) -> tuple[Offer, ...]:
    return tuple(Offer(*each) for each in json.loads(text))


_offered = mapper(Offered)
_SELECT = f"SELECT {columns(Offered)} FROM offers"
_share = mapper(
    Share,
    command=lambda text: tuple(json.loads(text)),
    chosen=lambda text: tuple(json.loads(text)),
    env=json.loads,
)

ALL: Query[Offered] = Query(f"{_SELECT} ORDER BY name", _offered)
BY_NAME: Query[Offered] = Query(f"{_SELECT} WHERE name = :name", _offered)
SHARES: Query[Share] = Query(f"SELECT {columns(Share)} FROM shares ORDER BY name", _share)
SHARE: Query[Share] = Query(f"SELECT {columns(Share)} FROM shares WHERE name = :name", _share)
HEARD: Query[Heard] = Query(f"SELECT {columns(Heard)} FROM catalogues ORDER BY broker", mapper(Heard, offers=_offers))
HEARD_OF: Query[Heard] = Query(
    f"SELECT {columns(Heard)} FROM catalogues WHERE broker = :broker", mapper(Heard, offers=_offers)
)
# each tool of the list begins as `["NAME",`; a quote inside of a definition has a backslash before it
WHO_HAS: Query[BrokerId] = Query(
    """SELECT broker FROM catalogues WHERE instr(offers, '["' || :name || '",') > 0 ORDER BY broker""", first_column
)
TOLD: Query[Told] = Query(f"SELECT {columns(Told)} FROM catalogues_told WHERE broker = :broker", mapper(Told))
HIDDEN: Query[tuple[str, BrokerId | None]] = Query(
    "SELECT name, broker FROM hidden_tools ORDER BY name, broker", lambda row: (row[0], row[1] or None)
)
_PUT = insertion("offers", Offered.__match_args__).replace("INSERT", "INSERT OR REPLACE", 1)
_ADD_SHARE = insertion("shares", Share.__match_args__).replace("INSERT", "INSERT OR REPLACE", 1)


def put(tx: Tx, offered: Offered) -> None:
    """Keep an offer, in place of the one of its name."""
    values: dict[str, Any] = {name: getattr(offered, name) for name in Offered.__match_args__}
    tx.execute(_PUT, values)


def drop(tx: Tx, names: Iterable[str]) -> None:
    """Forget offers."""
    tx.executemany("DELETE FROM offers WHERE name = ?", [(name,) for name in names])


def note_served(tx: Tx, program: str, now: int) -> None:
    """A program serves what it offers at this moment (milliseconds)."""
    tx.execute("UPDATE offers SET served = ? WHERE program = ?", (now, program))


def put_share(tx: Tx, share: Share) -> None:
    """Keep a share, in place of the one of its name."""
    values: dict[str, Any] = {name: getattr(share, name) for name in Share.__match_args__}
    command = None if share.command is None else to_json(list(share.command))
    values |= {"command": command, "chosen": to_json(list(share.chosen)), "env": to_json(share.env)}
    tx.execute(_ADD_SHARE, values)


def drop_share(tx: Tx, name: str) -> bool:
    """Share it no more; whether it was."""
    return tx.execute("DELETE FROM shares WHERE name = ?", (name,)).rowcount > 0


def hear(tx: Tx, broker: BrokerId, catalogue: Catalogue, now: int) -> bool:
    """Take what a broker tells of its tools; False where something newer is known.

    Args:
        now: milliseconds.
    """
    listed = to_json([[each.name, each.definition, each.kind, each.share] for each in catalogue.offers])
    sql = (
        "INSERT INTO catalogues VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET number = excluded.number,"
        " heard = excluded.heard, offers = excluded.offers WHERE number < excluded.number"
    )
    return tx.execute(sql, (broker, catalogue.number, now, listed)).rowcount > 0


def forget_heard(tx: Tx, broker: BrokerId) -> bool:
    """Forget what a broker told, and was told; whether anything was known."""
    tx.execute("DELETE FROM catalogues_told WHERE broker = ?", (broker,))
    return tx.execute("DELETE FROM catalogues WHERE broker = ?", (broker,)).rowcount > 0


def note_told(tx: Tx, told: Told) -> None:
    """Remember what a broker was told last."""
    tx.execute("INSERT OR REPLACE INTO catalogues_told VALUES (?, ?, ?)", (told.broker, told.number, told.digest))


def hide(tx: Tx, name: str, broker: BrokerId | None) -> None:
    """Show a tool to no client of this broker: of one broker, or of any (None)."""
    tx.execute("INSERT OR IGNORE INTO hidden_tools VALUES (?, ?)", (name, broker or ""))


def unhide(tx: Tx, name: str, broker: BrokerId | None) -> bool:
    """Show it again; whether it was hidden by that word."""
    return tx.execute("DELETE FROM hidden_tools WHERE name = ? AND broker = ?", (name, broker or "")).rowcount > 0


def forget_before(tx: Tx, before: int) -> int:
    """Forget offers that nobody has served since a moment (milliseconds); how many."""
    return tx.execute("DELETE FROM offers WHERE served < ?", (before,)).rowcount
