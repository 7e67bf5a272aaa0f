import dataclasses
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from relay.core.errors import Code, LocalFault, PeerFault
from relay.trust.workspace import (
    Workspace,
    ca_certificate,
    ca_key,
    leaf_certificate,
    load_workspace,
    save_workspace,
    workspace_of,
)

from .seeds import HOME, LAPTOP, OTHER, STRANGER


def test_a_saved_workspace_is_the_same_when_loaded(tmp_path: Path) -> None:
    path = tmp_path / "workspace.key"
    save_workspace(path, OTHER)
    save_workspace(path, HOME)
    assert load_workspace(path) == HOME
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["workspace.key"]


def test_the_id_is_bound_to_the_root() -> None:
    assert len(HOME.id) == 26
    same_nonce = Workspace.create(HOME.key, "home", STRANGER, HOME.nonce)
    assert same_nonce.id != HOME.id
    for change in ({"root_public": STRANGER.public}, {"nonce": bytes(16)}, {"id": OTHER.id}):
        with pytest.raises(PeerFault):
            workspace_of(HOME.facts() | change, HOME.key)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Bad Name"},
        {"epoch": 0},
        {"epoch": "1"},
        {"epoch": True},
        {"root_public": bytes(32)},
        {"nonce": None},
        {"id": 5},
    ],
)
def test_wrong_facts_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(PeerFault):
        workspace_of(HOME.facts() | change, HOME.key)


@pytest.mark.parametrize("change", [{"key": "00"}, {"key": 5}, {"version": 2}, {"id": "x"}, {"root_public": "zz"}])
def test_a_damaged_file_is_refused_without_showing_the_key(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "workspace.key"
    save_workspace(path, HOME)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(LocalFault) as caught:
        load_workspace(path)
    assert caught.value.code is Code.BAD_KEY_FILE
    assert HOME.key.hex() not in repr(caught.value.to_json())


def test_a_missing_or_open_file_is_a_local_fault(tmp_path: Path) -> None:
    path = tmp_path / "workspace.key"
    with pytest.raises(LocalFault) as caught:
        load_workspace(path)
    assert caught.value.code is Code.NOT_SET_UP
    save_workspace(path, HOME)
    path.chmod(0o604)
    with pytest.raises(LocalFault) as caught:
        load_workspace(path)
    assert caught.value.code is Code.BAD_KEY_FILE and "chmod 600" in caught.value.hint


def test_the_key_is_not_in_the_repr() -> None:
    assert repr(HOME.key) not in repr(HOME)


def test_each_epoch_and_workspace_has_its_own_authority() -> None:
    later = dataclasses.replace(HOME, epoch=2)
    same_key = dataclasses.replace(OTHER, key=HOME.key)
    keys = {ca_key(item).private_bytes_raw() for item in (HOME, later, same_key)}
    assert len(keys) == 3 and HOME.key not in keys
    assert ca_certificate(HOME).subject != ca_certificate(later).subject


def test_the_leafs_key_is_the_identity() -> None:
    leaf = leaf_certificate(HOME, LAPTOP)
    key = leaf.public_key()
    assert isinstance(key, Ed25519PublicKey) and key.public_bytes_raw() == LAPTOP.public
    leaf.verify_directly_issued_by(ca_certificate(HOME))
    assert (leaf.not_valid_before_utc.year, leaf.not_valid_after_utc.year) == (1970, 9999)
