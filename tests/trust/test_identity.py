import json
import os
from pathlib import Path

import pytest

from relay.core.errors import Code, LocalFault, PeerFault
from relay.trust.identity import (
    KEEP_RETIRED_MS,
    Identity,
    check_public_key,
    check_sealing_key,
    load_identity,
    save_identity,
    update_identity,
)

from .seeds import NOW, ROOT


def test_a_saved_identity_is_the_same_when_loaded(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    save_identity(path, ROOT)
    assert load_identity(path) == ROOT
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["identity.key"]


def test_a_wide_umask_does_not_open_the_file(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        save_identity(tmp_path / "identity.key", ROOT)
    finally:
        os.umask(before)
    assert (tmp_path / "identity.key").stat().st_mode & 0o777 == 0o600


def test_an_existing_identity_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    path.write_text("precious")
    with pytest.raises(LocalFault) as caught:
        save_identity(path, ROOT)
    assert caught.value.code is Code.ALREADY_SET_UP
    assert path.read_text() == "precious"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_missing_file_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(LocalFault) as caught:
        load_identity(tmp_path / "identity.key")
    assert (caught.value.code, caught.value.hint) == (Code.NOT_SET_UP, "relay init")


def test_a_file_open_to_others_is_refused_with_the_chmod(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    save_identity(path, ROOT)
    path.chmod(0o640)
    with pytest.raises(LocalFault) as caught:
        load_identity(path)
    assert caught.value.code is Code.BAD_KEY_FILE
    assert caught.value.hint == f"chmod 600 {path}"


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[:-40],
        lambda text: "[1]",
        lambda text: text.replace('"version": 1', '"version": 9'),
        lambda text: text.replace(ROOT.seed.hex(), ROOT.seed.hex()[2:]),
        lambda text: text.replace(ROOT.seed.hex(), "zz" + ROOT.seed.hex()[2:]),
        lambda text: text.replace(ROOT.seed.hex(), "ff" * 32),
        lambda text: json.dumps(json.loads(text) | {"sealing": []}),
        lambda text: json.dumps(json.loads(text) | {"sealing": [{"secret": 3, "retired": None}]}),
        lambda text: json.dumps(json.loads(text) | {"sealing": [{"secret": "00" * 32, "retired": "x"}]}),
    ],
)
def test_a_damaged_file_is_refused_without_showing_a_byte_of_it(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "identity.key"
    save_identity(path, ROOT)
    path.write_text(damage(path.read_text()))  # type: ignore[operator]
    with pytest.raises(LocalFault) as caught:
        load_identity(path)
    assert caught.value.code is Code.BAD_KEY_FILE
    shown = repr(caught.value.to_json())
    assert ROOT.seed.hex()[4:12] not in shown and ROOT.sealing.secret.hex()[4:12] not in shown


def test_a_folder_that_cannot_be_written_is_a_fault_with_words(tmp_path: Path) -> None:
    with pytest.raises(LocalFault) as caught:
        save_identity(tmp_path / "missing" / "identity.key", ROOT)
    assert "cannot be written" in caught.value.message


def test_secrets_are_not_in_the_repr() -> None:
    shown = repr(ROOT)
    assert repr(ROOT.seed) not in shown and repr(ROOT.sealing.secret) not in shown and "_secret" not in shown


def test_retired_sealing_keys_are_kept_for_31_days(tmp_path: Path) -> None:
    second = ROOT.with_sealing(b"\x21" * 32, NOW)
    third = second.with_sealing(b"\x22" * 32, NOW + KEEP_RETIRED_MS - 1)
    assert [key.secret[:1] for key in third.sealing_keys] == [b"\x22", b"\x21", b"\x02"]
    fourth = third.with_sealing(b"\x23" * 32, NOW + KEEP_RETIRED_MS)
    assert [key.secret[:1] for key in fourth.sealing_keys] == [b"\x23", b"\x22", b"\x21"]
    assert fourth.sealing_key(ROOT.sealing.key_id) is None
    save_identity(tmp_path / "identity.key", ROOT)
    update_identity(tmp_path / "identity.key", fourth)
    assert load_identity(tmp_path / "identity.key") == fourth


SMALL_ORDER = [
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    b"\xec" + b"\xff" * 30 + b"\x7f",
    b"\xee" + b"\xff" * 30 + b"\x7f",  # a coordinate that is not reduced
    b"\x02" + bytes(31),  # no point
    b"",
    bytes(33),
]


@pytest.mark.parametrize("public", SMALL_ORDER)
def test_invalid_ed25519_keys_are_refused(public: bytes) -> None:
    with pytest.raises(PeerFault):
        check_public_key(public)


@pytest.mark.parametrize("public", [bytes(32), b"\x01" + bytes(31), b"", bytes(31)])
def test_invalid_x25519_keys_are_refused(public: bytes) -> None:
    with pytest.raises(PeerFault):
        check_sealing_key(public)


def test_real_keys_pass() -> None:
    for byte in range(20):
        identity = Identity.create(bytes([byte]) * 32, bytes([byte]) * 32)
        assert check_public_key(identity.public) == identity.public
        assert check_sealing_key(identity.sealing.public) == identity.sealing.public
