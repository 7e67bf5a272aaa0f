"""The list of files that another machine sends: believed as a whole, or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from relay.core.collected import MAX_BYTES, MAX_FILES, CollectedFile, collected_files, is_path
from relay.core.errors import PeerFault

GOOD = {"path": "dist/a.whl", "size": 5, "mode": 0o644, "blob": "ab" * 32}


def _result(*files: Any) -> dict[str, Any]:
    return {"files": list(files)}


def test_a_list_comes_back_as_it_went() -> None:
    file = CollectedFile("dist/a.whl", 5, 0o755, "ab" * 32)
    assert collected_files(_result(file.to_content())) == [file]
    assert file.address == b"\xab" * 32


@pytest.mark.parametrize("result", [None, {}, {"files": None}, {"summary": "x"}])
def test_no_list_is_no_file(result: dict[str, Any] | None) -> None:
    assert collected_files(result) == []


@pytest.mark.parametrize(
    "path",
    [
        *("../x", "a/../x", "..", ".", "./a", "/etc/passwd", "a//b", "a/", "", "a\\..\\b"),
        *("a\0b", "a\nb", "\x1b[2J", "\ud800", "x" * 513, 7, None, b"a"),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(path: Any) -> None:
    assert not is_path(path)
    with pytest.raises(PeerFault):
        collected_files(_result(GOOD, GOOD | {"path": path}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": -1},
        {"size": True},
        {"size": 1.0},
        {"size": MAX_BYTES + 1},
        {"mode": 0o4755},
        {"mode": -1},
        {"mode": "0644"},
        {"blob": "AB" * 32},
        {"blob": "ab" * 31},
        {"blob": b"ab" * 32},
        {"blob": None},
    ],
)
def test_a_file_of_another_form_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(PeerFault):
        collected_files(_result(GOOD | wrong))


@pytest.mark.parametrize("paths", [("a", "a"), ("a", "a/b"), ("x/y/z", "x/y")])
def test_two_files_of_one_name_are_refused(paths: tuple[str, str]) -> None:
    with pytest.raises(PeerFault):
        collected_files(_result(*(GOOD | {"path": path} for path in paths)))


def test_more_than_it_may_be_is_refused() -> None:
    many = [GOOD | {"path": f"f{number}"} for number in range(MAX_FILES + 1)]
    assert len(collected_files(_result(*many[:-1]))) == MAX_FILES
    big = GOOD | {"size": MAX_BYTES // 2 + 1}
    for files in (many, [big | {"path": "a"}, big | {"path": "b"}]):
        with pytest.raises(PeerFault):
            collected_files(_result(*files))


@pytest.mark.parametrize("listed", [{}, "files", 7, [7], [[]], [{}]])
def test_what_is_no_list_is_refused(listed: Any) -> None:
    with pytest.raises(PeerFault):
        collected_files({"files": listed})
