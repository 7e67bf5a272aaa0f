"""Epochs: who may begin one, which key counts, and which of two wins."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import pytest

from relay.core.epochs import MAX_EPOCHS, Rotation, commitment, pack_rotation, unpack_rotation
from relay.core.errors import LocalFault, PeerFault
from relay.core.wire import pack
from relay.trust.epochs import content_of, merged, rotated, seq_of, verify_rotation
from relay.trust.identity import Identity
from relay.trust.signing import signed_block
from relay.trust.workspace import Workspace, load_workspace, save_workspace, workspace_of
from tests.trust.seeds import HOME, LAPTOP, NOW, OTHER, ROOT, STRANGER


def _next(workspace: Workspace, seed: int, identity: Identity = ROOT) -> Workspace:
    return rotated(workspace, identity, bytes([seed]) * 32, 7, NOW + seed)


def _offered(workspace: Workspace) -> list[tuple[int, bytes, bytes]]:
    return [(each.epoch, each.key, each.rotation) for each in workspace.epochs]


SECOND = _next(HOME, 1)
THIRD = _next(SECOND, 2)
FOURTH = _next(THIRD, 3)


def test_a_rotation_raises_the_epoch_and_keeps_the_former_keys() -> None:
    assert (SECOND.epoch, SECOND.id, SECOND.key) == (2, HOME.id, b"\x01" * 32)
    assert [each.key for each in FOURTH.former] == [HOME.key, SECOND.key, THIRD.key]
    word = verify_rotation(HOME, FOURTH.rotation)
    assert (word.epoch, word.signer, word.seq, word.commitment) == (4, ROOT.id, 7, commitment(FOURTH.key))
    assert seq_of(FOURTH) == 7 and seq_of(HOME) == 0
    assert "0303" not in repr(FOURTH), "no key is shown"


def test_who_missed_three_epochs_has_the_fourth_at_once_and_all_between() -> None:
    assert merged(HOME, _offered(FOURTH)) == FOURTH
    assert merged(FOURTH, _offered(FOURTH)) == FOURTH
    assert merged(FOURTH, _offered(SECOND)) == FOURTH
    assert content_of(FOURTH)["epochs"] == [list(each) for each in _offered(FOURTH)]


def test_of_two_rotations_at_once_the_same_one_wins_in_any_order() -> None:
    one, other = _next(SECOND, 8), _next(SECOND, 9)
    both = {merged(one, _offered(other)).key, merged(other, _offered(one)).key}
    assert len(both) == 1
    winner = max(one, other, key=lambda each: verify_rotation(HOME, each.rotation).rank)
    assert both == {winner.key}
    # a higher epoch wins over whatever hash
    longer = _next(min(one, other, key=lambda each: verify_rotation(HOME, each.rotation).rank), 10)
    for order in itertools.permutations((one, other, longer)):
        held = HOME
        for each in order:
            held = merged(held, _offered(each))
        assert (held.epoch, held.key) == (4, longer.key)
        # the one that lost still opens a link to who holds it
        assert {each.key for each in held.former} >= {one.key, other.key}


def test_only_a_signer_begins_one() -> None:
    usurped = dataclasses.replace(HOME, root=LAPTOP.id, root_public=LAPTOP.public)
    forged = _next(usurped, 4, identity=LAPTOP)
    with pytest.raises(PeerFault):
        merged(HOME, _offered(forged))
    # in the signer's name, by somebody else
    honest = Rotation(HOME.id, ROOT.id, 2, 0, NOW, commitment(bytes(32)), commitment(HOME.key))
    block = signed_block(LAPTOP, b"relay-epoch/1", pack_rotation(honest))
    with pytest.raises(PeerFault):
        merged(HOME, [(2, bytes(32), block)])
    with pytest.raises(PeerFault):
        merged(HOME, _offered(_next(OTHER, 5, identity=STRANGER)))


def test_a_key_that_no_rotation_names_is_refused() -> None:
    (first, second) = _offered(SECOND)
    for bad in (
        [first, (2, bytes(32), second[2])],
        [(1, bytes(32), b""), second],
        [first],
        [(3, second[1], second[2])],
    ):
        with pytest.raises(PeerFault):
            merged(HOME, bad)


def test_at_most_64_epochs_are_kept() -> None:
    held = HOME
    for each in range(MAX_EPOCHS + 3):
        held = _next(held, each)
    assert held.epoch == MAX_EPOCHS + 4 and len(held.epochs) == MAX_EPOCHS
    assert held.former[0].epoch == 5


def test_the_file_keeps_every_epoch_and_a_file_of_the_first_is_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "workspace.key"
    save_workspace(path, FOURTH)
    assert load_workspace(path) == FOURTH
    assert path.stat().st_mode & 0o777 == 0o600
    save_workspace(path, HOME)
    assert {"former", "rotation"}.isdisjoint(json.loads(path.read_text()))


@pytest.mark.parametrize(
    "change",
    [
        {"former": 5},
        {"former": [5]},
        {"former": [{"epoch": 0, "key": "00" * 32, "rotation": ""}]},
        {"former": [{"epoch": 1, "key": "00", "rotation": ""}]},
        {"former": [{"epoch": 1, "key": "00" * 32, "rotation": "zz"}]},
        {"rotation": "zz"},
        {"rotation": 5},
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "workspace.key"
    save_workspace(path, FOURTH)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    path.chmod(0o600)
    with pytest.raises(LocalFault) as caught:
        load_workspace(path)
    assert FOURTH.key.hex() not in str(caught.value) + caught.value.why


def test_a_joiner_gets_the_rotation_with_the_key() -> None:
    joined = workspace_of(FOURTH.facts(), FOURTH.key)
    assert joined == dataclasses.replace(FOURTH, former=())
    assert merged(joined, _offered(FOURTH)) == FOURTH


def test_the_form_is_canonical() -> None:
    rotation = verify_rotation(HOME, SECOND.rotation)
    assert unpack_rotation(pack_rotation(rotation)) == rotation
    with pytest.raises(PeerFault):
        unpack_rotation(pack([1, HOME.id, bytes(32), 1, 0, NOW, bytes(32), bytes(32)]))
