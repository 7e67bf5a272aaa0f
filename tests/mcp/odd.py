"""What a client may send and none should, from a seed."""

from __future__ import annotations

import json
import random
import string
from typing import Any

HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}


def _odd(rng: random.Random, depth: int = 0) -> Any:
    """Any JSON value, with words of the protocol among them."""
    kinds = 5 if depth > 3 else 7
    kind = rng.randrange(kinds)
    words = ["2.0", "tools/call", "tools/list", "initialize", "agent.add", "", "\x00", "\ud800", "../..", "ä" * 50]
    if kind < 2:
        return rng.choice(words)
    if kind < 5:
        return rng.choice([None, True, 0, -1, 2**63, 1e308, 0.5, "".join(rng.choices(string.printable, k=9))])
    if kind == 5:
        return [_odd(rng, depth + 1) for _ in range(rng.randrange(4))]
    keys = ["jsonrpc", "id", "method", "params", "name", "arguments", "_meta", "cursor", "wait", "progressToken"]
    return {rng.choice(keys): _odd(rng, depth + 1) for _ in range(rng.randrange(6))}


def odd_messages(seed: int, count: int) -> list[bytes]:
    """What a client may send and none should."""
    rng = random.Random(seed)
    deep = [b"[" * 100_000, b'{"a":' * 50_000, b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":' + b"[" * 5000]
    fixed = [b"", b"\xff\xfe", b"null", b"[]", b"{}", b'"x"', b"{", b'{"jsonrpc":"2.0","id":1}', b"NaN", *deep]
    made = []
    for _ in range(count):
        whole = {"jsonrpc": "2.0", "id": _odd(rng, 4), "method": "tools/call", "params": _odd(rng)}
        tool = rng.choice(["agent.get", "agent.wait", "agent.logs"])
        named = {**whole, "params": {"name": tool, "arguments": _odd(rng)}}
        made.append(json.dumps(rng.choice([_odd(rng), whole, named])).encode())
    return fixed + made
