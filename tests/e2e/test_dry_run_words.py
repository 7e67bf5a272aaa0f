"""Words on dry runs from members gone bad, and questions from one that does not cease."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from relay.broker import trial_serving
from relay.core.envelope import Body
from relay.core.frames import Batch, pack_frame
from relay.core.kinds import Kind
from relay.core.trials import Question, Verdict, Word, hash_of, word_from_bytes
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until
from relay.trust.trials import sign_word
from tests.e2e.answering_member import AnsweringMember, Asked
from tests.e2e.scene import audit, fresh, started
from tests.fuzz.attacker import finish, websocket_frame
from tests.fuzz.specimens import REQUEST

SAID = "a word of its own"


@dataclasses.dataclass
class Ground:
    """`victim` asks; `bad` and `other` are members whose own brokers do not run."""

    victim: Node
    bad: AnsweringMember
    other: AnsweringMember

    def links(self) -> int:
        return int(self.victim.status()["links"])


@pytest.fixture(scope="module")
def _ground() -> Iterator[Ground]:
    with Mesh.scratch("relay-e2e-") as mesh:
        victim, bad = mesh.pair("victim", "bad")
        bad.stop()
        other = mesh.join(victim, "other")
        other.stop()
        yield Ground(victim, AnsweringMember(bad, victim), AnsweringMember(other, victim))
        assert "Traceback" not in victim.log()


@pytest.fixture
def ground(_ground: Ground) -> Ground:
    """The same, with no link."""
    wait_until(lambda: _ground.links() == 0, 20, "the links of earlier tests to end")
    return _ground


def _word(member: AnsweringMember, asked: Asked, **changed: Any) -> bytes:
    stream, question = asked.content["stream"], asked.content["question"]
    asker = asked.envelope.header.origin
    word = Word(hash_of(stream, question), asker, member.identity.id, 5, Verdict.WAIT, SAID)
    return dataclasses.replace(word, **changed).to_bytes()


def _content(member: AnsweringMember, asked: Asked, word: bytes) -> dict[str, Any]:
    return {"stream": asked.content["stream"], "word": word, "signature": sign_word(member.identity, word)}


def _told(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(process.communicate(timeout=60)[0])
    return document


def _asking(ground: Ground) -> tuple[str, ...]:
    return ("--json", "spawn", fresh(), "shell", "true", "--broker", "bad", "--cwd", "/", "--dry-run")


Forge = Callable[[Ground, Asked], dict[str, Any]]
FORGED: dict[str, Forge] = {
    "signed by another": lambda ground, asked: _content(ground.other, asked, _word(ground.bad, asked)),
    "on another question": lambda ground, asked: _content(ground.bad, asked, _word(ground.bad, asked, hash=bytes(32))),
    "to another asker": lambda ground, asked: _content(
        ground.bad, asked, _word(ground.bad, asked, asker=ground.other.identity.id)
    ),
    "in another's name": lambda ground, asked: _content(
        ground.bad, asked, _word(ground.bad, asked, target=ground.other.identity.id)
    ),
    "of no form": lambda ground, asked: _content(ground.bad, asked, b"\x80"),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_a_word_that_is_not_the_target_s_own_on_this_question_is_not_believed(ground: Ground, forge: Forge) -> None:
    with ground.bad.listening() as link:
        wait_until(lambda: ground.links() == 1, 10, "the member's link")
        with started(ground.victim, *_asking(ground)) as process:
            asked = ground.bad.next_of(link, Kind.TRIAL_ASK)
            ground.bad.say(link, Kind.TRIAL_WORD, forge(ground, asked))
            told = _told(process)
    assert told["verdict"] == "unknown" and told["truth"] is None, told


def test_a_word_of_another_member_is_passed_over_and_the_target_s_is_believed(ground: Ground) -> None:
    with ground.bad.listening() as link, ground.other.listening() as aside:
        wait_until(lambda: ground.links() == 2, 10, "both links")
        with started(ground.victim, *_asking(ground)) as process:
            asked = ground.bad.next_of(link, Kind.TRIAL_ASK)
            lie = _word(ground.other, asked, verdict=Verdict.START, reason="a lie")
            ground.other.say(aside, Kind.TRIAL_WORD, _content(ground.other, asked, lie))
            # the target's own word, but from somebody else: only whom one asked may answer
            stolen = _content(ground.bad, asked, _word(ground.bad, asked, reason="stolen"))
            ground.other.say(aside, Kind.TRIAL_WORD, stolen)
            wait_until(lambda: ground.victim.log().count("asked of another") >= 2, 10, "both to be passed over")
            assert process.poll() is None
            ground.bad.say(link, Kind.TRIAL_WORD, _content(ground.bad, asked, _word(ground.bad, asked)))
            told = _told(process)
        assert ground.links() == 2, "neither broke the protocol"
    assert (told["verdict"], told["reason"], told["truth"]["from"]) == ("wait", SAID, ground.bad.identity.id)


def test_an_older_broker_is_told_of_as_one(ground: Ground) -> None:
    with ground.bad.listening() as link:
        wait_until(lambda: ground.links() == 1, 10, "the member's link")
        with started(ground.victim, *_asking(ground)) as process:
            asked = ground.bad.next_of(link, Kind.TRIAL_ASK)
            nack = {"id": asked.envelope.header.id, "code": "unknown_kind", "why": "it does not know the kind"}
            ground.bad.say(link, Kind.NACK, nack)
            told = _told(process)
    assert told["verdict"] == "unknown" and told["error"]["code"] == "unknown_kind"
    assert "older relay" in told["error"]["message"] and "upgrade relay on bad" in told["error"]["hint"]


def test_a_flood_of_questions_is_rationed(ground: Ground) -> None:
    before = len(_refused(ground.victim))
    with ground.bad.listening() as link:
        wait_until(lambda: ground.links() == 1, 10, "the member's link")
        for _ in range(20):
            batch = tuple(_question(ground) for _ in range(20))
            link.sendall(websocket_frame(pack_frame(Batch(batch))))
        codes: set[str] = set()
        while codes != {"no_grant", "rate_limited"}:  # in whatever order they come
            codes.add(_code(ground.bad.next_of(link, Kind.TRIAL_WORD)))
        assert ground.victim.status()["running"]
        finish(link)
    written = len(_refused(ground.victim)) - before
    # what is over is neither played through nor written down: no row for each of 400
    assert 1 <= written <= trial_serving.AT_ONCE + 15


def _question(ground: Ground) -> bytes:
    content = {"stream": os.urandom(16), "question": Question(REQUEST).to_bytes()}
    return ground.bad.envelope(Kind.TRIAL_ASK, Body(os.urandom(8).hex(), content))


def _code(asked: Asked) -> str:
    error = word_from_bytes(asked.content["word"]).error
    assert error is not None
    return error["code"]


def _refused(node: Node) -> list[dict[str, Any]]:
    return [each for each in audit(node) if each["kind"] == "dry-run"]
