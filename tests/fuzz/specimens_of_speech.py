"""Specimens of what brokers say to each other beside envelopes, and of what people write: codes, chains, grants."""

from __future__ import annotations

from pathlib import Path

from relay.api.direct import LONGEST, REPLY, take_frames
from relay.broker.log_piecewise import data_of, data_piece
from relay.core import codes, frames, notices, provenance, vouchers
from relay.core.errors import LocalFault, PeerFault
from relay.core.streams import pack_piece, unpack_piece
from relay.core.wire import pack, unpack
from relay.trust import grantfile
from tests.fuzz.specimens import ORIGIN, RECIPIENT, Form

_OPENING = codes.Opening(7, bytes(32), bytes(range(32)), b"S" * codes.SPAKE_BYTES)
_OFFER = codes.Offer(b"w" * 26, "home", "member")
_LABELS = {"project": "site"}
_VOUCHER = vouchers.Voucher("a" * 16, "coder", "claude", _LABELS, "ann", ORIGIN, RECIPIENT, (ORIGIN,), True)
_LINK = provenance.Link("a" * 16, ORIGIN, "b" * 16, ORIGIN, RECIPIENT)
_TYPED = {"k": "in", "n": 7, "data": b"ls\n"}
_PIECE = pack_piece(1, {"stream": bytes(16), "session": bytes(range(16)), "n": 3, "ack": 2, "message": _TYPED}) or b""
_LOG_PIECE = data_piece({"stream": bytes(16), "n": 3, "chunks": [[0, 16, 0, 7, b"ab"]], "end": False}) or b""
_SHOWN = REPLY.pack(1, 7, 0, 0) + REPLY.pack(3, 90, 105, 3) + b"ls\n" + REPLY.pack(5, 0, 105, 0)
_GRANTS = f"""\
# who may do what here
[brokers."{ORIGIN}"]
name = "laptop"
verbs = ["spawn", "view", "message"]
agents = ["claude", "shell"]
dirs = ["/srv/work"]
mode = "edit"
max_parallel = 2
rate = "10/1h"
hours = ["mon-fri 08:00-18:00"]
ask = true
expires = 2030-01-02T03:04:05Z

[brokers."{RECIPIENT}"]
verbs = ["view"]
"""


def _grants(data: bytes) -> object:
    try:
        return grantfile.parse(Path("trust.toml"), data.decode("utf-8", "replace"))
    except LocalFault as fault:
        raise PeerFault(fault.message, why=fault.why) from None


def _frame(name: str, frame: frames.Frame) -> Form:
    return Form(f"frame of {name}", frames.pack_frame(frame), frames.unpack_frame)


def _rules(data: bytes) -> object:
    content = unpack(data, 8192)
    return notices.rules_from_content(content) if notices.is_rules(content) else ()


def _shown(data: bytes) -> object:
    came = bytearray(data)
    try:
        found = take_frames(came)
    except ConnectionError as fault:
        raise PeerFault("a frame was refused", why=str(fault)) from None
    assert len(came) < REPLY.size + LONGEST
    return found


def forms() -> list[Form]:
    """Every form of this room, with its decoder."""
    chain = provenance.links_to_content((provenance.SignedLink(_LINK.to_bytes(), bytes(64)),))
    return [
        Form("code", b"7-crater-lantern-velvet", lambda data: codes.parse_code(data.decode("utf-8", "replace"))),
        Form("opening by code", codes.pack_opening(_OPENING), codes.unpack_opening),
        Form("offer by code", codes.pack_offer(_OFFER, b"S" * codes.SPAKE_BYTES), codes.unpack_offer),
        Form("welcome by code", codes.pack_welcome(bytes(32), b"a"), lambda data: codes.unpack_welcome(data, 4096)),
        Form("link of a chain", _LINK.to_bytes(), provenance.link_from_bytes),
        Form("voucher", _VOUCHER.to_bytes(), vouchers.voucher_from_bytes),
        Form("rules", pack(notices.Rules(by=("ann",)).to_content()), _rules),
        Form("chain", pack(chain), lambda data: provenance.links_from_content(unpack(data, 8192)) or ()),
        Form("grants", _GRANTS.encode(), _grants),
        _frame("what is to be kept", frames.Hold((b"e" * 40, b"f"))),
        _frame("what is to be passed on", frames.Pass((b"e" * 40,))),
        _frame("what became of it", frames.Custody(((bytes(16), ""), (bytes(range(16)), "quota")))),
        _frame("what is said on channels", frames.Said((_PIECE, b"e" * 40))),
        Form("piece of a channel", _PIECE, unpack_piece),
        Form("piece of a transcript", _LOG_PIECE, lambda data: data_of(unpack_piece(data)[1])),
        Form("frames of a direct way", _SHOWN, _shown),
        _frame("what need be kept no longer", frames.Taken((bytes(16), bytes(range(16))))),
    ]
