"""A word on a trial fits one question, one asker and one target, and nothing else under the same key."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from relay.core.errors import Code, PeerFault
from relay.core.streams import STREAM_BYTES
from relay.core.trials import Question, Verdict, Word, hash_of, word_from_bytes
from relay.core.wire import pack, unpack
from relay.trust.sealing import sign_snapshot
from relay.trust.trials import sign_word, verified_word
from tests.fuzz.specimens import REQUEST, TRIAL_WORD
from tests.trust.seeds import LAPTOP, VPS

STREAM = bytes(STREAM_BYTES)
HASH = hash_of(STREAM, Question(REQUEST).to_bytes())
WORD = Word(HASH, LAPTOP.id, VPS.id, 5, Verdict.START)


def _checked(word: Word, signature: bytes | None = None, **expected: Any) -> Word:
    data = word.to_bytes()
    meant: dict[str, Any] = {"hash": HASH, "asker": LAPTOP.id, "target": VPS.id} | expected
    return verified_word(VPS.public, data, sign_word(VPS, data) if signature is None else signature, **meant)


def test_the_target_s_own_word_on_the_question_is_taken() -> None:
    assert _checked(WORD) == WORD


@pytest.mark.parametrize(
    "expected",
    [
        {"hash": hash_of(STREAM, Question(REQUEST, "6h").to_bytes())},
        {"hash": hash_of(bytes(15) + b"x", Question(REQUEST).to_bytes())},
        {"asker": VPS.id},
        {"target": LAPTOP.id},
    ],
    ids=["question", "stream", "asker", "target"],
)
def test_on_anything_else_it_is_refused(expected: dict[str, Any]) -> None:
    with pytest.raises(PeerFault, match="word on a trial"):
        _checked(WORD, **expected)


def test_no_other_signature_counts() -> None:
    for signature in (sign_word(LAPTOP, WORD.to_bytes()), sign_snapshot(VPS, WORD.to_bytes()), bytes(64), b""):
        with pytest.raises(PeerFault) as refused:
            _checked(WORD, signature)
        assert refused.value.code is Code.BAD_SIGNATURE


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("agent", "path"), 7),
        (("agent", "logged_in"), "yes"),
        (("slots", "used"), -1),
        (("slots", "sorts"), [{"name": "x"}]),
        (("directory", "fresh"), None),
        (("limits", "why"), "x" * 300),
        (("keep_awake",), []),
        (("mode",), "root"),
        (("timeout_s",), float("nan")),
        (("next",), -5),
    ],
)
def test_facts_of_another_form_never_reach_a_person(path: tuple[str, ...], value: object) -> None:
    content = unpack(TRIAL_WORD.to_bytes(), 65_536)
    place = content["facts"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(PeerFault):
        word_from_bytes(pack(content))


def test_what_is_not_known_is_left_out() -> None:
    content = unpack(TRIAL_WORD.to_bytes(), 65_536)
    content["facts"]["later"] = content["facts"]["agent"]["later"] = "\x1b[31m"
    content["facts"]["slots"]["sorts"][0]["later"] = 1
    content["later"] = 1
    assert word_from_bytes(pack(content)) == TRIAL_WORD
    assert dataclasses.replace(TRIAL_WORD, facts=None).to_bytes() != TRIAL_WORD.to_bytes()
