"""Single facts of this broker, by key: the incarnation counter, the replay mark."""

from __future__ import annotations

from relay.store.query import Query, Tx, first_column

VALUE: Query[str] = Query("SELECT value FROM meta WHERE key = :key", first_column)
INCARNATION = "incarnation"


def get(tx: Tx, key: str) -> str | None:
    """The value under a key, or None."""
    return VALUE.one(tx, key=key)


def put(tx: Tx, key: str, value: str) -> None:
    """Set the value under a key."""
    tx.execute("INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (key, value))


def get_number(tx: Tx, key: str, default: int = 0) -> int:
    """The integer under a key.

    Args:
        default: what an absent key counts as.
    """
    value = get(tx, key)
    return default if value is None else int(value)


def raise_number(tx: Tx, key: str, least: int) -> int:
    """Set an integer that only grows; the value that now holds.

    Args:
        least: the new value, unless the present one is higher.
    """
    number = max(get_number(tx, key, least), least)
    put(tx, key, str(number))
    return number


def raise_incarnation(tx: Tx) -> int:
    """Count this start of the broker; the new counter, from 1."""
    return raise_number(tx, INCARNATION, get_number(tx, INCARNATION) + 1)
