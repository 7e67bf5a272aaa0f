"""A member gone bad, by what it may send of tools: it fills no disk, runs nothing, and ends nobody else's call."""

from __future__ import annotations

import contextlib
import itertools
import json
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from relay.core.calls import PIECE, CallRequest, Outcome, Piece, Word
from relay.core.envelope import Body
from relay.core.frames import Batch, pack_frame
from relay.core.offers import MOST_OFFERS
from relay.core.states import State
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.e2e.scene import audit, fresh
from tests.fuzz.attacker import Attacker, finish, websocket_frame
from tests.tools.conftest import Served

_numbers = itertools.count()
NOW = 1_800_000_000_000


class Bad:
    """The victim, the member that is played, and a third one that sleeps."""

    def __init__(self, mesh: Mesh) -> None:
        self.victim, self.member = mesh.pair("victim", "member")
        self.third = mesh.join(self.victim, "third")
        self.third.stop()
        self.member.stop()
        self.attacker = Attacker(self.member, self.victim)

    def send(self, kind: str, *contents: dict[str, Any]) -> None:
        """Letters of a kind, well sealed and signed, in as many batches as they need."""
        letters = [self.attacker.envelope(kind, Body(f"bad-{next(_numbers)}", each)) for each in contents]
        with self.attacker.link() as link:
            for at in range(0, len(letters), 16):
                with suppress(OSError):
                    link.sendall(websocket_frame(pack_frame(Batch(tuple(letters[at : at + 16])))))
            finish(link)

    def rows(self, sql: str) -> list[Any]:
        """What the victim's store has."""
        with contextlib.closing(sqlite3.connect(f"file:{self.victim.home}/relay.db?mode=ro", uri=True)) as store:
            return store.execute(sql).fetchall()

    def refused(self, kind: str) -> int:
        """How many letters of a kind it has refused."""
        return int(self.rows(f"SELECT count(*) FROM refusals WHERE kind = '{kind}'")[0][0])

    def queued(self, target: Node) -> str:
        """A call of the victim that waits for a broker."""
        with self.victim.control() as control:
            call = control.post("calls", {"tool": "search", "broker": target.name, "arguments": {}})
        assert call["state"] == "queued"
        return str(call["id"])

    def call(self, call: str) -> dict[str, Any]:
        """One call, as the victim shows it."""
        with self.victim.control() as control:
            shown: dict[str, Any] = control.get(f"calls/{call}")
        return shown


@pytest.fixture(scope="module")
def bad() -> Iterator[Bad]:
    with Mesh.scratch("relay-bad-tools-") as mesh:
        yield Bad(mesh)
        assert "Traceback" not in mesh.nodes["victim"].log()


def _offers(listed: object) -> bytes:
    return zlib.compress(json.dumps(listed).encode(), 9)


def test_a_bad_catalogue_is_refused_whole(bad: Bad) -> None:
    good = ["ok", "mcp", None, '{"name":"ok"}']
    deep = '{"name":"deep","x":' + "[" * 90 + "]" * 90 + "}"
    lists = [
        [good, good],
        [["ok", "mcp", None, '{"name":"other"}']],
        [["../etc", "mcp", None, '{"name":"../etc"}']],
        [["ok", "virus", None, '{"name":"ok"}']],
        [["deep", "mcp", None, deep]],
        [["long", "mcp", None, json.dumps({"name": "long", "description": "x" * 70_000})]],
        [[f"t{n}", "mcp", None, json.dumps({"name": f"t{n}"})] for n in range(MOST_OFFERS + 1)],
        {"a": 1},
        [good, 7],
    ]
    bomb = zlib.compress(b"[" + b" " * 60_000_000 + b"]", 9)
    packed = [*map(_offers, lists), bomb, b"\x00" * 50, _offers([good]) + b"x"]
    contents: list[dict[str, Any]] = [{"number": NOW + n, "offers": each} for n, each in enumerate(packed)]
    contents += [{"number": each, "offers": _offers([good])} for each in (0, -1, True, "7", 2**60)]
    before = bad.refused("tool.catalogue")
    bad.send("tool.catalogue", *contents)
    wait_until(lambda: bad.refused("tool.catalogue") == before + len(contents), 20, "all of them to be refused")
    assert bad.rows("SELECT * FROM catalogues") == []
    # a good one is taken, an older one never takes its place, and an empty one of who told nothing leaves nothing
    bad.send("tool.catalogue", {"number": 9, "offers": _offers([good])})
    wait_until(lambda: bad.rows("SELECT number FROM catalogues") == [(9,)], 20, "the good one to be taken")
    bad.send("tool.catalogue", {"number": 8, "offers": _offers([])}, {"number": 10, "offers": _offers([good, good])})
    bad.send("tool.catalogue", {"number": 11, "offers": _offers([])})
    wait_until(lambda: bad.rows("SELECT number, offers FROM catalogues") == [(11, "[]")], 20, "the last one")


def _request(call: str, **fields: Any) -> dict[str, Any]:
    return CallRequest(call, "search", b"{}", NOW, NOW * 2, 60.0).to_content() | fields


def _id(n: int) -> str:
    return "".join(chr(97 + int(digit)) for digit in f"{n:016d}")


@pytest.mark.timeout(240)
def test_calls_of_one_origin_are_bounded_and_odd_ones_refused(bad: Bad) -> None:
    with bad.victim.control() as control:
        program = Served(bad.victim, ("search",), "search", "library", "test", 1)
        try:
            wait_until(
                lambda: any(e["name"] == "search" for e in control.get("tools")["tools"]), 20, "the runner to be there"
            )
        finally:
            program.kill()
    bad.victim.relay("trust", "allow", bad.member.id, "--verb", "tool")
    odd = [
        _request(_id(9_001), arguments=b"[1]"),
        _request(_id(9_002), arguments=b'{"a":' + b"[" * 90 + b"]" * 90 + b"}"),
        _request(_id(9_003), arguments={"a": 1}),
        _request(_id(9_004), tool="../x"),
        _request(_id(9_005), timeout_s=float("inf")),
        _request(_id(9_006), timeout_s=-1),
        _request("../../etc/passwd"),
        _request(_id(9_007), requested_by="x" * 129),
        _request(_id(9_008), chain=[7]),
        _request(_id(9_009), arguments=b'{"a":"' + b"x" * 246_500 + b'"}'),
    ]
    before = bad.refused("tool.call")
    bad.send("tool.call", *odd)
    wait_until(lambda: bad.refused("tool.call") == before + len(odd), 20, "all of them to be refused")
    theirs = f"SELECT state FROM calls WHERE origin = '{bad.member.id}'"  # other tests have called as well
    assert bad.rows(theirs) == []
    # a chain that nobody signed
    bad.send("tool.call", _request(_id(9_010), chain=[bad.third.id]))
    wait_until(lambda: bad.rows(theirs) == [("rejected",)], 20, "it to be refused")
    assert bad.call(_id(9_010))["error"]["code"] == "unproved_chain"
    bad.send("tool.call", *(_request(_id(n)) for n in range(520)))
    waiting = "SELECT count(*) FROM calls WHERE state = 'waiting'"
    wait_until(lambda: bad.rows(waiting) == [(500,)], 150, "as many as may wait to wait")
    assert bad.rows(waiting) == [(500,)] and program.lines("ran") == []
    bad.victim.relay("trust", "revoke", bad.member.id)
    wait_until(lambda: bad.rows(waiting) == [(0,)], 20, "what waited to be purged")


def test_a_word_counts_from_the_target_of_its_call_alone_and_a_success_needs_a_result(bad: Bad) -> None:
    theirs, own = bad.queued(bad.third), bad.queued(bad.member)
    done = Word(theirs, 5, State.COMPLETED, NOW, NOW, "", NOW, NOW, Outcome.DONE, b'{"content":[]}')
    bad.send("tool.result", done.to_content(), Piece(theirs, 6, 0, b"{}").to_content())
    hollow = [
        done.to_content() | {"call": own, "result": None},
        done.to_content() | {"call": own, "outcome": None},
        done.to_content() | {"call": own, "state": "failed"},
        done.to_content() | {"call": own, "result": b"[1]"},
        done.to_content() | {"call": own, "error": {"code": "x", "evil": 1}},
        done.to_content() | {"call": own, "pieces": 10**6},
        Piece(own, 5, 10**6, b"x").to_content(),
        Piece(own, 5, 0, b"x" * (PIECE + 1)).to_content(),
        {"call": own, "seq": 5},
    ]
    before = bad.refused("tool.result")
    bad.send("tool.result", *hollow)
    wait_until(lambda: bad.refused("tool.result") == before + len(hollow), 20, "all of them to be refused")
    assert bad.call(theirs)["state"] == "queued" and bad.call(theirs)["result"] is None
    # of pieces only those of one word are kept, and what they make has to be a result
    bad.send("tool.result", *(Piece(own, 6 + n, 0, b"x" * 1_000).to_content() for n in range(40)))
    wait_until(lambda: bad.rows("SELECT seq FROM call_pieces") == [(45,)], 20, "the latest piece alone")
    bad.send("tool.result", done.to_content() | {"call": own, "seq": 45, "result": None, "pieces": 1})
    wait_until(lambda: bad.call(own)["state"] != "queued", 20, "its end")
    assert bad.call(own)["state"] == "failed" and bad.call(own)["error"]["code"] == "bad_result"
    assert bad.rows("SELECT * FROM call_pieces") == []


def test_a_stop_of_another_broker_s_call_is_refused(bad: Bad) -> None:
    tool = fresh("tool")
    program = Served(bad.victim, (tool,), tool, "library", "test", 1)
    gate = bad.victim.scratch / fresh("gate")
    try:
        with bad.victim.control() as control:
            wait_until(lambda: any(each["name"] == tool for each in control.get("tools")["tools"]), 20, "the runner")
            call = control.post("calls", {"tool": tool, "arguments": {"do": "wait", "gate": str(gate)}})["id"]
            wait_until(lambda: control.get(f"calls/{call}")["state"] == "running", 20, "it to run")
            bad.send("tool.stop", {"call": call}, {"call": "x"}, {"call": 7})
            bad.send("tool.call", _request(call))
            wait_until(lambda: any(call in each["detail"] for each in audit(bad.victim)), 20, "the refusal")
            assert control.get(f"calls/{call}")["state"] == "running" and program.lines("cancel") == []
            gate.touch()
            assert control.get(f"calls/{call}?wait_s=20")["state"] == "completed"
    finally:
        program.kill()


def test_progress_of_what_nobody_called_is_bounded(bad: Bad) -> None:
    own = bad.queued(bad.member)
    words = [{"call": _id(n), "done": n, "of": None, "words": "x"} for n in range(1_500)]
    words += [{"call": own, "done": 7, "of": 9, "words": "w" * 10_000}]
    bad.send("tool.progress", *words)
    shown = wait_until(lambda: bad.call(own)["progress"], 20, "a word on progress")
    assert shown["done"] == 7 and len(shown["words"]) == 500
    bad.send("tool.progress", {"call": own, "done": float("nan"), "of": 9, "words": ""})
    bad.send("tool.progress", {"call": own, "done": 8, "of": "x", "words": ""})
    assert bad.call(own)["progress"]["done"] == 7
