"""Whom a person is told by: this machine's own channels, and those that other brokers entrusted to it."""

from __future__ import annotations

import json

from relay.core.ids import BrokerId
from relay.core.notices import Rules, rules_from_content
from relay.core.values import frozen
from relay.core.vouchers import SignedVoucher
from relay.store.query import Query, Tx, columns, first_column, insertion, mapper, to_json


@frozen
class Channel:
    """One channel. Times in milliseconds.

    Attributes:
        id: made by its owner's broker; 16 letters.
        name: what its owner calls it.
        owner: the broker that it was added on.
        address: sealed to this broker.
        service: the scheme of the address, which is all of it that is ever shown.
        rules: what it tells of.
        full: whether it tells what came of a spawn as well.
        link: an address in which `{spawn}` stands for the id; empty for none.
        instead_of: the id of the channel that it stands in for where that fails, or None.
        via: the brokers that tell in the owner's stead, in their order.
        created: when it came here.
        trouble: how the last try ended; None where it was delivered, or there was none.
    """

    id: str
    name: str
    owner: BrokerId
    address: bytes
    service: str
    rules: Rules
    full: bool
    link: str
    instead_of: str | None
    via: tuple[BrokerId, ...]
    created: int
    trouble: str | None = None


@frozen
class Entrusted:
    """What a broker said of a channel entrusted to it: `asked`, `accepted`, `refused` or `failing`, and why."""

    channel: str
    broker: BrokerId
    state: str
    why: str


_row = mapper(
    Channel,
    rules=lambda text: rules_from_content(json.loads(text)),
    full=bool,
    via=lambda text: tuple(json.loads(text)),
)
_SELECT = f"SELECT {columns(Channel)} FROM notify_channels"
_NAMES = tuple(Channel.__match_args__)
_INSERT = insertion("notify_channels", _NAMES).replace("INSERT", "INSERT OR REPLACE", 1)

ALL: Query[Channel] = Query(f"{_SELECT} ORDER BY created, id", _row)
BY_ID: Query[Channel] = Query(f"{_SELECT} WHERE id = :id", _row)
OF_OWNER: Query[Channel] = Query(f"{_SELECT} WHERE owner = :owner ORDER BY created, id", _row)
STAND_INS: Query[Channel] = Query(f"{_SELECT} WHERE instead_of = :id ORDER BY created, id", _row)
# whether there are channels; whether others are to tell of a spawn
TELLS: Query[tuple[bool, bool]] = Query(
    "SELECT EXISTS (SELECT 1 FROM notify_channels), EXISTS (SELECT 1 FROM notify_vouchers WHERE spawn = :spawn)",
    lambda row: (bool(row[0]), bool(row[1])),
)
ENTRUSTED: Query[Entrusted] = Query(
    "SELECT channel, broker, state, why FROM notify_entrusted ORDER BY channel, broker", mapper(Entrusted)
)
ASKED: Query[int] = Query("SELECT 1 FROM notify_asked WHERE spawn = :spawn", first_column)
VOUCHER: Query[SignedVoucher] = Query(
    "SELECT data, signature FROM notify_vouchers WHERE spawn = :spawn", mapper(SignedVoucher)
)


def put(tx: Tx, channel: Channel) -> None:
    """Keep a channel, in place of the one of its id."""
    values = {name: getattr(channel, name) for name in _NAMES}
    values |= {"rules": to_json(channel.rules.to_content()), "via": to_json(list(channel.via))}
    tx.execute(_INSERT, values | {"full": int(channel.full)})


def remove(tx: Tx, channel: str) -> None:
    """Delete a channel, and what waits to be told over it; what was told stays."""
    tx.execute("DELETE FROM notify_channels WHERE id = ?", (channel,))
    tx.execute("DELETE FROM notify_entrusted WHERE channel = ?", (channel,))
    tx.execute("DELETE FROM notify_deliveries WHERE channel = ? AND ended IS NULL", (channel,))


def note_trouble(tx: Tx, channel: str, trouble: str | None) -> None:
    """Write down how the last try over a channel ended."""
    tx.execute("UPDATE notify_channels SET trouble = ? WHERE id = ?", (trouble, channel))


def put_entrusted(tx: Tx, entrusted: Entrusted) -> None:
    """Write down what a broker said of a channel."""
    values = (entrusted.channel, entrusted.broker, entrusted.state, entrusted.why)
    tx.execute("INSERT OR REPLACE INTO notify_entrusted VALUES (?, ?, ?, ?)", values)


def ask(tx: Tx, spawn: str) -> None:
    """A spawn is to be told of whatever the rules."""
    tx.execute("INSERT OR IGNORE INTO notify_asked VALUES (?)", (spawn,))


def keep_voucher(tx: Tx, spawn: str, signed: SignedVoucher) -> None:
    """Keep an origin's word on who tells of a spawn that runs here."""
    tx.execute("INSERT OR IGNORE INTO notify_vouchers VALUES (?, ?, ?)", (spawn, signed.data, signed.signature))
