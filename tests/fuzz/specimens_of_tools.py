"""Valid bytes of what brokers and programs say of runners and calls, with the decoder of each."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from relay.broker.tools.ending import ended
from relay.broker.tools.programs import MAX_TITLE, read_hello, read_message
from relay.core import envelope, json_values, wire
from relay.core.calls import CallRequest, Outcome, Piece, Word, request_from_content, word_from_content
from relay.core.offers import Catalogue, Offer, catalogue_from_content
from relay.core.states import State
from tests.fuzz.specimens import ORIGIN, Form

_NOW, _CALL = 1_800_000_000_000, "a" * 16
CALL = CallRequest(_CALL, "search.files", b'{"a":[1,2.5,"x",null,{"b":true}]}', _NOW, _NOW + 1, 90.0, "ann", (ORIGIN,))
DONE = Word(_CALL, 3, State.COMPLETED, _NOW, _NOW, "", _NOW, _NOW, Outcome.DONE, b'{"content":[]}')
FAILED = Word(
    _CALL, 3, State.FAILED, _NOW, _NOW, "no", _NOW, _NOW, Outcome.ERROR, None, 0, {"code": "x", "message": "no"}
)
PIECE = Piece(_CALL, 3, 1, b"abc")
_DEFINITION = {"name": "search.files", "inputSchema": {"type": "object", "properties": {"a": {"type": "array"}}}}
OFFERS = (Offer("search.files", json.dumps(_DEFINITION), "mcp", "files"), Offer("b", '{"name":"b"}'))
CATALOGUE = Catalogue(7, OFFERS)
HELLO = {
    "program": "a" * 32,
    "kind": "library",
    "title": "x" * MAX_TITLE,
    "pid": 7,
    "started": 1.5,
    "offers": [{"name": "search.files", "definition": _DEFINITION, "share": "files"}],
    "holding": [_CALL],
}
RESULT = {"call": _CALL, "outcome": "done", "result": {"content": [{"type": "text", "text": "x"}]}, "error": None}


def _content(decode: Callable[[dict[str, Any]], object], known: frozenset[str]) -> Callable[[bytes], object]:
    def read(data: bytes) -> object:
        content = wire.unpack(data, envelope.MAX_BODY)
        # that a kind's keys are there is looked at by the inbox
        return decode(content) if type(content) is dict and known <= content.keys() else None

    return read


def _hello(data: bytes) -> object:
    return read_hello(read_message(data, 1 << 20), {7})


def _result(data: bytes) -> object:
    step = ended(read_message(data, 1 << 20), is_function=True)
    assert step.state is not State.COMPLETED or step.result is not None
    return step


def forms() -> list[Form]:
    """Every form, with its decoder."""
    catalogue, word = frozenset({"number", "offers"}), frozenset({"call", "seq"})
    return [
        Form("call of a tool", wire.pack(CALL.to_content()), _content(request_from_content, frozenset())),
        Form("word on a call", wire.pack(DONE.to_content()), _content(word_from_content, word)),
        Form("word on a failed call", wire.pack(FAILED.to_content()), _content(word_from_content, word)),
        Form("piece of a result", wire.pack(PIECE.to_content()), _content(word_from_content, word)),
        Form("catalogue", wire.pack(CATALOGUE.to_content()), _content(catalogue_from_content, catalogue)),
        Form("hello of a program", json_values.packed(HELLO), _hello),
        Form("result of a program", json_values.packed(RESULT), _result),
    ]
