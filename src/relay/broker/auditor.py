"""The audit log's pen: each decision, allowed or refused, in the transaction that makes it."""

from __future__ import annotations

import asyncio
import logging

from relay.broker.audit_heads import Heads
from relay.core.errors import Code, RelayError
from relay.core.hello import AuditHead, Hello
from relay.core.values import frozen
from relay.store import audit, audit_heads
from relay.store.engine import Store
from relay.store.journal import Entry
from relay.store.query import Tx
from relay.trust.audit import EMPTY, AuditEntry, entry_hash, verify_chain
from relay.trust.identity import Identity

_log = logging.getLogger(__name__)
ALLOWED, REFUSED = "allowed", "refused"


@frozen
class Decision:
    """What is written down.

    Attributes:
        actor: who wanted it: a broker id, or a person or client of this machine.
        action: what: `spawn`, `stop`, `admit`, `link`, …
        outcome: `allowed` or `refused`.
        code: the error's code where it was refused.
        detail: for people; no secret.
    """

    actor: str
    action: str
    outcome: str = ALLOWED
    code: str = ""
    detail: str = ""


def refusal(actor: str, action: str, error: RelayError, detail: str) -> Decision:
    """The decision to refuse something."""
    return Decision(actor, action, REFUSED, str(error.code), f"{detail}: {error.message}")


class Auditor:
    """Writes decisions and knows the end of the log.

    Args:
        store: whose log it is.
        identity: signs its end.

    Attributes:
        heads: the ends of the logs that brokers tell each other.
        head: the end of this one.
        lost: the last end that this run had written and the log then had no more; None where none was lost.
    """

    def __init__(self, store: Store, identity: Identity) -> None:
        self._store = store
        self.heads = Heads(identity, store)
        self.head: AuditHead = EMPTY
        self.lost: AuditHead | None = None

    async def open(self) -> None:
        """Read the end of the log."""
        found = await self._store.one(audit.HEAD)
        self.head = AuditHead(found.seq, found.hash) if found else EMPTY
        await self.heads.open()

    def greeted(self, entry: Entry, hello: Hello) -> None:
        """Take in what a peer's hello says of its log and of this one; a cut that it shows is written down."""
        for sentence in self.heads.heard(entry, hello):
            self.write(entry, Decision(hello.id, "audit", REFUSED, str(Code.AUDIT_CUT), sentence))

    def write(self, entry: Entry, decision: Decision) -> None:
        """Append a decision in this transaction; before it, where the log lost what this run had written, that."""
        known, last = self.head, audit.HEAD.one(entry.tx) or audit.NONE
        is_last = (known.seq, known.hash) == (last.seq, last.hash)
        if known.seq and known != self.lost and not is_last and not _is_in(entry.tx, known):
            last = self._note_lost(entry, known, last)
        self._append(entry, decision, last)

    def _note_lost(self, entry: Entry, known: AuditHead, last: audit.AuditHead) -> audit.AuditHead:
        self.lost = known
        detail = f"this audit log was cut or changed while its broker ran: it had {known.seq} entries"
        _log.error("%s", detail)
        new = self._append(entry, Decision("local", "audit", REFUSED, str(Code.AUDIT_CUT), detail), last)
        head = AuditHead(new.seq, new.hash)
        entry.then(lambda: self._begin_again(head))
        return new

    def _append(self, entry: Entry, decision: Decision, last: audit.AuditHead) -> audit.AuditHead:
        def make(seq: int, previous: bytes) -> tuple[bytes, bytes]:
            line = AuditEntry(
                seq, entry.now, decision.actor, decision.action, decision.outcome, decision.code, decision.detail
            ).to_bytes()
            return line, entry_hash(previous, line)

        new = audit.append(entry.tx, entry.now, last, make)
        head = AuditHead(new.seq, new.hash)
        entry.then(lambda: self._advance(head))
        entry.event("audit.entry", {"seq": new.seq, "action": decision.action, "outcome": decision.outcome})
        return new

    def _begin_again(self, head: AuditHead) -> None:
        self.head = head

    def _advance(self, head: AuditHead) -> None:
        if head.seq > self.head.seq:
            self.head = head

    async def verify(self) -> tuple[int, AuditHead, int | None]:
        """Check the whole chain: how many entries, its head, and the first number that does not fit (or None)."""

        written = self.head  # before the rows: what is added meanwhile is among them
        rows = await self._store.all(audit.SINCE, seq=0, limit=-1)
        bad = await asyncio.to_thread(verify_chain, [(row.seq, row.entry, row.hash) for row in rows])
        hashes = {row.seq: row.hash for row in rows}
        for had in (self.lost, written):
            bad = _first_lost(had, hashes) if bad is None and had is not None else bad
        return len(rows), AuditHead(rows[-1].seq, rows[-1].hash) if rows else EMPTY, bad


def _is_in(tx: Tx, head: AuditHead) -> bool:
    return audit_heads.HASH_AT.one(tx, seq=head.seq) == head.hash


def _first_lost(written: AuditHead, hashes: dict[int, bytes]) -> int | None:
    """The first number that does not fit where the log lost, as it ran, what this broker wrote last; None where not."""
    if not written.seq or hashes.get(written.seq) == written.hash:
        return None
    return min(written.seq, len(hashes) + 1)
