"""Which files are found below a directory, and that nothing outside of it ever is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from relay.core.collected import MAX_PATH
from relay.spawn import gathering
from relay.spawn.gathering import Left, gathered


def _taken(directory: Path, *patterns: str) -> tuple[dict[str, bytes], list[str]]:
    left, taken = Left(), {}
    for found in gathered(str(directory), patterns, left):
        with os.fdopen(found.handle, "rb") as file:
            taken[found.path] = file.read()
            assert found.size == len(taken[found.path])
    return taken, left.sentences()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with something in it, and something beside it."""
    root = tmp_path.resolve() / "work"
    (root / "dist" / "deep").mkdir(parents=True)
    (root / "dist" / "a.whl").write_bytes(b"wheel")
    (root / "dist" / "deep" / "b.whl").write_bytes(b"deep")
    (root / "dist" / ".hidden").write_bytes(b"hidden")
    (tmp_path / "secret.whl").write_bytes(b"secret")
    return root


def test_files_are_found_in_order_with_their_bytes(place: Path) -> None:
    assert _taken(place, "dist/**") == ({"dist/a.whl": b"wheel", "dist/deep/b.whl": b"deep"}, [])
    assert _taken(place, "dist/*.whl", "**/a.whl") == ({"dist/a.whl": b"wheel"}, [])
    assert _taken(place, "none/*") == ({}, [])


def test_no_link_is_followed_wherever_it_leads(place: Path) -> None:
    (place / "dist" / "out.whl").symlink_to(place.parent / "secret.whl")
    (place / "dist" / "in.whl").symlink_to("a.whl")
    (place / "up").symlink_to(place.parent)
    taken, left = _taken(place, "dist/*.whl", "up/*.whl", "up/**")
    assert taken == {"dist/a.whl": b"wheel"}
    assert left == ["dist/in.whl, dist/out.whl not collected: it is a link, and no link is followed"]


def test_a_directory_that_was_made_a_link_gives_nothing(place: Path) -> None:
    outside = place.parent / "elsewhere"
    outside.mkdir()
    (outside / "a.whl").write_bytes(b"secret")
    moved = place.rename(place.parent / "moved")
    place.symlink_to(outside)
    taken, left = _taken(place, "**")
    assert taken == {} and "is not what it was" in left[0]
    assert _taken(moved, "dist/*.whl")[0]


def test_what_is_no_regular_file_is_passed_over_at_once(place: Path) -> None:
    os.mkfifo(place / "dist" / "pipe.whl")
    taken, left = _taken(place, "dist/*.whl", "dist/deep")
    assert list(taken) == ["dist/a.whl"]
    assert left == [
        "dist/deep not collected: it is a folder; NAME/** asks for what is in it",
        "dist/pipe.whl not collected: it is no regular file",
    ]


def test_a_name_that_cannot_be_told_is_said_and_left(place: Path) -> None:
    (place / "a\nb.txt").write_bytes(b"x")
    with open(os.fsencode(place) + b"/\xff.txt", "wb") as file:
        file.write(b"x")
    deep = place
    for _ in range(MAX_PATH // 100 + 1):
        deep = deep / ("d" * 99)
        deep.mkdir()
    (deep / "c.txt").write_bytes(b"x")
    taken, left = _taken(place, "**/*.txt")
    assert taken == {}
    assert len(left) == 1 and "its name cannot be told" in left[0] and "\n" not in left[0]


def test_a_missing_directory_is_a_sentence(tmp_path: Path) -> None:
    taken, left = _taken(tmp_path.resolve() / "gone", "*")
    assert taken == {} and "the directory cannot be read" in left[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_cannot_be_read_is_a_sentence(place: Path) -> None:
    (place / "dist" / "a.whl").chmod(0)
    taken, left = _taken(place, "dist/**")
    assert list(taken) == ["dist/deep/b.whl"] and left[0].startswith("dist/a.whl not collected: it cannot be read")


def test_a_walk_has_an_end(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "MAX_LOOKED_AT", 3)
    for number in range(9):
        (place / f"f{number}").write_bytes(b"")
    taken, left = _taken(place, "f*")
    assert list(taken) == ["f0", "f1", "f2"]
    assert left == ["the rest not collected: more than 3 names had to be looked at; narrower patterns help"]


def test_no_descriptor_is_left_open(place: Path) -> None:
    before = os.listdir("/proc/self/fd") if Path("/proc/self/fd").exists() else []
    for _ in range(5):
        _taken(place, "**")
        walk = gathered(str(place), ("**",), Left())
        os.close(next(walk).handle)
        walk.close()  # type: ignore[attr-defined]
    after = os.listdir("/proc/self/fd") if Path("/proc/self/fd").exists() else []
    assert len(after) == len(before)
