"""The floor under durable envelopes: verify the signature, open the seal, insert, 32 to a transaction.

Nothing else is done: no link, no decoding of the body, no effect, no receipt. One thread, `synchronous=FULL`.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import nacl.public
import nacl.signing

BATCH = 32


_Made = tuple[nacl.signing.VerifyKey, nacl.public.PrivateKey, list[tuple[bytes, bytes]]]


def _envelopes(count: int, body: int) -> _Made:
    signer, recipient = nacl.signing.SigningKey.generate(), nacl.public.PrivateKey.generate()
    box = nacl.public.SealedBox(recipient.public_key)
    sealed = [box.encrypt(at.to_bytes(8, "big") + bytes(body - 8)) for at in range(count)]
    return signer.verify_key, recipient, [(each, signer.sign(each).signature) for each in sealed]


def _open_store(path: Path) -> sqlite3.Connection:
    store = sqlite3.connect(path, isolation_level=None)
    store.execute("PRAGMA journal_mode = WAL")
    store.execute("PRAGMA synchronous = FULL")
    store.execute("DROP TABLE IF EXISTS inbox")
    store.execute("CREATE TABLE inbox (id BLOB PRIMARY KEY, opened BLOB) WITHOUT ROWID")
    return store


def envelopes_per_second(folder: Path, body: int, within: float, count: int = 6_000) -> float:
    """How many envelopes a second the bare loop takes in.

    Args:
        folder: where its store lies; on the disk the brokers' homes are on.
        body: bytes inside the seal.
        within: seconds after which it ends.
        count: how many, at most.
    """
    verify_key, recipient, envelopes = _envelopes(count, body)
    box = nacl.public.SealedBox(recipient)
    store = _open_store(folder / "floor.db")
    started, done = time.perf_counter(), 0
    while done < count and time.perf_counter() - started < within:
        store.execute("BEGIN IMMEDIATE")
        for sealed, signature in envelopes[done : done + BATCH]:
            verify_key.verify(sealed, signature)
            store.execute("INSERT INTO inbox VALUES (?, ?)", (signature[:16], box.decrypt(sealed)))
        store.execute("COMMIT")
        done += BATCH
    rate = done / (time.perf_counter() - started)
    store.close()
    return rate
