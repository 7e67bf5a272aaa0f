"""The epochs of a workspace: each has a key, and from the second on a signed word of who made it.

    rotation = signed block [1, workspace id, signer, epoch, seq, at, commitment to its key, to the key before]

Whoever has an epoch gives all it holds to members that come with an older one; what counts there is the rotation's
signature, and that the keys are those it names. Of two rotations at once the highest (epoch, hash) wins, on every
broker alike. Signing and verifying are in `relay.trust.epochs`.
"""

from __future__ import annotations

import hashlib
from typing import Any

from relay.core import ids
from relay.core.envelope import authenticated
from relay.core.errors import Code, PeerFault
from relay.core.hello import HASH_BYTES, is_bytes, is_count
from relay.core.ids import BrokerId
from relay.core.statements import is_workspace_id
from relay.core.values import frozen
from relay.core.wire import pack, unpack

VERSION = 1
FIRST_EPOCH = 1
KEY_BYTES = 32
MAX_ROTATION = 512
MAX_BLOCK = MAX_ROTATION + 128
MAX_EPOCHS = 64  # that are kept, and given to who comes with an older one
_HASH_DOMAIN = b"relay-epoch-hash/1"
_COMMITMENT_DOMAIN = b"relay-epoch-key/1"


@frozen
class Rotation:
    """A signer's word that an epoch begins.

    Attributes:
        workspace: its id.
        signer: who made it.
        epoch: its number, from 2.
        seq: how many statements of the roster the signer knew: who knows fewer may not know whom it left out.
        at: milliseconds since 1970, the signer's clock.
        commitment: `commitment` of its key, 32 bytes.
        former: that of the epoch's before.
        content: the signed bytes.
    """

    workspace: str
    signer: BrokerId
    epoch: int
    seq: int
    at: int
    commitment: bytes
    former: bytes
    content: bytes = b""

    @property
    def rank(self) -> tuple[int, bytes]:
        """What decides between rotations: the epoch, then SHA-256 of the signed content."""
        return self.epoch, hashlib.sha256(authenticated(_HASH_DOMAIN, self.content)).digest()


def commitment(key: bytes) -> bytes:
    """What a rotation says of a key: it shows nothing of it, and no other key fits."""
    return hashlib.sha256(authenticated(_COMMITMENT_DOMAIN, key)).digest()


def _fault(why: str) -> PeerFault:
    return PeerFault("an epoch was refused", code=Code.BAD_ENVELOPE, why=why)


def pack_rotation(rotation: Rotation) -> bytes:
    """The bytes to sign."""
    return pack(
        [
            VERSION,
            rotation.workspace,
            ids.to_digest(rotation.signer),
            rotation.epoch,
            rotation.seq,
            rotation.at,
            rotation.commitment,
            rotation.former,
        ]
    )


def _fits(parts: Any) -> bool:
    return (
        type(parts) is list
        and len(parts) == 8
        and type(parts[0]) is int
        and parts[0] == VERSION
        and is_workspace_id(parts[1])
        and all(map(is_count, parts[3:6]))
        and parts[3] > FIRST_EPOCH
        and all(map(is_bytes(HASH_BYTES), (parts[2], *parts[6:])))
    )


def unpack_rotation(content: bytes) -> Rotation:
    """The rotation in these signed bytes.

    Raises:
        PeerFault: not of the form, or not in its canonical encoding.
    """
    parts = unpack(content, MAX_ROTATION)
    if not _fits(parts) or pack(parts) != content:
        raise _fault("it has another form")
    _, workspace, signer, epoch, seq, at, key, former = parts
    return Rotation(workspace, ids.from_digest(signer), epoch, seq, at, key, former, content)


def checked_epochs(value: object) -> list[tuple[int, bytes, bytes]]:
    """The epochs in an envelope as they came: number, key and rotation of each; nothing is verified.

    The first epoch of a workspace has an empty rotation.

    Raises:
        PeerFault: `bad_envelope`.
    """
    if type(value) is not list or not 0 < len(value) <= MAX_EPOCHS:
        raise _fault("it has another form")
    return [_checked(each) for each in value]


def _checked(each: object) -> tuple[int, bytes, bytes]:
    if type(each) is not list or len(each) != 3:
        raise _fault("one of them has another form")
    number, key, rotation = each
    if not is_count(number) or number < FIRST_EPOCH or not is_bytes(KEY_BYTES)(key):
        raise _fault("one of them has another form")
    if type(rotation) is not bytes or len(rotation) > MAX_BLOCK or bool(rotation) != (number > FIRST_EPOCH):
        raise _fault("one of them has another form")
    return number, key, rotation
