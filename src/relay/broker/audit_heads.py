"""Ends of audit logs, exchanged in hellos: what a broker cuts off its log, its peers still hold signed.

Each hello tells the sender's end with its signature, the end that it holds of the receiver's log with the receiver's
own, and what the sender's log has at the place that the receiver last told to hold. So both sides find a cut: the one
whose log it is by its own signature, the other because the log is shorter, or another at that place.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from relay.core.hello import HASH_BYTES, AuditHead, Hello
from relay.core.ids import BrokerId
from relay.store import audit_heads
from relay.store.audit_heads import HASH_AT, AuditHeads
from relay.store.engine import Store
from relay.store.journal import Entry
from relay.trust.audit import is_cut, is_signed_head, sign_head
from relay.trust.identity import Identity

MISSING = bytes(HASH_BYTES)


class Heads:
    """The ends of this broker's log and of its peers'.

    Args:
        identity: signs the own end.
        store: whose log it is.
    """

    def __init__(self, identity: Identity, store: Store) -> None:
        self._identity = identity
        self._store = store
        self._known: dict[BrokerId, AuditHeads] = {}
        self._own_at: dict[BrokerId, bytes] = {}
        self._said: set[tuple[BrokerId, int, bytes]] = set()

    async def open(self) -> None:
        """Read what was told before."""
        for row in await self._store.all(audit_heads.ALL):
            self._known[row.peer] = row
            self._own_at[row.peer] = await self._store.one(HASH_AT, seq=row.held_seq) or MISSING

    def told(self, peer: BrokerId, head: AuditHead) -> dict[str, Any]:
        """What a hello to that peer says beside the end of the log."""
        words: dict[str, Any] = {"audit_proof": sign_head(self._identity, head)}
        known = self._known.get(peer)
        if known is not None and known.proof:
            words["seen_audit_of_you"] = (known.seq, known.hash, known.proof)
        if known is not None and known.held_seq:
            words["audit_at"] = (known.held_seq, self._own_at[peer])
        return words

    def heard(self, entry: Entry, hello: Hello) -> list[str]:
        """Take in what a hello says of both logs; what was found out by it, in sentences for the audit log."""
        peer = hello.id
        before = self._known.get(peer, AuditHeads(peer))
        after, own_at = self._of_ours(entry, self._of_theirs(before, hello, entry.now), hello)
        if after != before:
            audit_heads.put(entry.tx, after)
        entry.then(lambda: self._keep(after, own_at))
        found = []
        if after.cut is not None and before.cut is None:
            found.append(f"the audit log of {hello.name} was cut or changed: it had {before.seq} entries")
        evidence = (peer, after.held_seq, after.held_hash)
        if after.held_seq and own_at != after.held_hash and evidence not in self._said:
            found.append(f"this audit log was cut or changed: {hello.name} holds entry {after.held_seq} of it, signed")
            entry.then(lambda: self._said.add(evidence))
        return found

    def _of_theirs(self, known: AuditHeads, hello: Hello, now: int) -> AuditHeads:
        head, proof = hello.audit_head, hello.audit_proof or b""
        if known.cut is not None:
            return known  # the earlier end is the evidence; it goes when a person forgets that broker
        had = AuditHead(known.seq, known.hash)
        other = hello.audit_at is not None and hello.audit_at[0] == had.seq and hello.audit_at[1] != had.hash
        if had.seq and (other or is_cut(had, head)):
            return replace(known, cut=now)
        if head.seq > had.seq and (not proof or is_signed_head(hello.public, head, proof)):
            return replace(known, seq=head.seq, hash=head.hash, proof=proof)
        return known

    def _of_ours(self, entry: Entry, known: AuditHeads, hello: Hello) -> tuple[AuditHeads, bytes]:
        if hello.seen_audit_of_you is not None:
            seq, digest, proof = hello.seen_audit_of_you
            # by this broker's own signature only: or any member could call its log cut
            if seq and is_signed_head(self._identity.public, AuditHead(seq, digest), proof):
                known = replace(known, held_seq=seq, held_hash=digest)
        return known, HASH_AT.one(entry.tx, seq=known.held_seq) or MISSING

    def _keep(self, known: AuditHeads, own_at: bytes) -> None:
        self._known[known.peer] = known
        self._own_at[known.peer] = own_at

    def forget(self, entry: Entry, peer: BrokerId) -> None:
        """Forget what is known between this broker and a peer; a cut of its log is not held against it any more."""
        audit_heads.forget(entry.tx, peer)
        entry.then(lambda: self._drop(peer))

    def _drop(self, peer: BrokerId) -> None:
        self._known.pop(peer, None)

    @property
    def cut_elsewhere(self) -> dict[BrokerId, AuditHeads]:
        """The peers whose logs were cut, with what this broker holds of them."""
        return {peer: known for peer, known in self._known.items() if known.cut is not None}

    @property
    def held(self) -> list[tuple[BrokerId, int, bool]]:
        """Who holds which entry of this log, and whether the log still has it."""
        return [
            (peer, known.held_seq, self._own_at[peer] == known.held_hash)
            for peer, known in self._known.items()
            if known.held_seq
        ]
