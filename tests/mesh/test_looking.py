"""A directory that does not answer holds up who names it, and for a moment only."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from relay.broker import looking
from relay.broker.looking import Looks, Seen
from relay.core.errors import Code, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

FORCED, DETACHED = 1, 2


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
    monkeypatch.setattr(looking, "PATIENCE_S", 30.0)
    monkeypatch.setattr(looking, "SHORT_S", 30.0)
    assert looks.at(str(tmp_path)) == Seen(str(tmp_path), is_directory=True, is_there=True)
    assert looks.at(f"{tmp_path}/none") == Seen(f"{tmp_path}/none")
    assert looks.at("relative") == Seen()


def test_names_below_one_mount_take_few_threads_and_what_answers_again_is_looked_at(
    silent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "SHORT_S", 0.2)
    before, looks = threading.active_count(), Looks(lambda: "here")
    monkeypatch.setattr(looking, "PATIENCE_S", 0.2)
    for each in range(2 * looking.MOST):
        with pytest.raises(Refused, match="does not answer"):
            looks.at(f"{silent}/{each}")
    assert threading.active_count() < before + looking.MOST // 2
    monkeypatch.setattr(looking, "PATIENCE_S", 30.0)
    monkeypatch.setattr(looking, "SHORT_S", 30.0)
    assert looks.at(str(tmp_path)).is_directory
    ctypes.CDLL(None).umount2(bytes(silent), FORCED)
    assert _at_last(looks, f"{silent}/0") == Seen(f"{silent}/0")


def test_a_directory_that_was_just_seen_is_not_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "FRESH_S", 30.0)
    monkeypatch.setattr(looking, "PATIENCE_S", 30.0)
    looks, place = Looks(lambda: "here"), tmp_path / "place"
    assert not looks.at(str(place)).is_there
    place.mkdir()
    seen = looks.at(str(place))
    assert seen.is_directory, "what was not there is looked at again"
    place.rmdir()
    assert looks.at(str(place)) is seen
    monkeypatch.setattr(looking, "FRESH_S", 0.0)
    assert not looks.at(str(place)).is_there


def _at_last(looks: Looks, wanted: str) -> Seen:
    deadline = time.monotonic() + 10
    while True:
        try:
            return looks.at(wanted)
        except Refused:  # who waited is still to be told
            assert time.monotonic() < deadline
            time.sleep(0.01)


NO_THREAD = """
import resource, sys
from relay.broker import looking
from relay.broker.looking import Looks
looking.PATIENCE_S = 30.0
looks = Looks(lambda: "here")
kept = resource.getrlimit(resource.RLIMIT_AS)
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + (1 << 20), kept[1]))  # less than the stack of a thread
assert looks.at("/").is_directory and looks._line is None
resource.setrlimit(resource.RLIMIT_AS, kept)
assert looks.at("/").is_directory and looks._line is not None
"""


@pytest.mark.skipif(sys.platform != "linux", reason="its size is told elsewhere in another way")
def test_where_no_thread_can_be_made_it_is_looked_at_without() -> None:
    subprocess.run([sys.executable, "-c", NO_THREAD], check=True, timeout=30)
