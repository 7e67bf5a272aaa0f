"""Codes and tokens: a code works once, for two minutes, for a person; what is wrong is slow, and soon nothing."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.broker.auditor import Auditor
from relay.broker.devices import CODE_MS, MOST_WRONG, WRONG_WITHIN_MS, Devices
from relay.broker.words import rfc3339
from relay.core.errors import Code, Refused
from relay.dashboard.session import MAX_BODY, PAUSE_S
from relay.store.engine import Store
from relay.store.journal import Journal
from relay.testing.control import ControlError
from relay.trust.identity import Identity
from tests.dashboard.browser import Browser, code_of


class Clocked:
    """Devices over a store of their own, and the time as they know it."""

    def __init__(self, store: Store) -> None:
        self.now = 1_800_000_000_000
        self._store = store
        self._journal = Journal(store, None, lambda: self.now)  # type: ignore[arg-type]
        self.auditor = Auditor(store, Identity.create(bytes(32), bytes(32)))
        self.devices = Devices(self._journal, self.auditor)

    async def again(self) -> Devices:
        """As a later run of the broker finds them."""
        found = Devices(self._journal, self.auditor)
        await found.open()
        return found


@pytest.fixture
async def clocked(tmp_path: Path) -> AsyncIterator[Clocked]:
    store = await Store.open(tmp_path / "relay.db")
    yield Clocked(store)
    await store.close()


async def _refused(devices: Devices, code: str) -> Code:
    with pytest.raises(Refused) as refused:
        await devices.exchange(code, "")
    return refused.value.code


async def test_a_code_is_over_after_two_minutes(clocked: Clocked) -> None:
    code, expires = await clocked.devices.issue(("view",))
    assert expires == clocked.now + CODE_MS == clocked.now + 120_000
    clocked.now = expires
    assert await _refused(clocked.devices, code) is Code.CODE_REFUSED
    code, expires = await clocked.devices.issue(("view",))
    clocked.now = expires - 1
    assert (await clocked.devices.exchange(code, ""))[1].scopes == ("view",)


async def test_after_five_wrong_codes_none_is_looked_at_for_a_minute(clocked: Clocked) -> None:
    code, _ = await clocked.devices.issue(("view",))
    for _ in range(MOST_WRONG):
        assert await _refused(clocked.devices, "wrong") is Code.CODE_REFUSED
    assert await _refused(clocked.devices, code) is Code.RATE_LIMITED
    clocked.now += WRONG_WITHIN_MS
    assert (await clocked.devices.exchange(code, ""))[0]


async def test_a_clock_that_was_ahead_leaves_no_code_and_keeps_nobody_out(clocked: Clocked) -> None:
    code, _ = await clocked.devices.issue(("view",))
    for _ in range(MOST_WRONG):
        assert await _refused(clocked.devices, "wrong") is Code.CODE_REFUSED
    clocked.now -= 10 * 365 * 86_400_000
    assert await _refused(clocked.devices, code) is Code.CODE_REFUSED
    fresh, _ = await clocked.devices.issue(("view",))
    assert (await clocked.devices.exchange(fresh, ""))[0]


async def test_wrong_codes_of_another_user_of_the_machine_keep_its_own_out_of_nothing(clocked: Clocked) -> None:
    code, _ = await clocked.devices.issue(("view",))
    for _ in range(MOST_WRONG + 1):
        with pytest.raises(Refused) as refused:
            await clocked.devices.exchange("wrong", "", lambda: True)
    assert refused.value.code is Code.RATE_LIMITED
    assert (await clocked.devices.exchange(code, "", lambda: False))[0]


async def test_codes_that_are_tried_at_once_are_counted_as_well(clocked: Clocked) -> None:
    codes = [clocked.devices.exchange(f"wrong {n}", "") for n in range(3 * MOST_WRONG)]
    found = await asyncio.gather(*codes, return_exceptions=True)
    refused = Counter(each.code for each in found if isinstance(each, Refused))
    assert refused == {Code.CODE_REFUSED: MOST_WRONG, Code.RATE_LIMITED: 2 * MOST_WRONG}


async def test_codes_that_are_good_do_not_count(clocked: Clocked) -> None:
    for _ in range(2 * MOST_WRONG):
        code, _ = await clocked.devices.issue(("view",))
        assert (await clocked.devices.exchange(code, ""))[0]


async def test_a_device_outlives_the_broker_and_a_revoked_one_does_not_come_back(clocked: Clocked) -> None:
    tokens = [
        (await clocked.devices.exchange((await clocked.devices.issue(("view", "trust")))[0], name))[0]
        for name in ("desk", "phone")
    ]
    later = await clocked.again()
    assert [device and device.name for device in map(later.of_token, tokens)] == ["desk", "phone"]
    await later.revoke("phone")
    assert later.of_token(tokens[1]) is None
    assert [each["name"] for each in (await clocked.again()).listing()] == ["desk"]


async def test_neither_codes_nor_tokens_are_in_the_store(clocked: Clocked, tmp_path: Path) -> None:
    code, _ = await clocked.devices.issue(("view",))
    token, _ = await clocked.devices.exchange((await clocked.devices.issue(("view",)))[0], "desk")
    kept = _all_bytes(tmp_path)
    assert b"desk" in kept
    assert code.encode() not in kept and token.encode() not in kept


def _all_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("relay.db*"))


async def test_use_is_written_down_once_a_minute(clocked: Clocked) -> None:
    _, device = await clocked.devices.exchange((await clocked.devices.issue(("view",)))[0], "desk")
    first = clocked.now
    for ahead, written in ((0, 0), (59_999, 0), (60_000, 60_000)):
        clocked.now = first + ahead
        await clocked.devices.note_use(device)
        assert (await clocked.again()).listing()[0]["last_used"] == rfc3339(first + written)


@pytest.mark.parametrize(("given", "called"), [("", "a browser"), ("a\nb\x1b[31m", "a b [31m"), ("x" * 90, "x" * 64)])
async def test_what_a_device_calls_itself_is_one_short_line(clocked: Clocked, given: str, called: str) -> None:
    _, device = await clocked.devices.exchange((await clocked.devices.issue(("view",)))[0], given)
    assert device.name == called


# over the port


def test_a_code_works_once(stranger: Browser) -> None:
    code, _ = code_of(stranger.node, "view")
    made = stranger.ask("POST", "/session", {"code": code, "device": "tablet"})
    device = made.document["device"]
    assert made.status == 201
    assert (device["name"], device["scopes"], device["last_used"]) == ("tablet", ["view"], None)
    before = time.monotonic()
    again = stranger.ask("POST", "/session", {"code": code, "device": "tablet"})
    assert (again.status, again.code) == (401, "code_refused")
    assert time.monotonic() - before >= PAUSE_S


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"code": 1}', b'{"code": "x", "device": []}', b"[" * 4000])
def test_what_is_no_request_for_a_session_is_told_so(stranger: Browser, body: bytes) -> None:
    answer = stranger.ask("POST", "/session", body)
    assert (answer.status, answer.code) == (400, "usage")


def test_a_request_for_a_session_is_short(stranger: Browser) -> None:
    answer = stranger.ask("POST", "/session", b" " * (MAX_BODY + 1))
    assert answer.status == 400
    assert "too long" in answer.document["error"]["message"]


def test_a_request_of_the_api_is_bounded(browser: Browser) -> None:
    answer = browser.ask("POST", "/api/v1/person", b" " * (2 * 2**20 + 1))
    assert (answer.status, answer.code) == (400, "bad_task")


SCRIPT = """
import socket, sys
made = socket.socket(socket.AF_UNIX)
made.connect(sys.argv[1])
body = b'{"operation": "task", "scopes": ["view"]}'
head = b"POST /api/v1/dashboard/codes HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n\\r\\n"
made.sendall(head % len(body) + body)
with made.makefile("rb") as answer:
    print(answer.read().decode())
"""


def test_a_task_gets_no_code_and_no_more_by_the_port_than_by_the_socket(browser: Browser) -> None:
    """It hides its token, and is known by its process; by the port it has no token of a device."""
    node = browser.node
    with node.control() as opened:
        made = opened.spawn(sys.executable, "-c", SCRIPT, str(node.socket), cwd=str(node.work))
        done = opened.wait(made["id"])
    assert done["state"] == "completed", done
    assert '"code":"task_scope"' in done["result"]["output_tail"]


def test_a_device_gets_no_code_and_publishes_nothing(browser: Browser) -> None:
    for path, body in (("codes", {"scopes": ["view"]}), ("open", {}), ("publish", {"origin": "https://evil.example"})):
        answer = browser.post(f"dashboard/{path}", **body)
        assert (answer.status, answer.code) == (403, "no_scope")


def test_a_code_for_nothing_is_none(browser: Browser) -> None:
    with browser.node.control() as opened:
        for scopes in ([], ["all"], "view", None):
            with pytest.raises(ControlError) as refused:
                opened.post("dashboard/codes", {"scopes": scopes})
            assert refused.value.code == "usage"
