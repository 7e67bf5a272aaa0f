"""Rotations signed and verified, and a workspace with the epochs that it has gone through."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from relay.core.epochs import (
    FIRST_EPOCH,
    MAX_EPOCHS,
    MAX_ROTATION,
    Rotation,
    commitment,
    pack_rotation,
    unpack_rotation,
)
from relay.core.errors import Code, PeerFault
from relay.trust.identity import Identity
from relay.trust.signing import check_block, signed_block, split_block
from relay.trust.workspace import Former, Workspace

_DOMAIN = b"relay-epoch/1"


def _fault(why: str, code: Code = Code.BAD_ENVELOPE) -> PeerFault:
    return PeerFault("an epoch was refused", code=code, why=why)


def verify_rotation(workspace: Workspace, raw: bytes) -> Rotation:
    """One rotation of this workspace by a signer of it.

    Raises:
        PeerFault: not of the form, of another workspace or signer, or with a bad signature.
    """
    content, signature = split_block(raw, MAX_ROTATION)
    rotation = unpack_rotation(content)
    if rotation.workspace != workspace.id:
        raise _fault("it is of another workspace", Code.OTHER_WORKSPACE)
    if rotation.signer != workspace.root:
        raise _fault("only a signer of the roster may begin one", Code.BAD_SIGNATURE)
    check_block(workspace.root_public, _DOMAIN, content, signature)
    return rotation


def rotated(workspace: Workspace, identity: Identity, random32: bytes, seq: int, now: int) -> Workspace:
    """The workspace in its next epoch, the present one kept for who still comes with it.

    Args:
        workspace: as it is.
        identity: a signer.
        random32: the new key, 32 random bytes.
        seq: how many statements of the roster count.
        now: milliseconds since 1970.
    """
    epoch = workspace.epoch + 1
    made = Rotation(
        workspace.id, identity.id, epoch, seq, now, commitment(random32), commitment(workspace.key)
    )
    block = signed_block(identity, _DOMAIN, pack_rotation(made))
    return _ordered(workspace, [*workspace.epochs, Former(epoch, random32, block)])


def _rank(workspace: Workspace, held: Former) -> tuple[int, bytes]:
    return verify_rotation(workspace, held.rotation).rank if held.rotation else (held.epoch, b"")


def _ordered(workspace: Workspace, held: Iterable[Former]) -> Workspace:
    """The workspace in the highest of these epochs; of the others the newest are kept."""
    *former, newest = sorted(set(held), key=lambda each: _rank(workspace, each))
    kept = tuple(former[-(MAX_EPOCHS - 1) :])
    return replace(workspace, epoch=newest.epoch, key=newest.key, rotation=newest.rotation, former=kept)


def merged(workspace: Workspace, offered: Iterable[tuple[int, bytes, bytes]]) -> Workspace:
    """The workspace with the epochs that a member gave; itself, where none of them is new.

    A key counts where a signer's rotation names it: as its own, or as the one before it.

    Args:
        workspace: as it is.
        offered: number, key and rotation of each, the form checked.

    Raises:
        PeerFault: a key or a rotation that is not a signer's word on this workspace.
    """
    epochs = [Former(*each) for each in offered]
    rotations = [verify_rotation(workspace, each.rotation) for each in epochs if each.rotation]
    named = {(each.epoch, each.commitment) for each in rotations}
    before = {each.former for each in rotations if each.epoch == FIRST_EPOCH + 1}
    for each in epochs:
        word = (each.epoch, commitment(each.key))
        if word not in named and not (each.epoch == FIRST_EPOCH and word[1] in before):
            raise _fault("a key is not the one that its rotation names", Code.BAD_SIGNATURE)
    for each, rotation in zip((each for each in epochs if each.rotation), rotations, strict=True):
        if (each.epoch, commitment(each.key)) != (rotation.epoch, rotation.commitment):
            raise _fault("a key is not the one that its rotation names", Code.BAD_SIGNATURE)
    return _ordered(workspace, {*workspace.epochs, *epochs})


def content_of(workspace: Workspace) -> dict[str, object]:
    """What is said to a member that comes with an older epoch: all that are held, oldest first."""
    return {"epochs": [[each.epoch, each.key, each.rotation] for each in workspace.epochs]}


def seq_of(workspace: Workspace) -> int:
    """How many statements of the roster one has to know to give the present epoch to others."""
    return verify_rotation(workspace, workspace.rotation).seq if workspace.rotation else 0
