"""Valid bytes of every form that crosses a link, with the decoder of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import nacl.exceptions
import nacl.public
import nacl.signing

from relay.broker import asking, forwarding
from relay.broker.asked_items import Item, item_from_content
from relay.broker.told_spawns import content_of, row_from_content
from relay.core import envelope, frames, ids, questions, spawning, trials, wire
from relay.core.agent_facts import AgentFacts, Tested, facts_from_content
from relay.core.envelope import Body, Envelope, Header
from relay.core.kinds import Kind
from relay.core.spawning import Snapshot, SpawnRequest
from relay.core.states import State
from relay.core.wishes import After, Wishes
from relay.spawn import marks
from relay.store import spawns
from relay.store.spawn_rows import SpawnRow

_SIGNER = nacl.signing.SigningKey(bytes(range(32)))
_SEALER = nacl.public.PrivateKey(bytes(range(32, 64)))
ORIGIN = ids.broker_id(bytes(_SIGNER.verify_key))
RECIPIENT = ids.broker_id(bytes(reversed(range(32))))
_NOW = 1_800_000_000_000


@dataclass(frozen=True, slots=True)
class Form:
    """A form of bytes.

    Attributes:
        name: for the report.
        specimen: valid bytes.
        decode: takes them in; raises what the decoder raises.
    """

    name: str
    specimen: bytes
    decode: Callable[[bytes], object]


REQUEST = SpawnRequest(
    id=ids.spawn_id(bytes(10)),
    name="build",
    agent="exec",
    task="make test",
    created=_NOW,
    expires=_NOW + 1,
    argv=("make", "test"),
    cwd="/srv/work",
    timeout_s=90.0,
    labels={"team": "core"},
    requested_by="somebody",
    chain=(ORIGIN,),
)
SNAPSHOT = Snapshot(
    spawn=REQUEST.id,
    target=RECIPIENT,
    attempt=1,
    seq=4,
    state=State.COMPLETED,
    at=_NOW,
    since=_NOW,
    exit_code=0,
    started=_NOW,
    ended=_NOW,
    result={"status": "completed", "outcome": "done", "summary": "ok", "output_tail": "ok\n", "usage": {"tokens": 3}},
)
ANSWER = questions.Answer(REQUEST.id, "b" * 16, questions.Reply.SEND, "the second one", "", "ann")
OUTCOME = questions.Outcome("operation-1", True, "sent to build")
ITEM = Item(
    spawn=REQUEST.id,
    name="build",
    target=RECIPIENT,
    origin=ORIGIN,
    chain=(ORIGIN,),
    agent="exec",
    cwd="/srv/work",
    mode="edit",
    requested_by="somebody",
    request="b" * 16,
    kind="permission",
    text="may I?",
    tool="write",
    input={"path": "x", "lines": [1, 2.5, None]},
    hash="0" * 64,
    asked=_NOW,
    expires=_NOW + 1,
    task="",
    argv=("make", "test"),
    task_hash="1" * 64,
    model="large",
    timeout_s=60.0,
    wishes={"retries": 2},
)
FACTS = AgentFacts(
    "claude",
    "/usr/bin/claude",
    "2.1.197",
    True,
    "claude auth login",
    "a note",
    Tested("b" * 16, _NOW, State.FAILED, "it was denied"),
)
WAITING = dataclasses.replace(
    REQUEST, wishes=Wishes(priority=3, after=(After("a" * 16, "any"),), retries=2, not_before=_NOW + 5)
)
RETRIED = dataclasses.replace(
    SNAPSHOT,
    state=State.WAITING,
    result=None,
    tried={
        "n": 1,
        "asked": "",
        "outcome": {"state": "failed", "reason": "exit 7", "exit_code": 7, "started": _NOW, "ended": _NOW},
    },
)
QUESTION = trials.Question(WAITING, "30 2 * * *")
TRIAL_WORD = trials.Word(
    hash=bytes(32),
    asker=ORIGIN,
    target=RECIPIENT,
    at=_NOW,
    verdict=trials.Verdict.WAIT,
    reason="4 of 4 slots busy, 2 ahead",
    error={"code": "no_limits", "message": "no", "why": "", "hint": ""},
    facts={
        "agent": {"name": "a", "path": "/bin/a", "version": "1.2", "logged_in": None, "log_in": "a login", "note": ""},
        "directory": {"asked": "new", "path": "new", "fresh": True},
        "mode": "edit",
        "slots": {"used": 4, "of": 4, "ahead": 2, "sorts": [{"name": "label:gpu", "used": 1, "of": 1}]},
        "limits": {"asked": True, "possible": False, "why": "no systemd"},
        "keep_awake": {"asked": False, "possible": True, "why": ""},
        "timeout_s": 90.0,
        "next": _NOW,
    },
)
CHANGE = {"task": "make check", "labels": {"team": "core"}, "wishes": {"priority": 4, "after": [["b" * 16, "success"]]}}
TYPIST = bytes(15) + b"a"
ATTACH = {"source": TYPIST, "drive": True, "again": False, "offset": 7, "who": "ann", "rows": 24, "columns": 80}
HEADER = Header(Kind.SPAWN, bytes(16), ORIGIN, RECIPIENT, bytes(8), 3, _NOW, _NOW + 1000)
HEADER_BYTES = envelope.pack_header(HEADER)
BODY = envelope.pack_body(HEADER, HEADER_BYTES, Body("operation-1", REQUEST.to_content(), ("task",)))


def _sealed() -> bytes:
    return nacl.public.SealedBox(_SEALER.public_key).encrypt(BODY)


@cache
def valid_envelope() -> bytes:
    """A sealed and signed envelope."""
    sealed = _sealed()
    signature = _SIGNER.sign(envelope.signing_input(HEADER_BYTES, sealed)).signature
    return envelope.pack_envelope(HEADER_BYTES, sealed, signature)


def verified(raw: bytes) -> Envelope | None:
    """The envelope, decoded and with its signature checked; None where the signature is not its origin's."""
    taken = envelope.unpack_envelope(raw)
    try:
        _SIGNER.verify_key.verify(envelope.signing_input(taken.header_bytes, taken.sealed), taken.signature)
    except nacl.exceptions.BadSignatureError:
        return None
    return taken


def _body(data: bytes) -> object:
    taken = envelope.unpack_envelope(valid_envelope())
    body = envelope.unpack_body(taken, data)
    return spawning.request_from_content(body.content)


def _request(data: bytes) -> object:
    content = wire.unpack(data, envelope.MAX_BODY)
    return spawning.request_from_content(content) if type(content) is dict else None


def _answer(data: bytes) -> object:
    content = wire.unpack(data, envelope.MAX_BODY)
    return questions.answer_from_content(content) if type(content) is dict else None


def _outcome(data: bytes) -> object:
    content = wire.unpack(data, envelope.MAX_BODY)
    return questions.outcome_from_content(content) if type(content) is dict else None


def _facts(data: bytes) -> object:
    return facts_from_content(wire.unpack(data, envelope.MAX_BODY))


def _item(data: bytes) -> object:
    return item_from_content(wire.unpack(data, envelope.MAX_BODY), RECIPIENT)


def _told_row() -> SpawnRow:
    row = spawns.drafted(
        WAITING, state=State.WAITING, origin=ORIGIN, target=RECIPIENT, operation="x", since=_NOW, reason="why"
    )
    return dataclasses.replace(row, attempt=1, seq=2, paused=_NOW, paused_by="ann on laptop")


def _told(data: bytes) -> object:
    return row_from_content(wire.unpack(data, envelope.MAX_BODY), RECIPIENT)


def _change(data: bytes) -> object:
    change = wire.unpack(data, envelope.MAX_BODY)
    asked = {"origin": ORIGIN, "target": RECIPIENT, "operation": "x", "since": _NOW, "reason": ""}
    row = spawns.drafted(WAITING, state=State.WAITING, **asked)
    return marks.changed(row, change) if type(change) is dict else None


def _attach(data: bytes) -> object:
    ask = wire.unpack(data, envelope.MAX_BODY)
    return asking.Asked.read(ask) if type(ask) is dict else None


def _forward(data: bytes) -> object:
    ask = wire.unpack(data, envelope.MAX_BODY)
    return forwarding.port_of(ask) if type(ask) is dict else None


def forms() -> list[Form]:
    """Every form, with its decoder."""
    snapshot = SNAPSHOT.to_bytes()
    batch = frames.pack_frame(frames.Batch((valid_envelope(), valid_envelope())))
    plain = wire.pack({"a": [1, 2.5, "x", b"y", None, True], "b": {"c": []}})
    return [
        Form("wire", plain, lambda data: wire.unpack(data, 4096)),
        Form("header", HEADER_BYTES, envelope.unpack_header),
        Form("envelope", valid_envelope(), envelope.unpack_envelope),
        Form("body", BODY, _body),
        Form("request that waits", wire.pack(WAITING.to_content()), _request),
        Form("snapshot before a retry", RETRIED.to_bytes(), spawning.snapshot_from_bytes),
        Form("change", wire.pack(CHANGE), _change),
        Form("request", wire.pack(REQUEST.to_content()), _request),
        Form("snapshot", snapshot, spawning.snapshot_from_bytes),
        Form("answer", wire.pack(ANSWER.to_content()), _answer),
        Form("outcome", wire.pack(OUTCOME.to_content()), _outcome),
        Form("question of a trial", QUESTION.to_bytes(), trials.question_from_bytes),
        Form("word on a trial", TRIAL_WORD.to_bytes(), trials.word_from_bytes),
        Form("facts of an agent", wire.pack(FACTS.to_content()), _facts),
        Form("item of a review", wire.pack(ITEM.to_content()), _item),
        Form("spawn of others", wire.pack(content_of(_told_row(), _NOW, "", whole=True)), _told),
        Form("ask to attach", wire.pack(ATTACH), _attach),
        Form("ask to forward", wire.pack({"port": 8080}), _forward),
        Form("frame of envelopes", batch, frames.unpack_frame),
        Form("frame of a ping", frames.pack_frame(frames.Ping(7)), frames.unpack_frame),
        Form("frame of a goodbye", frames.pack_frame(frames.Bye("asleep")), frames.unpack_frame),
        Form("frame of credit", frames.pack_frame(frames.Credit(65536)), frames.unpack_frame),
        Form("frame of a hello", frames.pack_frame(frames.HelloFrame(b"x" * 200)), frames.unpack_frame),
    ]
