"""Blobs and who needs them."""

from __future__ import annotations

import dataclasses
import sqlite3

import pytest

from relay.core.ids import BrokerId
from relay.store import blobs
from relay.store.blobs import KEEP_ENDED_MS, Blob, Need, NeedState, Reference
from relay.store.query import Tx
from tests.store.specimens import HERE, THERE

ADDRESS, OTHER = b"a" * 32, b"b" * 32
BLOB = Blob(ADDRESS, 100, False, 0, 1)
OFFER = Reference(ADDRESS, Need.OFFER, THERE, "name", 100, NeedState.OPEN, 50, 1, "op")


def _unreferenced(tx: Tx) -> list[bytes]:
    return [each.hash for each in blobs.UNREFERENCED.all(tx, limit=10)]


def test_a_blob_becomes_whole_and_never_less(tx: Tx) -> None:
    blobs.add(tx, BLOB)
    for items in (5, 3):
        blobs.progress(tx, ADDRESS, items)
    assert blobs.BY_HASH.one(tx, hash=ADDRESS) == dataclasses.replace(BLOB, items=5)
    blobs.add(tx, dataclasses.replace(BLOB, whole=True, items=9, created=7))
    blobs.add(tx, BLOB)
    assert blobs.ALL.all(tx) == [dataclasses.replace(BLOB, whole=True, items=9)]
    blobs.add(tx, Blob(OTHER, 11, True, 1, 2))
    assert blobs.BYTES.one(tx) == 2 * blobs.LEAST, "none is so short that it counts for nothing"
    blobs.add(tx, Blob(b"c" * 32, 10**6, False, 0, 3))
    assert blobs.BYTES.one(tx) == 2 * blobs.LEAST + 10**6


def test_addresses_have_their_length(tx: Tx) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        blobs.add(tx, dataclasses.replace(BLOB, hash=b"short"))


def test_what_something_holds_is_not_removed(tx: Tx) -> None:
    for blob in (BLOB, Blob(OTHER, 1, True, 1, 1)):
        blobs.add(tx, blob)
    blobs.refer(tx, OFFER)
    assert _unreferenced(tx) == [OTHER]
    assert (blobs.remove(tx, ADDRESS), blobs.remove(tx, OTHER)) == (False, True)
    error = {"code": "no_grant", "message": "m"}
    assert blobs.turn(tx, OFFER, NeedState.REFUSED, 60, error)
    assert not blobs.turn(tx, OFFER, NeedState.DELIVERED, 60), "an end is the end"
    ended = blobs.ONE.one(tx, hash=ADDRESS, need="offer", peer=THERE)
    assert ended == dataclasses.replace(OFFER, state=NeedState.REFUSED, until=60, error=error)
    assert blobs.remove(tx, ADDRESS)
    assert blobs.OF_BLOB.all(tx, hash=ADDRESS) == [ended], "it is still told what came of it"


def test_each_state_holds_or_does_not(tx: Tx) -> None:
    blobs.add(tx, BLOB)
    for state in NeedState:
        blobs.refer(tx, dataclasses.replace(OFFER, state=state))
        assert (_unreferenced(tx) == []) == (state in (NeedState.OPEN, NeedState.HERE))


def test_needs_expire_pins_do_not(tx: Tx) -> None:
    blobs.add(tx, BLOB)
    blobs.refer(tx, OFFER)
    blobs.refer(tx, dataclasses.replace(OFFER, need=Need.PIN, peer=BrokerId("handoff"), until=50))
    blobs.expire(tx, 49)
    assert {each.state for each in blobs.OF_BLOB.all(tx, hash=ADDRESS)} == {NeedState.OPEN}
    blobs.expire(tx, 50)
    states = {each.need: each.state for each in blobs.OF_BLOB.all(tx, hash=ADDRESS)}
    assert states == {Need.OFFER: NeedState.EXPIRED, Need.PIN: NeedState.OPEN}
    blobs.expire(tx, 50 + KEEP_ENDED_MS)
    assert [each.need for each in blobs.OF_BLOB.all(tx, hash=ADDRESS)] == [Need.PIN]
    assert _unreferenced(tx) == []
    assert blobs.release(tx, ADDRESS, Need.PIN, "handoff")
    assert _unreferenced(tx) == [ADDRESS]


def test_finding(tx: Tx) -> None:
    blobs.add(tx, BLOB)
    blobs.refer(tx, OFFER)
    blobs.refer(tx, dataclasses.replace(OFFER, need=Need.DOWNLOAD, peer=HERE, operation=""))
    assert blobs.NAMED.all(tx, name="name") == [ADDRESS] == blobs.BY_PREFIX.all(tx, prefix="6161")
    assert blobs.BY_PREFIX.all(tx, prefix="6162") == []
    assert blobs.BY_OPERATION.one(tx, operation="op") == OFFER
    assert [each.peer for each in blobs.WANTED.all(tx)] == [HERE]
    assert (blobs.WANTED_FROM.one(tx, peer=HERE), blobs.WANTED_FROM.one(tx, peer=THERE)) == (1, 0)
    gone = blobs.release_all(tx, ADDRESS)
    assert {each.need for each in gone} == {Need.OFFER, Need.DOWNLOAD}
    assert blobs.REFERENCES.all(tx, limit=9) == []
