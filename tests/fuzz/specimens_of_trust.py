"""Valid bytes of what brokers say of themselves and of each other: hellos, statements, pairing, invites."""

from __future__ import annotations

from collections.abc import Callable

from relay.core import epochs, hello, ids, invites, pairing, record_book, records, statement_book, statements
from relay.core.errors import Code, PeerFault
from relay.core.hello import AuditHead, Hello, Role
from relay.core.invites import InviteLink
from relay.core.pairing import Answer, JoinRequest, PeerRecord
from relay.core.records import Record
from relay.core.statements import Member, Statement, StatementKind
from relay.core.wire import pack, unpack
from relay.trust.records import verify_record
from relay.trust.sealing import PeerKeys
from tests.fuzz.specimens import ORIGIN, RECIPIENT, Form

_PUBLIC = bytes(range(32))
_SUBJECT = ids.broker_id(_PUBLIC)
_WORKSPACE = "a" * statements.WORKSPACE_ID_CHARS
_NOW = 1_800_000_000_000
_ADDRESSES = ("127.0.0.1:7411", "[::1]:7411", "vps.example.net:7411")

_HELLO = Hello(
    versions=(1,),
    public=_PUBLIC,
    name="laptop",
    role=Role.MEMBER,
    incarnation=3,
    nonce=bytes(16),
    roster_head=bytes(32),
    audit_head=AuditHead(4, bytes(32)),
    binding=bytes(32),
    seen_of_you=2,
    addresses=_ADDRESSES,
    clock_ms=_NOW,
)
_MEMBER = Member(_SUBJECT, _PUBLIC, bytes(32), "laptop", _NOW)
_ADMIT = Statement(StatementKind.ADMIT, _WORKSPACE, ORIGIN, 2, bytes(32), _NOW, _SUBJECT, _MEMBER)
_EVICT = Statement(StatementKind.EVICT, _WORKSPACE, ORIGIN, 3, bytes(32), _NOW, _SUBJECT, reason="lost it")
_REQUEST = JoinRequest(
    invite=bytes(invites.INVITE_ID_BYTES),
    inviter=ORIGIN,
    nonce=bytes(hello.NONCE_BYTES),
    public=_PUBLIC,
    sealing_public=bytes(32),
    name="vps",
    addresses=_ADDRESSES,
    proof=bytes(32),
)
_ANSWER = Answer(
    invite=bytes(invites.INVITE_ID_BYTES),
    joiner=_SUBJECT,
    workspace={"id": _WORKSPACE, "name": "home", "epoch": 1},
    sealed_key=bytes(80),
    statements=(statements.pack_statement(_ADMIT), statements.pack_statement(_EVICT)),
    records=(PeerRecord(RECIPIENT, _ADDRESSES),),
)
_RECORD = Record(
    public=_PUBLIC,
    sealing_public=bytes(32),
    incarnation=3,
    seq=2,
    created=_NOW,
    expires=_NOW + 1_000,
    addresses=_ADDRESSES,
    always_on=True,
    capabilities=("docker",),
    agents=("claude", "shell"),
    version="0.1.0",
    linked=(RECIPIENT,),
)
_ENTRIES = pack([[bytes(8), 1, 2], [b"x" * 8, 3, 4]])
_ROTATION = epochs.Rotation(_WORKSPACE, ORIGIN, 2, 5, _NOW, bytes(32), bytes(32))
_EPOCHS = [[1, bytes(32), b""], [2, b"k" * 32, pack([1, epochs.pack_rotation(_ROTATION), bytes(64)])]]
_LINK = InviteLink(ORIGIN, bytes(32), "home", _NOW, _ADDRESSES)


def _of(check: Callable[[object], object]) -> Callable[[bytes], object]:
    return lambda data: check(unpack(data, 8_192))


def _link(data: bytes) -> object:
    return invites.parse_link(data.decode("utf-8", "replace"))


def _signed_record(data: bytes) -> object:
    keys = PeerKeys(_SUBJECT, _PUBLIC, bytes(32))
    try:
        return verify_record(data, lambda broker: keys if broker == _SUBJECT else None)
    except PeerFault as fault:
        if fault.code is Code.BAD_SIGNATURE:
            return fault  # nothing here is signed: as far as the form goes, it was taken in
        raise


def forms() -> list[Form]:
    """Every form of this room, with its decoder."""
    return [
        Form("hello", hello.pack_hello(_HELLO), hello.unpack_hello),
        Form("admission", statements.pack_statement(_ADMIT), statements.unpack_statement),
        Form("eviction", statements.pack_statement(_EVICT), statements.unpack_statement),
        Form("join request", pairing.pack_request(_REQUEST), pairing.unpack_request),
        Form("join answer", pairing.pack_answer(_ANSWER), pairing.unpack_answer),
        Form("record", records.pack_record(_RECORD), records.unpack_record),
        Form("signed record", pack([1, records.pack_record(_RECORD), bytes(64)]), _signed_record),
        Form("record entries", _ENTRIES, lambda data: record_book.checked_entries(unpack(data, 4096))),
        Form("roster sums", pack(bytes(64)), _of(statement_book.checked_sums)),
        Form("roster marks", pack(bytes(range(64))), _of(statement_book.checked_marks)),
        Form("roster statements", pack([b"x", b"y"]), _of(statement_book.checked_statements)),
        Form("rotation", epochs.pack_rotation(_ROTATION), epochs.unpack_rotation),
        Form("epochs", pack(_EPOCHS), _of(epochs.checked_epochs)),
        Form("invite link", invites.format_link(_LINK).encode(), _link),
    ]
