"""A task that spoils what stands beside its tree: it ends all the same, and says that its work was not brought back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.scene import Scene
from tests.trees.typed import place_of, relay, spawned

NOTE = 'note="../$(basename "$PWD").json"; '
BEGAN: dict[str, Any] = {"base": "a" * 40, "is_folder": False, "mirror": "", "tip": "a" * 40, "head": "a" * 40}

ODD: list[dict[str, Any]] = [{"base": 5}, {"mirror": []}, {"tip": "--output=x"}, {"mirror": "../../.."}]


@pytest.mark.parametrize(
    "spoil",
    [
        "echo '{' > $note",
        "echo '[1]' > $note",
        "echo '{\"x\": 1}' > $note",
        *(f"echo '{json.dumps(BEGAN | odd)}' > $note" for odd in ODD),
        "head -c 3000 /dev/zero | tr '\\0' '[' > $note",
        "rm $note",
        "rm $note; mkfifo $note",
        "rm $note; mkdir $note",
        "rm $note; head -c 100000000 /dev/zero > $note",
        "echo > $note; left=${note%.json}.left; ln -s $left $left",
    ],
)
def test_a_spoilt_note_costs_what_was_changed_and_not_the_end(two: Scene, tree: Path, spoil: str) -> None:
    ended = spawned(two, tree, f"echo changed > a; {NOTE}{spoil}", "--here")
    assert ended["state"] == "completed"
    assert any("stays in" in note for note in ended["result"]["notes"]), ended["result"]["notes"]
    assert (place_of(two, ended["id"]) / "a").read_text() == "changed\n"
    assert spawned(two, tree, "true", "--here")["state"] == "completed"


@pytest.mark.parametrize("spoil", ["mkfifo $note.part", "mkdir $note.part", "ln -s $note.part $note.part"])
def test_what_stands_where_a_note_is_to_be_written_is_taken_away(two: Scene, tree: Path, spoil: str) -> None:
    ended = spawned(two, tree, f"echo changed > a; {NOTE}{spoil}", "--here")
    assert ended["state"] == "completed" and ended["result"]["branch"], ended["result"]


def test_another_attempt_makes_nothing_anew_where_work_is_whose_note_is_gone(two: Scene, far_repo: Path) -> None:
    ended = spawned(two, far_repo, f"echo changed > a; {NOTE}rm $note", "--repo", str(far_repo))
    (note,) = [each for each in ended["result"]["notes"] if "stays in" in each]
    relay(two.laptop, far_repo, "retry", ended["id"])
    again = two.until(ended["id"], "failed", "completed")
    assert (again["error"]["code"], (place_of(two, ended["id"]) / "a").read_text()) == ("place_gone", "changed\n"), note
    assert str(place_of(two, ended["id"])) in again["error"]["message"]
