"""Blobs on the disk: nothing is believed, nothing half is taken for whole, nothing is written where a name says."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from relay.broker.blobs import files
from relay.broker.blobs.files import BlobFile, delete, paths, prepare
from relay.broker.blobs.taking import TakingIn, WritingOut
from relay.core.blobs import CHUNK, Place, Shape, chunk_hash, node_hash, pack_node
from relay.core.errors import Code, LocalFault, Misuse, PeerFault, RelayError

SIZE = 5 * CHUNK + 17


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "blobs"
    prepare(made, [])
    return made


def _taken(folder: Path, source: Path) -> bytes:
    taking = TakingIn(folder, str(source), "t")
    taking.begin()
    while taking.step():
        pass
    address = taking.finish()
    taking.settle(address)
    taking.abandon()
    return address


def _source(tmp_path: Path, size: int = SIZE) -> Path:
    path = tmp_path / "source"
    path.write_bytes(os.urandom(size))
    return path


def _written(folder: Path, address: bytes, size: int, target: Path) -> None:
    blob = BlobFile.open(folder, address, size)
    writing = WritingOut(blob, str(target), "w")
    try:
        while writing.step():
            pass
        writing.finish()
    finally:
        writing.close()
        blob.close()


def _copied(source: Path, target: Path, address: bytes, items: int | None = None) -> BlobFile:
    """A blob pulled item by item, as far as asked."""
    whole = BlobFile.open(source, address, SIZE)
    part = BlobFile.open(target, address, SIZE, writable=True)
    for item in range(whole.shape.total if items is None else items):
        place = whole.shape.place(item)
        part.keep(place, whole.read(place))
    whole.close()
    return part


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1, SIZE])
def test_in_and_out_again(tmp_path: Path, folder: Path, size: int) -> None:
    source, target = _source(tmp_path, size), tmp_path / "out"
    address = _taken(folder, source)
    _written(folder, address, size, target)
    assert target.read_bytes() == source.read_bytes()
    assert {path.name for path in folder.iterdir()} == {path.name for path in paths(folder, address)}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_address_is_the_root_s(tmp_path: Path, folder: Path) -> None:
    source = _source(tmp_path, CHUNK + 1)
    data = source.read_bytes()
    hashes = chunk_hash(data[:CHUNK]) + chunk_hash(data[CHUNK:])
    assert _taken(folder, source) == node_hash(pack_node(Shape(CHUNK + 1), Place(1, 0), hashes))


def test_many_levels(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree of nodes over nodes, with a small fanout so that the test needs no terabyte."""

    def small(size: int) -> Shape:
        return Shape(size, 1_000, 3)

    for module in ("files", "taking"):
        monkeypatch.setattr(f"relay.broker.blobs.{module}.Shape", small)
    source = _source(tmp_path, 40_500)
    address = _taken(folder, source)
    whole = BlobFile.open(folder, address, 40_500)
    assert whole.shape.root.level == 4
    other = tmp_path / "other"
    prepare(other, [])
    part = BlobFile.open(other, address, 40_500, writable=True)
    for item in range(whole.shape.total):
        place = whole.shape.place(item)
        part.keep(place, whole.read(place))
    for each in (whole, part):
        each.close()
    _written(other, address, 40_500, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == source.read_bytes()
    for one, another in zip(paths(folder, address), paths(other, address), strict=True):
        assert one.read_bytes() == another.read_bytes()


@pytest.mark.parametrize("which", [0, 1], ids=["data", "tree"])
@pytest.mark.parametrize("at", [0, -1])
def test_damage_is_noticed_on_read(tmp_path: Path, folder: Path, which: int, at: int) -> None:
    address = _taken(folder, _source(tmp_path))
    path = paths(folder, address)[which]
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(LocalFault) as caught:
        _written(folder, address, SIZE, tmp_path / "out")
    assert caught.value.code is Code.BLOB_DAMAGED
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".relay-*"))


@pytest.mark.parametrize("which", [0, 1], ids=["data", "tree"])
def test_a_cut_or_missing_file_is_damage(tmp_path: Path, folder: Path, which: int) -> None:
    address = _taken(folder, _source(tmp_path))
    path = paths(folder, address)[which]
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(LocalFault):
        _written(folder, address, SIZE, tmp_path / "out")
    path.unlink()
    with pytest.raises(LocalFault) as caught:
        BlobFile.open(folder, address, SIZE)
    assert caught.value.code is Code.BLOB_DAMAGED


def test_wrong_bytes_are_not_written(tmp_path: Path, folder: Path) -> None:
    address = _taken(folder, _source(tmp_path))
    other = tmp_path / "other"
    prepare(other, [])
    part = _copied(folder, other, address, items=2)
    before = [path.read_bytes() for path in paths(other, address)]
    for wrong in (b"", b"x" * CHUNK, None, "text", b"x" * (CHUNK + 1)):
        with pytest.raises(PeerFault) as caught:
            part.keep(Place(0, 1), wrong)
        assert caught.value.code is Code.BAD_BLOB
    assert [path.read_bytes() for path in paths(other, address)] == before
    part.close()


def test_the_root_of_another_size_is_refused(tmp_path: Path, folder: Path) -> None:
    """Who offers a blob as smaller than it is gets round no quota."""
    address = _taken(folder, _source(tmp_path))
    whole = BlobFile.open(folder, address, SIZE)
    other = tmp_path / "other"
    prepare(other, [])
    part = BlobFile.open(other, address, 10, writable=True)
    with pytest.raises(PeerFault) as caught:
        part.keep(Place(1, 0), whole.read(Place(1, 0)))
    assert "another size" in caught.value.why
    for each in (whole, part):
        each.close()


def test_what_was_written_is_found_again_and_nothing_else(tmp_path: Path, folder: Path) -> None:
    address = _taken(folder, _source(tmp_path))
    other = tmp_path / "other"
    prepare(other, [])
    part = _copied(folder, other, address, items=3)
    whole = BlobFile.open(folder, address, SIZE)
    part.keep(Place(0, 4), whole.read(Place(0, 4)))
    for each in (whole, part):
        each.close()
    again = BlobFile.open(other, address, SIZE, writable=True)
    assert again.found(0) == [0, 1, 2, 5]
    assert again.found(2) == [2, 5]
    again.close()
    with paths(other, address)[0].open("r+b") as file:
        file.seek(CHUNK + 5)  # half a chunk is no chunk
        file.write(b"torn")
    torn = BlobFile.open(other, address, SIZE, writable=True)
    assert torn.found(0) == [0, 1, 5]
    torn.close()
    empty = BlobFile.open(tmp_path, address, SIZE, writable=True)
    assert empty.found(0) == []
    empty.close()


def test_what_no_row_knows_is_cleared_away(tmp_path: Path, folder: Path) -> None:
    kept, gone = _taken(folder, _source(tmp_path)), _taken(folder, _source(tmp_path))
    (folder / f"{files.NEW}x.data").touch()
    (folder / "notes.txt").touch()
    prepare(folder, [kept])
    names = {path.name for path in folder.iterdir()}
    assert names == {path.name for path in paths(folder, kept)} | {"notes.txt"}
    assert not any(path.exists() for path in paths(folder, gone))
    delete(folder, kept)
    delete(folder, kept)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("change", ["append", "rewrite", "truncate"])
def test_a_file_that_changes_is_not_sent(tmp_path: Path, folder: Path, change: str) -> None:
    source = _source(tmp_path, 40 * CHUNK)
    taking = TakingIn(folder, str(source), "t")
    taking.begin()
    taking.step()
    if change == "append":
        with source.open("ab") as file:
            file.write(b"x")
    elif change == "rewrite":
        with source.open("r+b") as file:
            file.write(b"other")
    else:
        os.truncate(source, CHUNK)
    with pytest.raises(LocalFault) as caught:
        while taking.step():
            pass
        taking.finish()
    assert caught.value.code is Code.FILE_CHANGED
    taking.abandon()
    assert list(folder.iterdir()) == []


def test_only_regular_files_are_sent(tmp_path: Path, folder: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", str(tmp_path), str(tmp_path / "pipe"), str(tmp_path / "none"), "/proc/self/none"):
        with pytest.raises(Misuse) as caught:
            TakingIn(folder, path, "t")
        assert caught.value.code is Code.BAD_FILE
    link = tmp_path / "link"
    link.symlink_to(_source(tmp_path))
    assert _taken(folder, link), "a person may name a file by a link"


def test_nothing_is_written_over(tmp_path: Path, folder: Path) -> None:
    address = _taken(folder, _source(tmp_path))
    there, link = tmp_path / "there", tmp_path / "link"
    there.write_text("mine")
    link.symlink_to(tmp_path / "elsewhere")
    for target in (there, link, tmp_path, tmp_path / "none" / "out"):
        with pytest.raises(Misuse):
            _written(folder, address, SIZE, target)
    assert there.read_text() == "mine" and not (tmp_path / "elsewhere").exists()
    blob = BlobFile.open(folder, address, SIZE)
    writing = WritingOut(blob, str(tmp_path / "late"), "w")
    while writing.step():
        pass
    (tmp_path / "late").write_text("mine")  # it came while the blob was being written
    with pytest.raises(Misuse):
        writing.finish()
    writing.close()
    blob.close()
    assert (tmp_path / "late").read_text() == "mine" and not list(tmp_path.glob(".relay-*"))


def test_a_link_in_the_blobs_folder_is_not_followed(tmp_path: Path, folder: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    address = bytes(32)
    for path in paths(folder, address):
        path.symlink_to(victim)
    with pytest.raises(RelayError):
        BlobFile.open(folder, address, SIZE, writable=True)
    assert victim.read_text() == "mine"


def test_a_closed_file_is_not_read(tmp_path: Path, folder: Path) -> None:
    address = _taken(folder, _source(tmp_path))
    blob = BlobFile.open(folder, address, SIZE)
    blob.close()
    blob.close()
    with pytest.raises(ValueError, match="closed"):
        blob.read(Place(0, 0))
