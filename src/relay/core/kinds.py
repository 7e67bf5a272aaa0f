"""What may cross a link, in one table: each kind of envelope with its body's keys and its durability."""

from __future__ import annotations

from enum import StrEnum

from relay.core.values import frozen


class Kind(StrEnum):
    """The kind of an envelope, as it stands in the header."""

    SPAWN = "spawn"
    STOP = "stop"
    STEER = "steer"
    STEERED = "steered"
    SCHEDULE = "schedule"
    SNAPSHOT = "snapshot"
    ANSWER = "answer"
    ANSWERED = "answered"
    REVIEW_ASK = "review.ask"
    REVIEW_LIST = "review.list"
    AGENTS_ASK = "agents.ask"
    AGENTS_LIST = "agents.list"
    SPAWNS_ASK = "spawns.ask"
    SPAWNS_LIST = "spawns.list"
    TRIAL_ASK = "trial.ask"
    TRIAL_WORD = "trial.word"
    NOTIFY = "notify"
    NOTIFY_ASK = "notify.ask"
    TOOL_CATALOGUE = "tool.catalogue"
    TOOL_CALL = "tool.call"
    TOOL_RESULT = "tool.result"
    TOOL_STOP = "tool.stop"
    TOOL_PROGRESS = "tool.progress"
    RECEIPT = "receipt"
    NACK = "nack"
    NOTICE = "notice"
    PRESENCE = "presence"
    ROSTER = "roster"
    RECORD = "record"
    EPOCH = "epoch"
    LOG_OPEN = "log.open"
    LOG_DATA = "log.data"
    LOG_CLOSE = "log.close"
    LOG_TAIL = "log.tail"
    ATTACH_OPEN = "attach.open"
    ATTACH_DATA = "attach.data"
    ATTACH_CLOSE = "attach.close"
    FORWARD_OPEN = "forward.open"
    FORWARD_DATA = "forward.data"
    FORWARD_CLOSE = "forward.close"
    BLOB_OFFER = "blob.offer"
    BLOB_ANSWER = "blob.answer"
    BLOB_WANT = "blob.want"
    BLOB_HAVE = "blob.have"
    BLOB_CHUNK = "blob.chunk"


@frozen
class KindFacts:
    """How a kind is carried.

    Attributes:
        durable: kept in the outbox until receipted; otherwise dropped where there is no path.
        keys: the keys its body must have.
        holdable: though not durable here, kept by a holder where there is no direct link.
        critical: keys its body may have, and which a receiver that does not know them must refuse.
        timeless: what it says stays true, and says the same when it is said again: it is taken whenever it comes.
    """

    durable: bool
    keys: frozenset[str]
    holdable: bool = False
    critical: frozenset[str] = frozenset()
    timeless: bool = False


def _facts(
    durable: bool, keys: str, *, holdable: bool = False, critical: str = "", timeless: bool = False
) -> KindFacts:
    return KindFacts(durable, frozenset(keys.split()), durable or holdable, frozenset(critical.split()), timeless)


KINDS: dict[Kind, KindFacts] = {
    Kind.SPAWN: _facts(True, "spawn name agent task cwd mode chain", critical="wishes"),
    Kind.STOP: _facts(True, "spawn"),
    Kind.STEER: _facts(True, "spawn verb"),
    Kind.STEERED: _facts(True, "spawn operation error"),
    Kind.SCHEDULE: _facts(True, "schedule every request"),
    Kind.SNAPSHOT: _facts(True, "snapshot signature", timeless=True),
    Kind.ANSWER: _facts(True, "spawn request verb text hash person"),
    Kind.ANSWERED: _facts(True, "answer accepted said error"),
    Kind.REVIEW_ASK: _facts(False, "stream"),
    Kind.REVIEW_LIST: _facts(False, "stream n items end"),
    Kind.AGENTS_ASK: _facts(False, "stream"),
    Kind.AGENTS_LIST: _facts(False, "stream n items end"),
    Kind.SPAWNS_ASK: _facts(False, "stream ref list"),
    Kind.SPAWNS_LIST: _facts(False, "stream n items end"),
    Kind.TRIAL_ASK: _facts(False, "stream question"),
    Kind.TRIAL_WORD: _facts(False, "stream word signature"),
    Kind.NOTIFY: _facts(True, "what"),  # word: how a spawn ended; told: who told it; answer: to an ask
    Kind.NOTIFY_ASK: _facts(True, "what channel"),  # entrust or withdraw
    Kind.TOOL_CATALOGUE: _facts(True, "number offers", timeless=True),
    Kind.TOOL_CALL: _facts(True, "call tool arguments created expires timeout_s requested_by chain"),
    Kind.TOOL_RESULT: _facts(True, "call seq", timeless=True),  # a word on a call, or a piece of its result
    Kind.TOOL_STOP: _facts(True, "call"),
    Kind.TOOL_PROGRESS: _facts(False, "call done of words"),
    Kind.RECEIPT: _facts(False, "ids", holdable=True, timeless=True),
    Kind.NACK: _facts(False, "id code why", holdable=True),
    Kind.NOTICE: _facts(False, "ids code"),
    Kind.PRESENCE: _facts(False, "waiting"),
    Kind.ROSTER: _facts(False, ""),  # one step: head, statements, sums, marks or wanted
    Kind.RECORD: _facts(False, ""),  # one step of the exchange: root, sums, entries, wanted or records
    Kind.EPOCH: _facts(True, "epochs"),  # said again at each meeting until it is taken, and not kept in the outbox
    Kind.LOG_OPEN: _facts(False, "spawn stream offset follow"),
    Kind.LOG_DATA: _facts(False, "stream n chunks end"),
    Kind.LOG_CLOSE: _facts(False, "stream"),
    Kind.LOG_TAIL: _facts(False, "spawn tail"),
    Kind.ATTACH_OPEN: _facts(False, "spawn stream ask"),
    Kind.ATTACH_DATA: _facts(False, "stream session n ack message"),
    Kind.ATTACH_CLOSE: _facts(False, "stream session n"),
    Kind.FORWARD_OPEN: _facts(False, "spawn stream ask"),
    Kind.FORWARD_DATA: _facts(False, "stream session n ack message"),
    Kind.FORWARD_CLOSE: _facts(False, "stream session n"),
    Kind.BLOB_OFFER: _facts(True, "blob size name expires"),
    Kind.BLOB_ANSWER: _facts(True, "blob state"),
    Kind.BLOB_WANT: _facts(False, "blob stream session n items"),
    Kind.BLOB_HAVE: _facts(False, "stream session"),
    Kind.BLOB_CHUNK: _facts(False, "stream item data"),
}

AHEAD = frozenset({Kind.STOP, Kind.STEER, Kind.SCHEDULE, Kind.TOOL_STOP})
"""What leaves before the rest of what waits for its recipient: a spawn that was stopped or changed while its machine
slept is to hear of it before it starts. A schedule is among them for the steer that removes it: among themselves they
keep their order."""
