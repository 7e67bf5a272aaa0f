"""Who may have what: default deny on both sides, quotas, offers that end; real brokers."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from relay.core.ids import BrokerId
from relay.store import blobs
from relay.store.blobs import Blob, Need, NeedState, Reference
from relay.store.engine import Store
from relay.testing import processes
from relay.testing.node import CommandFailed, Node
from tests.blobs.conftest import MIB, Ground, document

DAY_MS = 86_400_000
SLOW = 0.1  # 19 s for 24 MiB: what ends it comes long before


def _error(ground: Ground, *words: str, node: Node | None = None) -> dict[str, Any]:
    done = (node or ground.laptop).relay("blob", *words, "--json", check=False)
    assert done.returncode == 1, done
    return document(done.stdout.splitlines()[-1])["error"]


def test_nothing_is_taken_without_a_grant(ground: Ground) -> None:
    ground.vps.relay("trust", "revoke", "laptop")
    path = str(ground.file(MIB))
    error = _error(ground, "send", path, "--broker", "vps", "--wait")
    assert (error["code"], error["hint"]) == ("no_grant", "on vps: relay trust allow laptop --verb push")
    for node in (ground.laptop, ground.vps):
        assert any(
            (line["kind"], line["decision"], line["code"]) == ("push", "refused", "no_grant")
            for line in node.relay_json("audit", "show")
        ), node.name
    ground.await_empty(ground.laptop)
    assert ground.files(ground.vps) == [] == ground.listing(ground.vps)
    ground.vps.relay(*str(error["hint"]).removeprefix("on vps: relay ").split())
    ground.laptop.relay("blob", "send", path, "--broker", "vps", "--wait")


def test_a_grant_of_other_verbs_is_none(ground: Ground) -> None:
    ground.vps.relay("trust", "revoke", "laptop")
    ground.mesh.grant(on=ground.vps, to=ground.laptop)
    assert _error(ground, "send", str(ground.file(1)), "--broker", "vps", "--wait")["code"] == "no_verb"


async def _plant(node: Node, address: bytes, size: int, origin: Node, name: str) -> None:
    """Let a broker believe that it was offered a blob."""
    now = time.time_ns() // 1_000_000
    peer = BrokerId(origin.id)
    wanted = Reference(address, Need.DOWNLOAD, peer, name, size, NeedState.OPEN, now + DAY_MS, now)
    async with await Store.open(node.home / "relay.db") as store:
        await store.write(lambda tx: blobs.add(tx, Blob(address, size, False, 0, now)))
        await store.write(lambda tx: blobs.refer(tx, wanted))


def test_knowing_the_hash_is_not_enough(ground: Ground) -> None:
    """vps has a blob that it has offered to nobody; laptop, which knows its address, asks for it all the same."""
    path = ground.file(MIB)
    blob = ground.send(path, "--wait")
    assert ground.state(ground.vps, blob) == "here"
    ground.await_empty(ground.laptop)
    ground.laptop.stop()
    asyncio.run(_plant(ground.laptop, bytes.fromhex(blob), MIB, ground.vps, "stolen"))
    ground.laptop.start()
    ground.mesh.await_link(ground.laptop, ground.vps)
    processes.wait_until(lambda: ground.state(ground.laptop, blob) != "waiting", 15, "an answer")
    error = _error(ground, "get", "stolen")
    assert error["code"] == "not_offered"
    assert ground.files(ground.laptop) == []


def test_an_offer_that_is_taken_back_is_over(ground: Ground) -> None:
    ground.restart(ground.laptop, slow=SLOW)
    blob = ground.send(ground.file(24 * MIB))
    ground.await_served(8)
    ground.laptop.relay("blob", "remove", blob)
    assert ground.files(ground.laptop) == []
    assert _error(ground, "get", blob, node=ground.vps)["code"] == "not_offered"
    assert len(ground.served_chunks()) < 150
    ground.await_empty(ground.vps)


def test_a_recipient_that_removes_it_says_so(ground: Ground) -> None:
    ground.restart(ground.laptop, slow=SLOW)
    blob = ground.send(ground.file(24 * MIB))
    ground.await_served(8)
    ground.vps.relay("blob", "remove", blob)
    assert ground.files(ground.vps) == []
    processes.wait_until(lambda: ground.state(ground.laptop, blob) == "failed", 10, "its word")
    ground.await_empty(ground.laptop)


def test_revoking_stops_what_is_coming(ground: Ground) -> None:
    ground.restart(ground.laptop, slow=SLOW)
    blob = ground.send(ground.file(24 * MIB))
    ground.await_served(8)
    ground.vps.relay("trust", "revoke", "laptop")
    processes.wait_until(lambda: ground.state(ground.laptop, blob) == "refused", 10, "its word")
    ground.await_empty(ground.vps)
    assert len(ground.served_chunks()) < 150


def test_the_quota_of_the_recipient(ground: Ground) -> None:
    ground.vps.relay("config", "set", "blob_quota", "2MiB")
    ground.restart(ground.vps)
    try:
        blob = ground.send(ground.file(MIB), "--wait")
        error = _error(ground, "send", str(ground.file(MIB + 1)), "--broker", "vps", "--wait")
        assert error["code"] == "blob_quota" and str(error["hint"]).startswith("on vps: relay config set blob_quota")
        ground.vps.relay("blob", "remove", blob)
        ground.send(ground.file(MIB + 1), "--wait")
    finally:
        ground.vps.relay("config", "set", "blob_quota", "10GiB")
        ground.restart(ground.vps)


def test_the_quota_of_the_sender(ground: Ground) -> None:
    ground.laptop.relay("config", "set", "blob_quota", "1MiB")
    ground.restart(ground.laptop)
    try:
        error = _error(ground, "send", str(ground.file(MIB + 1)), "--broker", "vps")
        assert error["code"] == "blob_quota" and ground.files(ground.laptop) == []
        ground.send(ground.file(MIB), "--wait")
    finally:
        ground.laptop.relay("config", "set", "blob_quota", "10GiB")
        ground.restart(ground.laptop)


def test_an_offer_ends_in_time(ground: Ground) -> None:
    ground.vps.stop()
    blob = ground.send(ground.file(MIB), "--ttl", "1s")
    time.sleep(1.1)  # the time to live is the experiment
    ground.vps.start()
    ground.mesh.await_link(ground.laptop, ground.vps)
    with pytest.raises(CommandFailed, match=r"unknown_blob|expired|not_offered"):
        ground.vps.relay("blob", "get", blob, "--json")
    assert ground.files(ground.vps) == []


def test_damage_at_the_sender_is_told(ground: Ground) -> None:
    ground.vps.stop()
    blob = ground.send(ground.file(MIB))
    data = ground.laptop.home / "blobs" / f"{blob}.data"
    data.write_bytes(bytes(MIB))
    ground.vps.start()
    processes.wait_until(lambda: ground.state(ground.vps, blob) == "failed", 20, "its end")
    assert _error(ground, "get", blob, node=ground.vps)["code"] == "blob_damaged"
    ground.await_empty(ground.vps)


def test_a_crash_between_file_and_row_leaves_nothing(ground: Ground) -> None:
    ground.vps.stop()
    for name in (".new-1.data", f"{'ab' * 32}.data", f"{'ab' * 32}.tree"):
        (ground.vps.home / "blobs" / name).write_text("x")
    ground.vps.start()
    assert ground.files(ground.vps) == []
