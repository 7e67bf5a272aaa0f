"""Whatever a member says about blobs, nothing is raised on the loop and nothing is kept for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.broker.blobs.download import SILENT_AFTER_S, Download
from relay.broker.blobs.library import Library
from relay.broker.blobs.serving import MAX_OPENING, BlobServer
from relay.broker.inbox import Opened
from relay.core.blobs import Shape
from relay.core.envelope import Body, Envelope, Header
from relay.core.ids import BrokerId
from relay.core.kinds import KINDS, Kind
from relay.core.pace import STILL_S, Pace
from relay.core.pulling import Pull
from relay.store.blobs import Blob
from relay.store.engine import Store
from relay.store.journal import Journal, Letter

PEER = BrokerId("b" * 56)
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
    | st.binary(max_size=5) | st.just(bytes(16)) | st.just(bytes(32)) | st.just(b"s" * 16),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


def opened(kind: Kind, content: dict[str, Any], origin: BrokerId = PEER) -> Opened:
    """As the inbox would hand it over."""
    header = Header(kind, bytes(16), origin, BrokerId("a" * 56), bytes(8), 1, 0, 1)
    return Opened(Envelope(header, b"", b"", b"", b""), kind, Body("op", content), origin)


def contents(kind: Kind) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(dict.fromkeys(sorted(KINDS[kind].keys), ODD))


class _NoPost:
    def post(self, tx: Any, letter: Letter, now: int) -> None:
        return None


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[tuple[BlobServer, list[dict[str, Any]]]]:
    async with await Store.open(tmp_path / "relay.db") as store:
        library = Library(Journal(store, _NoPost(), lambda: 1), tmp_path / "blobs", 2**30)
        await library.open()
        said: list[dict[str, Any]] = []

        def say(peer: BrokerId, kind: Kind, content: dict[str, Any], giver: BrokerId) -> bool:
            said.append(content | {"by": giver})
            return True

        made = BlobServer(library, store, say, lambda: 1, lambda peer: None)
        yield made, said
        await made.close()
        await library.close()


async def test_odd_requests(server: tuple[BlobServer, list[dict[str, Any]]]) -> None:
    serving, said = server

    @settings(max_examples=150)
    @given(contents(Kind.BLOB_WANT))
    def check(content: dict[str, Any]) -> None:
        serving.hears[Kind.BLOB_WANT](opened(Kind.BLOB_WANT, content))

    check()
    await asyncio.sleep(0)
    assert not serving._sessions
    assert all(not each["session"] for each in said)


async def test_a_flood_of_openings_has_a_bound_and_each_is_refused(
    server: tuple[BlobServer, list[dict[str, Any]]],
) -> None:
    serving, said = server
    for n in range(10 * MAX_OPENING):
        content = {"blob": bytes(32), "stream": n.to_bytes(16, "big"), "session": b"", "n": 0, "items": []}
        serving.hears[Kind.BLOB_WANT](opened(Kind.BLOB_WANT, content))
    assert len(serving._work) <= MAX_OPENING
    await asyncio.gather(*serving._work)
    assert {each["error"]["code"] for each in said} == {"not_offered"}
    assert not serving._sessions


@settings(max_examples=150)
@given(st.data())
def test_odd_pieces(data: st.DataObject) -> None:
    shape = Shape(10**6)
    download = Download(Blob(bytes(32), 10**6, False, 0, 0), Pull(shape), Pace(0, 0))
    download.machine.ask(0)
    for _ in range(5):
        download.came(data.draw(contents(Kind.BLOB_CHUNK)))
    assert len(download.pieces) <= 1


def test_a_pull_that_stands_still_says_so_and_for_how_long_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr("relay.broker.blobs.download.time", SimpleNamespace(monotonic=lambda: now))
    download = Download(Blob(bytes(32), 10**6, False, 0, 0), Pull(Shape(10**6)), Pace(0, 0))
    download.stand("pulling")
    download.moved = now
    assert download.why == ""
    now += SILENT_AFTER_S + 1
    assert download.why == "nothing has come for 3 s"
    pace = Pace(0, 0)
    pace.note(100_000, 1.0)
    assert pace.left_s(10**6, 1.0) == 9.0
    assert pace.left_s(10**6, 1.0 + STILL_S) is None


def test_a_piece_that_was_asked_for_is_taken_once() -> None:
    download = Download(Blob(bytes(32), 10**6, False, 0, 0), Pull(Shape(10**6)), Pace(0, 0))
    assert download.machine.ask(0) == [0]
    for _ in range(3):
        download.came({"stream": b"", "item": [1, 0], "data": b"x"})
    assert [piece.item for piece in download.take()] == [0]


async def test_it_is_answered_by_the_way_it_came(server: tuple[BlobServer, list[dict[str, Any]]]) -> None:
    """Another one in between may hand nothing on."""
    made, said = server
    between = BrokerId("c" * 56)
    wanted = {"blob": bytes(32), "stream": bytes(16), "n": 0, "items": []}
    for session in (b"", b"s" * 16):
        made.hears[Kind.BLOB_WANT](replace(opened(Kind.BLOB_WANT, wanted | {"session": session}), giver=between))
    await asyncio.gather(*made._work)
    assert [each["by"] for each in said] == [between, between]
