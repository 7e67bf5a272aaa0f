"""The dashboard's devices and the codes that make one; of tokens and codes only hashes are here."""

from __future__ import annotations

from relay.core.values import frozen
from relay.store.query import Query, Tx, columns, first_column, mapper


@frozen
class Device:
    """One browser that may open the dashboard.

    Attributes:
        id: what people and the audit log call it by.
        hash: SHA-256 of its token.
        name: a label that it gave itself.
        scopes: of `core.scopes.SCOPES`.
        created, last_used, revoked: milliseconds since 1970.
    """

    id: str
    hash: bytes
    name: str
    scopes: tuple[str, ...]
    created: int
    last_used: int | None = None
    revoked: int | None = None


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


LIVE: Query[Device] = Query(
    f"SELECT {columns(Device)} FROM dashboard_devices WHERE revoked IS NULL ORDER BY created, id",
    mapper(Device, scopes=_words),
)
_CODE: Query[tuple[str, ...]] = Query(
    "SELECT scopes FROM dashboard_codes WHERE hash = :hash AND expires > :now AND expires <= :latest",
    lambda row: _words(first_column(row)),
)


def insert(tx: Tx, device: Device) -> None:
    """Keep a new device."""
    values = (device.id, device.hash, device.name, " ".join(device.scopes), device.created)
    tx.execute(
        "INSERT INTO dashboard_devices (id, hash, name, scopes, created) VALUES (?, ?, ?, ?, ?)", values
    )


def used(tx: Tx, device: str, now: int) -> None:
    """A device has asked for something at this moment (milliseconds)."""
    tx.execute("UPDATE dashboard_devices SET last_used = ? WHERE id = ?", (now, device))


def revoke(tx: Tx, device: str, now: int) -> None:
    """Take a device's token away; its row stays, for the audit log's sake."""
    tx.execute("UPDATE dashboard_devices SET revoked = ? WHERE id = ? AND revoked IS NULL", (now, device))


def keep_code(tx: Tx, hashed: bytes, scopes: tuple[str, ...], expires: int, now: int) -> None:
    """Keep a new code, and none whose time is over.

    Args:
        hashed: SHA-256 of the code.
        scopes: what its device may do.
        expires, now: milliseconds.
    """
    tx.execute("DELETE FROM dashboard_codes WHERE expires <= ?", (now,))
    tx.execute("INSERT INTO dashboard_codes VALUES (?, ?, ?)", (hashed, " ".join(scopes), expires))


def take_code(tx: Tx, hashed: bytes, now: int, latest: int) -> tuple[str, ...] | None:
    """Use a code up: the scopes it was bound to, or None where there is none whose time is not over.

    Args:
        hashed: SHA-256 of the code.
        now: milliseconds.
        latest: when its time is over at the latest, if it was not made by a clock that was ahead; milliseconds.
    """
    scopes = _CODE.one(tx, hash=hashed, now=now, latest=latest)
    tx.execute("DELETE FROM dashboard_codes WHERE hash = ?", (hashed,))
    return scopes
