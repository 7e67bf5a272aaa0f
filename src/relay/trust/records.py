"""Peer records signed and verified. What a record says and which one counts is in `relay.core.records`."""

from __future__ import annotations

from collections.abc import Callable

from relay.core.errors import Code, PeerFault
from relay.core.ids import BrokerId
from relay.core.records import MAX_RECORD, Record, fitting, owner_of, pack_record, unpack_record
from relay.trust.identity import Identity
from relay.trust.sealing import PeerKeys
from relay.trust.signing import BLOCK_OVERHEAD, check_block, signed_block, split_block

_DOMAIN = b"relay-record/1"
MAX_SIGNED = MAX_RECORD + BLOCK_OVERHEAD


def sign_record(identity: Identity, record: Record) -> bytes:
    """The record as it is passed on: a signed block; what does not fit 4 KiB is left out."""
    return signed_block(identity, _DOMAIN, pack_record(fitting(record)))


def verify_record(raw: object, keys: Callable[[BrokerId], PeerKeys | None]) -> Record:
    """The record in a signed block, known to be its owner's word.

    Args:
        raw: as received.
        keys: a member's keys by the roster; None for who is on none.

    Raises:
        PeerFault: `not_a_member`, before anything of a stranger's record is verified; `unknown_key` where it states
            another sealing key than the roster's; `bad_record` where the form is wrong; `bad_signature`.
    """
    if type(raw) is not bytes or len(raw) > MAX_SIGNED:
        raise PeerFault("a peer record was refused", code=Code.BAD_RECORD, why="it is too long, or no bytes")
    content, signature = split_block(raw, MAX_RECORD, Code.BAD_RECORD)
    found = keys(owner_of(content))
    if found is None:
        raise PeerFault("a peer record was refused", code=Code.NOT_A_MEMBER, why="its owner is not on the roster")
    record = unpack_record(content)
    if record.sealing_public != found.sealing_public:
        why = "it states another sealing key than the roster"
        raise PeerFault("a peer record was refused", code=Code.UNKNOWN_KEY, why=why)
    check_block(found.public, _DOMAIN, content, signature)
    return record
