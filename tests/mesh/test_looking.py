"""A directory that does not answer holds up who names it, and for a moment only."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from relay.broker import looking
from relay.broker.looking import Looks, Seen
from relay.core.errors import Code, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

DETACHED = 2


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[Path]:
    """A mount whose file system says nothing."""
    place = tmp_path / "silent"
    place.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        server = os.open("/dev/fuse", os.O_RDWR)
    except OSError:
        pytest.skip("there is no FUSE here")
    options = f"fd={server},rootmode=40000,user_id=0,group_id=0".encode()
    if libc.mount(b"silent", bytes(place), b"fuse", 0, options):
        os.close(server)
        pytest.skip("who may not mount")
    try:
        yield place
    finally:
        libc.umount2(bytes(place), DETACHED)
        os.close(server)  # whoever still looks is told that it is gone


def test_what_does_not_answer_is_refused_and_keeps_nobody_else(
    silent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "PATIENCE_S", 0.2)
    looks = Looks(lambda: "here")
    for wanted in (silent, silent, silent / "below"):
        with pytest.raises(Refused) as refused:
            looks.at(str(wanted))
        assert refused.value.code is Code.NO_DIRECTORY and f"{wanted} on here" in str(refused.value)
    monkeypatch.setattr(looking, "SHORT_S", 30.0)
    assert looks.at(str(tmp_path)) == Seen(str(tmp_path), is_directory=True, is_there=True)
    assert looks.at(f"{tmp_path}/none") == Seen(f"{tmp_path}/none")
    assert looks.at("relative") == Seen()
