"""Durable envelopes on their way out. Only the recipient's receipt, or this broker's owner, removes a row."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from enum import StrEnum

from relay.core.errors import Code, LocalFault
from relay.core.ids import BrokerId
from relay.core.values import frozen
from relay.store.query import Query, Tx, columns, first_column, insertion, mapper, values_of


class OutboxState(StrEnum):
    """Whether a row is still sent."""

    PENDING = "pending"
    DEAD = "dead"


@frozen
class Posting:
    """An envelope to post.

    Attributes:
        id: the envelope's, 16 bytes.
        kind: the header's.
        operation: what its effect is deduped by; with recipient and kind unique among the rows.
        spawn: the spawn it is about, or None.
        envelope: its bytes.
        created, expires: the header's, milliseconds.
        tries: 1 where it may leave as soon as it is committed.
    """

    id: bytes
    recipient: BrokerId
    kind: str
    operation: str
    envelope: bytes
    created: int
    expires: int
    spawn: str | None = None
    tries: int = 0


@frozen
class Quota:
    """How much the outbox may hold, dead letters counted."""

    envelopes: int
    bytes: int


@frozen
class Parcel:
    """A row of a page to send: `n` is where the next page starts."""

    n: int
    id: bytes
    kind: str
    envelope: bytes
    tries: int


@frozen
class OutboxLine:
    """A row as it is listed, without its envelope. `bytes` is the envelope's length, times in milliseconds.

    `holder` keeps it for its recipient since `held_at`; `handed` says how often one was asked to.
    """

    n: int
    id: bytes
    recipient: BrokerId
    kind: str
    operation: str
    spawn: str | None
    bytes: int
    created: int
    expires: int
    tries: int
    last_try: int | None
    state: OutboxState
    reason: str
    holder: BrokerId | None
    held_at: int | None
    handed: int


@frozen
class Closed:
    """A row that its recipient has taken: what it was, by its operation, and for which spawn."""

    n: int
    kind: str
    operation: str
    spawn: str | None


@frozen
class Totals:
    """What the outbox holds: envelopes, their bytes, when the oldest was made (milliseconds or None)."""

    envelopes: int
    bytes: int
    oldest: int | None


_line = mapper(OutboxLine, state=OutboxState)
_SELECT = f"SELECT {columns(OutboxLine)} FROM outbox"


def _page(condition: str) -> Query[Parcel]:
    # at least one envelope however large, then as many as fit
    return Query(
        "SELECT n, id, kind, envelope, tries FROM (SELECT *, sum(bytes) OVER (ORDER BY n) AS running FROM"
        " (SELECT n, id, kind, envelope, tries, bytes FROM outbox"
        f" WHERE recipient = :recipient AND n > :after AND state = 'pending'{condition} ORDER BY n LIMIT :limit))"
        " WHERE running <= :max_bytes OR running = bytes ORDER BY n",
        mapper(Parcel),
    )


PAGE = _page("")
PAGE_UNHELD = _page(" AND holder IS NULL")
HELD_ELSEWHERE: Query[tuple[BrokerId, bytes]] = Query(
    "SELECT recipient, id FROM outbox WHERE holder IS NOT NULL AND state = 'pending'", lambda row: (row[0], row[1])
)
KEEPER: Query[BrokerId] = Query(
    "SELECT holder FROM outbox WHERE spawn = :spawn AND kind = 'spawn' AND holder IS NOT NULL", first_column
)
# who keeps something for whom
KEPT: Query[tuple[BrokerId, BrokerId]] = Query(
    "SELECT DISTINCT holder, recipient FROM outbox WHERE holder IS NOT NULL AND state = 'pending'",
    lambda row: (row[0], row[1]),
)
# a moment to come is a clock's that was set back
HAND_OVER_AGAIN: Query[OutboxLine] = Query(
    f"{_SELECT} WHERE holder IS NOT NULL AND state = 'pending' AND (held_at > :now"
    " OR held_at <= :now - CASE WHEN handed <= 1 THEN :second ELSE :again END) ORDER BY held_at LIMIT :limit",
    _line,
)
HANDED_ONCE: Query[OutboxLine] = Query(
    f"{_SELECT} WHERE holder = :holder AND (:recipient IS NULL OR recipient = :recipient) AND held_at <= :before"
    " AND state = 'pending' AND handed <= 1 ORDER BY held_at LIMIT :limit",
    _line,
)
ALL: Query[OutboxLine] = Query(f"{_SELECT} ORDER BY n LIMIT :limit", _line)
BY_ID: Query[OutboxLine] = Query(f"{_SELECT} WHERE id = :id", _line)
BY_RECIPIENT: Query[OutboxLine] = Query(f"{_SELECT} WHERE recipient = :recipient ORDER BY n", _line)
# those of a kind whose operation begins so
OF_OPERATIONS: Query[OutboxLine] = Query(
    f"{_SELECT} WHERE recipient = :recipient AND kind = :kind AND operation >= :begin"
    " AND operation < :begin || '~' ORDER BY n",
    _line,
)
BY_SPAWN: Query[OutboxLine] = Query(f"{_SELECT} WHERE spawn = :spawn ORDER BY n", _line)
# that its target's word on a spawn has not been taken by its origin
WORD_UNTAKEN: Query[int] = Query(
    "SELECT 1 FROM outbox WHERE spawn = :spawn AND kind = 'snapshot' AND state = 'pending' LIMIT 1", first_column
)
EXPIRED: Query[OutboxLine] = Query(
    f"{_SELECT} WHERE state = 'pending' AND expires <= :now ORDER BY expires LIMIT :limit", _line
)
# what is sealed again before it expires, or where it expires so late that nobody takes it: this broker's own words
# until they are receipted, stops that are still wanted
REISSUE: Query[OutboxLine] = Query(
    f"{_SELECT} WHERE state = 'pending' AND (expires <= max(:words, :stops) OR expires > :late) AND"
    " ((kind IN ('snapshot', 'tool.result', 'tool.catalogue') AND (expires <= :words OR expires > :late))"
    " OR (kind IN ('stop', 'tool.stop') AND (expires <= :stops OR expires > :late)))"
    " ORDER BY expires LIMIT :limit",
    _line,
)
BY_PREFIX: Query[OutboxLine] = Query(f"{_SELECT} WHERE lower(hex(id)) LIKE :prefix || '%' ORDER BY n LIMIT 20", _line)
DEAD: Query[OutboxLine] = Query(
    f"{_SELECT} WHERE state = 'dead' AND (:recipient IS NULL OR recipient = :recipient) ORDER BY n LIMIT :limit", _line
)
WAITING: Query[tuple[BrokerId, int]] = Query(
    "SELECT recipient, count(*) FROM outbox WHERE state = 'pending' GROUP BY recipient", lambda row: (row[0], row[1])
)
# of these, how many are with which holder
WAITING_AT: Query[tuple[BrokerId, BrokerId, int]] = Query(
    "SELECT recipient, holder, count(*) FROM outbox WHERE state = 'pending' AND holder IS NOT NULL"
    " GROUP BY recipient, holder ORDER BY recipient, holder",
    lambda row: (row[0], row[1], row[2]),
)
TOTALS: Query[Totals] = Query(
    "SELECT envelopes, bytes, (SELECT created FROM outbox ORDER BY n LIMIT 1) FROM outbox_size", mapper(Totals)
)
_POSTED = tuple(item.name for item in dataclasses.fields(Posting))
_posted = values_of(Posting)
_POST = insertion("outbox", (*_POSTED, "bytes")) + " ON CONFLICT (recipient, kind, operation) DO NOTHING"


_TAKEN: Query[Closed] = Query(
    f"SELECT {columns(Closed)} FROM outbox WHERE id = :id AND recipient = :recipient", mapper(Closed)
)


def _check_within(tx: Tx, quota: Quota, posted: int | None) -> None:
    envelopes, held = tx.execute("SELECT envelopes, bytes FROM outbox_size").fetchone()
    if envelopes <= quota.envelopes and held <= quota.bytes:
        return
    tx.execute("DELETE FROM outbox WHERE n = ?", (posted,))
    raise LocalFault(
        "the outbox is full; nothing was queued",
        code=Code.OUTBOX_FULL,
        why=f"at most {quota.envelopes} envelopes and {quota.bytes} bytes may wait",
        hint="relay outbox",
    )


def post(tx: Tx, item: Posting, quota: Quota | None) -> int | None:
    """Put an envelope in the outbox: its number, or None where the same operation waits there already.

    Args:
        item: the envelope.
        quota: what the outbox may hold then; None for what must not be refused (a result).

    Raises:
        LocalFault: `outbox_full`.
    """
    values = _posted(item)
    values["bytes"] = len(item.envelope)
    done = tx.execute(_POST, values)
    if done.rowcount == 0:
        return None
    if quota is not None:
        _check_within(tx, quota, done.lastrowid)
    return done.lastrowid


def reseal(tx: Tx, old: bytes, new: bytes, envelope: bytes, expires: int) -> int | None:
    """Replace an envelope by its content sealed again (another key, another expiry), to be sent; its new number.

    Args:
        old, new: envelope ids.
        envelope: the new bytes.
        expires: the new header's, milliseconds.

    Returns:
        None where it is gone.
    """
    sql = "UPDATE outbox SET id = ?, envelope = ?, bytes = ?, expires = ? WHERE id = ?"
    if tx.execute(sql, (new, envelope, len(envelope), expires, old)).rowcount == 0:
        return None
    return _to_the_end(tx, new)


def _to_the_end(tx: Tx, envelope: bytes) -> int:
    # a new number: links have paged past the old one
    tx.execute("UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'outbox'")
    number: int = tx.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()[0]
    sql = "UPDATE outbox SET state = 'pending', reason = '', n = ?, holder = NULL, handed = 0 WHERE id = ?"
    tx.execute(sql, (number, envelope))
    return number


def seal_soon(tx: Tx, envelope: bytes, now: int, reason: str) -> None:
    """Have an envelope sealed again at the next tidying (`REISSUE`).

    Args:
        now: milliseconds.
        reason: why, for people.
    """
    tx.execute("UPDATE outbox SET expires = min(expires, ?), reason = ? WHERE id = ?", (now, reason, envelope))


def receipted(tx: Tx, recipient: BrokerId, envelopes: Iterable[bytes]) -> list[Closed]:
    """Remove what its recipient has taken; the removed rows.

    Args:
        recipient: who signed the receipt: rows for others stay, whatever it says.
        envelopes: ids; unknown ones are ignored.
    """
    closed = [found for each in envelopes if (found := _TAKEN.one(tx, id=each, recipient=recipient))]
    tx.executemany("DELETE FROM outbox WHERE n = ?", [(each.n,) for each in closed])
    return closed


def mark_tried(tx: Tx, envelopes: Iterable[bytes], now: int) -> None:
    """Count a sending of these ids at this moment (milliseconds)."""
    sql = "UPDATE outbox SET tries = tries + 1, last_try = ? WHERE id = ?"
    tx.executemany(sql, [(now, each) for each in envelopes])


def held_by(tx: Tx, holder: BrokerId, envelopes: Iterable[bytes], now: int) -> None:
    """A holder keeps these for their recipients from this moment on (milliseconds)."""
    sql = "UPDATE outbox SET holder = ?, held_at = ?, handed = handed + 1 WHERE id = ?"
    tx.executemany(sql, [(holder, now, each) for each in envelopes])


def hand_over_again(tx: Tx, envelopes: Iterable[bytes]) -> None:
    """Nobody is known to keep these: they are handed over once more."""
    tx.executemany("UPDATE outbox SET holder = NULL WHERE id = ?", [(each,) for each in envelopes])


def dead_letter(tx: Tx, envelope: bytes, reason: str) -> bool:
    """Stop sending a row and show it as dead; whether it was pending."""
    sql = "UPDATE outbox SET state = 'dead', reason = ? WHERE id = ? AND state = 'pending'"
    return tx.execute(sql, (reason, envelope)).rowcount > 0


def retry(tx: Tx, envelope: bytes) -> Parcel | None:
    """Send a dead letter again: the row to send, or None where there was no dead letter.

    That it may have been sent stays true of it: a broker on the way may hold it still.
    """
    sql = "SELECT kind, envelope, tries FROM outbox WHERE id = ? AND state = 'dead'"
    found = tx.execute(sql, (envelope,)).fetchone()
    return None if found is None else Parcel(_to_the_end(tx, envelope), envelope, *found)


def drop(tx: Tx, envelope: bytes) -> bool:
    """Delete a row unsent; whether there was one."""
    return tx.execute("DELETE FROM outbox WHERE id = ?", (envelope,)).rowcount > 0


def drop_dead_of(tx: Tx, gone: Iterable[str]) -> None:
    """Delete the dead letters about spawns that are forgotten: nothing is left to seal them again from."""
    tx.executemany("DELETE FROM outbox WHERE state = 'dead' AND spawn = ?", [(spawn,) for spawn in gone])


def drop_expired(tx: Tx, kinds: Iterable[str], before: int) -> int:
    """Delete rows of these kinds that expired before a moment (milliseconds), and which nobody waits for; how many."""
    sql = "DELETE FROM outbox WHERE state = 'pending' AND expires < ? AND kind = ?"
    return sum(tx.execute(sql, (before, str(kind))).rowcount for kind in kinds)


def drop_for(tx: Tx, recipient: BrokerId) -> int:
    """Delete everything for a broker that was evicted or forgotten; how many rows."""
    return tx.execute("DELETE FROM outbox WHERE recipient = ?", (recipient,)).rowcount
