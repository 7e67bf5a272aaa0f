"""Both ends of a pull as a library, over a path that drops, doubles, reorders and vanishes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from relay.broker.allowed import Grants
from relay.broker.auditor import Auditor
from relay.broker.blobs.room import Blobs, Terms
from relay.broker.gate import Gate
from relay.broker.inbox import Pointless
from relay.broker.members import Members
from relay.core.blobs import CHUNK
from relay.core.errors import Code, PeerFault, RelayError
from relay.core.ids import BrokerId
from relay.core.kinds import KINDS, Kind
from relay.core.pulling import WINDOW
from relay.core.roster import Roster, Seat
from relay.core.statements import Member
from relay.spawn.agents.registry import Agents
from relay.store import blobs
from relay.store.blobs import Blob, Need, NeedState, Reference
from relay.store.engine import Store
from relay.store.journal import Entry, Journal, Letter
from relay.testing.bench_node import until
from relay.trust.identity import Identity
from tests.blobs.test_hearing import opened

HERE, THERE = BrokerId("a" * 56), BrokerId("b" * 56)
NAMES = {HERE: "here", THERE: "there"}
QUICK_PATIENCE = 100
SIZE = 150 * CHUNK + 5


class Between:
    """What lies between the two: live words only."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.drop = self.double = 0.0
        self.delay_s = self.jitter_s = 0.0
        self.is_there = True
        self.chunks = 0
        self.news = asyncio.Event()
        self.hears: dict[BrokerId, Callable[[Kind, dict[str, Any], BrokerId], None]] = {}

    def leads(self, peer: BrokerId) -> bool:
        """Whether there is a path."""
        return self.is_there

    async def carried(self, chunks: int) -> None:
        """Wait until so many chunks were sent."""
        while self.chunks < chunks:
            self.news.clear()
            await self.news.wait()

    def say(self, origin: BrokerId) -> Callable[..., bool]:
        """How that broker sends."""

        def say(recipient: BrokerId, kind: Kind, content: dict[str, Any], giver: BrokerId | None = None) -> bool:
            if not self.is_there or recipient not in self.hears:
                return False
            self.chunks += kind is Kind.BLOB_CHUNK
            self.news.set()
            for _ in range(1 + (self.random.random() < self.double)):
                if self.random.random() >= self.drop:
                    self._deliver(origin, recipient, kind, content)
            return True

        return say

    def _deliver(self, origin: BrokerId, recipient: BrokerId, kind: Kind, content: dict[str, Any]) -> None:
        def deliver() -> None:
            if recipient in self.hears and self.is_there:
                self.hears[recipient](kind, content, origin)

        asyncio.get_running_loop().call_later(self.delay_s + self.random.uniform(0, self.jitter_s), deliver)


class _NoPost:
    def post(self, tx: Any, letter: Letter, now: int) -> None:
        return None


@contextlib.asynccontextmanager
async def room(folder: Path, own: BrokerId, path: Between) -> AsyncIterator[Blobs]:
    await asyncio.to_thread(folder.mkdir, exist_ok=True)
    members = {each: Member(each, bytes(32), bytes(32), name, 0) for each, name in NAMES.items()}
    known = Members(own, NAMES[own], Roster(HERE, members, {}, (Seat(HERE),)))
    async with await Store.open(folder / "relay.db") as store:
        auditor = Auditor(store, Identity.create(bytes(32), bytes(32)))
        await auditor.open()
        gate = Gate(known, Grants(folder / "trust.toml"), Agents(folder / "agents.toml"), auditor, folder / "worktrees")
        terms = Terms(folder / "blobs", 2**30, 10**9)
        journal = Journal(store, _NoPost(), lambda: 1_000)
        made = Blobs(known, gate, auditor, journal, path.say(own), lambda peer: None, path.leads, terms, lambda: True)

        def hear(kind: Kind, content: dict[str, Any], origin: BrokerId) -> None:
            assert content.keys() >= KINDS[kind].keys
            made.hears[kind](opened(kind, content, origin))

        await made.open()
        path.hears[own] = hear
        try:
            yield made
        finally:
            del path.hears[own]
            await made.close()


async def offered(sender: Blobs, source: Path) -> Blob:
    """A file taken in, which THERE may pull."""

    def then(entry: Entry, blob: Blob) -> Blob:
        sender.offers.allow(entry, blob, THERE, "name", 10**9, os.urandom(8).hex())
        return blob

    return await sender.library.take_in(str(source), lambda done, size: None, then)


async def want(receiver: Blobs, blob: Blob) -> None:
    now = 1_000
    wanted = Reference(blob.hash, Need.DOWNLOAD, HERE, "name", blob.size, NeedState.OPEN, 10**9, now)
    await receiver._journal.commit(lambda entry: receiver.offers.want(entry, wanted))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is noticed in 0.1 s, a pause is as short."""
    monkeypatch.setattr("relay.core.pulling.PATIENCE", QUICK_PATIENCE)
    monkeypatch.setattr("relay.core.pulling.MAX_PATIENCE", 4 * QUICK_PATIENCE)
    monkeypatch.setattr("relay.broker.blobs.downloads.PAUSE_S", 0.05)
    monkeypatch.setattr("relay.broker.blobs.downloads.LONGEST_PAUSE_S", 0.1)
    monkeypatch.setattr("relay.broker.blobs.pulling.OPEN_WITHIN_S", 0.2)


def _source(tmp_path: Path, size: int = SIZE) -> Path:
    path = tmp_path / "source"
    path.write_bytes(os.urandom(size))
    return path


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("drop", "double", "jitter_s"),
    [(0.0, 0.0, 0.0), (0.1, 0.0, 0.0), (0.0, 0.5, 0.01), (0.1, 0.2, 0.02)],
    ids=["calm", "drops", "doubles and reorders", "all of it"],
)
async def test_it_arrives_whatever_the_path_does(tmp_path: Path, drop: float, double: float, jitter_s: float) -> None:
    path = Between(seed=1)
    source = _source(tmp_path)
    async with room(tmp_path / "one", HERE, path) as sender, room(tmp_path / "two", THERE, path) as receiver:
        blob = await offered(sender, source)
        path.drop, path.double, path.jitter_s = drop, double, jitter_s
        await want(receiver, blob)
        assert await receiver.here(blob.hash) == Blob(blob.hash, SIZE, True, 152, 1_000)
        await receiver.library.write_out(blob, str(tmp_path / "out"), lambda done, size: None)
    assert (tmp_path / "out").read_bytes() == source.read_bytes()


@pytest.mark.usefixtures("quick")
async def test_a_path_that_comes_and_goes(tmp_path: Path) -> None:
    """Without a word of links: the path may be others'. What is here is not asked for again."""
    path = Between(seed=2)
    source = _source(tmp_path)
    async with room(tmp_path / "one", HERE, path) as sender, room(tmp_path / "two", THERE, path) as receiver:
        blob = await offered(sender, source)
        path.delay_s = 0.002
        await want(receiver, blob)
        for part in (20, 60, 100):
            await path.carried(part)
            path.is_there = False
            await asyncio.sleep(0.05)
            path.is_there = True
        await receiver.here(blob.hash)
        assert path.chunks <= 152 + 3 * 2 * WINDOW


async def test_the_only_way_there_ends(tmp_path: Path) -> None:
    """A link to somebody in the middle: what was in flight is lost with it at once, and said so."""
    path = Between(seed=5)
    between = BrokerId("c" * 56)
    async with room(tmp_path / "one", HERE, path) as sender, room(tmp_path / "two", THERE, path) as receiver:
        blob = await offered(sender, _source(tmp_path))
        path.delay_s = 0.002
        await want(receiver, blob)
        await path.carried(20)
        path.is_there = False
        receiver.downloads.link_changed(between, up=False)
        download = receiver.downloads.of(blob.hash)
        assert download is not None and download.machine.in_flight == 0
        await until(lambda: download.state == "waiting", 10, what="the pull to notice it")
        assert download.why == "here cannot be reached now"


@pytest.mark.usefixtures("quick")
async def test_both_ends_start_anew_in_the_middle(tmp_path: Path) -> None:
    path = Between(seed=3)
    source = _source(tmp_path)
    async with room(tmp_path / "one", HERE, path) as sender:
        blob = await offered(sender, source)
        path.delay_s = 0.002
        async with room(tmp_path / "two", THERE, path) as receiver:
            await want(receiver, blob)
            await path.carried(50)
    async with room(tmp_path / "two", THERE, path) as receiver:
        assert receiver.downloads.is_under_way(blob.hash)
        async with room(tmp_path / "one", HERE, path):
            await receiver.here(blob.hash)
    assert path.chunks <= 152 + 2 * WINDOW


async def test_what_nobody_allowed_does_not_come(tmp_path: Path) -> None:
    path = Between(seed=4)
    async with room(tmp_path / "one", HERE, path) as sender, room(tmp_path / "two", THERE, path) as receiver:
        blob = await offered(sender, _source(tmp_path))
        await sender._journal.store.write(lambda tx: blobs.release(tx, blob.hash, Need.OFFER, THERE))
        await want(receiver, blob)
        with pytest.raises(RelayError) as caught:
            await receiver.here(blob.hash)
        assert (caught.value.code, path.chunks) == (Code.NOT_OFFERED, 0)


async def test_a_pin_keeps_a_blob_and_a_reader_too(tmp_path: Path) -> None:
    path = Between(seed=5)
    async with room(tmp_path / "one", HERE, path) as sender:
        blob = await offered(sender, _source(tmp_path))
        pin = Reference(blob.hash, Need.PIN, BrokerId("handoff"), "name", SIZE, NeedState.HERE, 0, 0)
        await sender._journal.store.write(lambda tx: blobs.refer(tx, pin))
        assert not (await sender.orders.remove("name"))["removed"]
        async with sender.library.reading(blob) as opened_blob:
            await sender._journal.store.write(lambda tx: blobs.release(tx, blob.hash, Need.PIN, "handoff"))
            assert await sender.library.collect() == 0
            assert len(opened_blob.read(opened_blob.shape.place(1))) == CHUNK
        assert await sender.library.collect() == 1
        assert list((tmp_path / "one" / "blobs").iterdir()) == []


async def act(receiver: Blobs, kind: Kind, content: dict[str, Any]) -> None:
    """Take an envelope in, as the inbox would."""
    await receiver._journal.commit(lambda entry: receiver.acts[kind](entry, opened(kind, content, HERE)))


@pytest.mark.parametrize("name", ["../../evil", "/etc/passwd", "..", "a\nb", "", 7, "a\0b"])
async def test_a_name_from_elsewhere_is_no_path(tmp_path: Path, name: object) -> None:
    async with room(tmp_path / "two", THERE, Between(seed=6)) as receiver:
        with pytest.raises(PeerFault):
            await act(receiver, Kind.BLOB_OFFER, {"blob": bytes(32), "size": 1, "name": name, "expires": 10})
        assert await receiver.orders.views.listing() == []


async def test_odd_offers_and_answers_are_refused_as_such(tmp_path: Path) -> None:
    """Nothing but a refusal is raised, so that none counts as a fault of ours; nothing is kept."""
    rng = random.Random(7)
    odd: list[Any] = [None, True, -1, 2**60, 1.5, "x", b"x", bytes(32), [], {}, "whole", {"code": 3}]
    async with room(tmp_path / "two", THERE, Between(seed=7)) as receiver:
        for _ in range(300):
            for kind in (Kind.BLOB_OFFER, Kind.BLOB_ANSWER):
                content = {key: rng.choice(odd) for key in sorted(KINDS[kind].keys | {"error"})}
                with contextlib.suppress(RelayError, Pointless):
                    await act(receiver, kind, content)
        assert await receiver.orders.views.listing() == []
