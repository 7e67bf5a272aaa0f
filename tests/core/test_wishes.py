"""How a spawn is to be queued and run: what crosses, what is refused, what an older broker says."""

from __future__ import annotations

from typing import Any

import pytest

from relay.core.errors import PeerFault
from relay.core.kinds import KINDS, Kind
from relay.core.spawning import SpawnRequest, request_from_content
from relay.core.wishes import NONE, After, Wishes, first_bad_wish, wishes_from_content

FULL = Wishes(
    priority=-3,
    after=(After("a" * 16), After("b" * 16, "any")),
    retries=2,
    not_before=1_700_000_000_000,
    collect=("dist/*.whl",),
    tty=True,
    stdin=True,
    memory=1 << 30,
    cpus=1.5,
    keep_awake=True,
)


def test_wishes_come_back_as_they_went() -> None:
    assert wishes_from_content(FULL.to_content()) == FULL
    assert wishes_from_content(NONE.to_content()) is NONE


def test_what_is_not_wished_is_not_written() -> None:
    assert NONE.to_content() == {}
    assert Wishes(priority=4).to_content() == {"priority": 4}


def test_a_request_without_wishes_is_what_it_was_before_there_were_any() -> None:
    request = SpawnRequest("a" * 16, "a", "shell", "true", 0, 1)
    assert "wishes" not in request.to_content()
    assert request_from_content(request.to_content()) == request


def test_a_request_brings_its_wishes_along() -> None:
    request = SpawnRequest("a" * 16, "a", "shell", "true", 0, 1, wishes=FULL)
    assert request_from_content(request.to_content()) == request


def test_wishes_are_critical_so_that_an_older_broker_refuses_them() -> None:
    assert "wishes" in KINDS[Kind.SPAWN].critical
    assert "wishes" not in KINDS[Kind.SPAWN].keys


@pytest.mark.parametrize(
    "wrong",
    [
        {"priority": 1001},
        {"priority": True},
        {"priority": 1.0},
        {"after": [["short", "any"]]},
        {"after": [["a" * 16, "never"]]},
        {"after": [["a" * 16]]},
        {"after": [["a" * 16, "any"]] * 17},
        {"retries": -1},
        {"not_before": -1},
        {"not_before": 2**60},
        {"collect": ["/etc/passwd"]},
        {"collect": ["../x"]},
        {"collect": ["a/../../x"]},
        {"collect": [""]},
        {"collect": ["a\0b"]},
        {"collect": ["x" * 257]},
        {"collect": "dist"},
        {"tty": 1},
        {"memory": 5},
        {"cpus": float("nan")},
        {"cpus": 0},
        {"of_tomorrow": 1},
        [],
        7,
    ],
)
def test_a_wish_of_another_form_is_refused(wrong: Any) -> None:
    assert first_bad_wish(wrong) is not None
    with pytest.raises(PeerFault):
        wishes_from_content(wrong if wrong != [] else [1])
