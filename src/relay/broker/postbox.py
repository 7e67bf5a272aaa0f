"""Sealing what this broker says: into the outbox, or at once for what is not durable."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from relay.broker.members import Members
from relay.core import ids
from relay.core.delivery import Outgoing
from relay.core.envelope import MAX_BODY, Body, Header
from relay.core.errors import Code, Misuse, PeerFault
from relay.core.ids import BrokerId
from relay.core.kinds import AHEAD, KINDS, Kind
from relay.store import outbox
from relay.store.journal import Letter
from relay.store.query import Tx
from relay.trust.identity import Identity
from relay.trust.sealing import PeerKeys, seal

LIVE_TTL = 60_000
HELD_TTL = 7 * 86_400_000
"""Of what is kept for its recipient though not kept here: a receipt. Where it is lost, another one is asked for."""
_NEVER_REFUSED = frozenset({Kind.SNAPSHOT, Kind.TOOL_RESULT})
QUOTA = outbox.Quota(envelopes=100_000, bytes=512 * 1024 * 1024)


class SealingPostbox:
    """Seals letters under this broker's identity.

    Args:
        identity: this broker's keys.
        members: whom there is to seal to.
        incarnation: of this start; stands in every header.
        has_way: whether a letter to a broker may leave at once.
    """

    def __init__(
        self,
        identity: Identity,
        members: Members,
        incarnation: int,
        has_way: Callable[[BrokerId], bool],
    ) -> None:
        self._identity = identity
        self._members = members
        self._incarnation = incarnation
        self._has_way = has_way

    def post(self, tx: Tx, letter: Letter, now: int) -> Outgoing | None:
        """Seal a letter and put it into the outbox, in this transaction.

        Raises:
            Misuse: its body is longer than an envelope may be.
            LocalFault: `outbox_full`.
        """
        keys = self._members.keys(letter.recipient)
        if keys is None:
            return None
        header, raw = self._sealed(keys, letter.kind, letter.content, letter.operation, now, letter.ttl)
        tried = self._has_way(letter.recipient)
        posting = outbox.Posting(
            header.id,
            letter.recipient,
            letter.kind,
            letter.operation,
            raw,
            now,
            header.expires,
            letter.spawn,
            int(tried),
        )
        # the target's word is never refused for room: work has been done, and its end has to be told
        n = outbox.post(tx, posting, None if letter.kind in _NEVER_REFUSED else QUOTA)
        return None if n is None else Outgoing(n, header.id, raw, tried, letter.kind in AHEAD)

    def post_again(
        self, tx: Tx, line: outbox.OutboxLine, content: dict[str, Any], now: int, ttl: int
    ) -> Outgoing | None:
        """Seal a row's content again, to the recipient's present key and for another time to live.

        Args:
            tx: the transaction.
            line: the row; its operation stays, so that it acts once.
            content: its body's keys.
            now, ttl: milliseconds.

        Returns:
            None where the row or the recipient is gone.
        """
        keys = self._members.keys(line.recipient)
        if keys is None:
            return None
        header, raw = self._sealed(keys, Kind(line.kind), content, line.operation, now, ttl)
        n = outbox.reseal(tx, line.id, header.id, raw, header.expires)
        return None if n is None else Outgoing(n, header.id, raw, line.tries > 0, line.kind in AHEAD)

    def seal_live(
        self, recipient: BrokerId, kind: Kind, content: dict[str, Any], now: int, ttl: int = LIVE_TTL
    ) -> bytes | None:
        """An envelope that is not kept here: None where the recipient is no member."""
        keys = self._members.keys(recipient)
        if keys is None:
            return None
        return self._sealed(keys, kind, content, os.urandom(12).hex(), now, ttl)[1]

    def _sealed(
        self, keys: PeerKeys, kind: Kind, content: dict[str, Any], operation: str, now: int, ttl: int
    ) -> tuple[Header, bytes]:
        header = Header(
            kind=kind,
            # time first: random keys would touch another page of every index a row (24 against 57 us a row)
            id=now.to_bytes(6, "big") + os.urandom(ids.ENVELOPE_ID_BYTES - 6),
            origin=self._identity.id,
            recipient=keys.id,
            key_id=keys.key_id,
            incarnation=self._incarnation,
            created=now,
            expires=now + ttl,
        )
        try:
            critical = tuple(sorted(KINDS[kind].critical & content.keys()))
            return header, seal(self._identity, keys, header, Body(operation, content, critical))
        except PeerFault as fault:
            raise Misuse(
                "that is too long to send",
                code=Code.BAD_TASK,
                why=f"an envelope carries at most {MAX_BODY // 1024} KiB ({fault.why})",
                hint="put the text into a file on the target and name the file in the task",
            ) from None
