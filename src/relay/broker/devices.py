"""The devices that may open the dashboard: codes that make one, their tokens, and taking them away."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from relay.broker.auditor import ALLOWED, REFUSED, Auditor, Decision
from relay.broker.words import rfc3339
from relay.core.errors import Code, Misuse, Refused
from relay.core.pairing import SET_MS
from relay.core.scopes import in_order
from relay.store import devices
from relay.store.devices import Device
from relay.store.journal import Entry, Journal

CODE_MS = 120_000
CODE_BYTES = TOKEN_BYTES = 32
SHOWN = "shown."
"""How a code begins that stands where other users of this machine can read it."""
MOST_WRONG, WRONG_WITHIN_MS = 5, 60_000
MOST_TRIES = 64
USED_EVERY_MS = 60_000
MOST_LETTERS = 64
UNNAMED = "a browser"


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


def actor(device: Device) -> str:
    """What the audit log calls a device."""
    return f"device {device.id}"


class Devices:
    """Who may open the dashboard.

    Args:
        journal: writes, and tells the time.
        auditor: writes down who came and went.

    Attributes:
        on_revoked: takes away what a device has elsewhere, in the transaction that revokes it.
    """

    def __init__(self, journal: Journal, auditor: Auditor) -> None:
        self._journal = journal
        self._auditor = auditor
        self._live: dict[str, Device] = {}
        self._by_hash: dict[bytes, str] = {}
        self._watched: dict[str, set[asyncio.Event]] = {}
        # of other users apart: or any of them could keep this one out, five wrong codes a minute
        self._wrong: dict[bool, deque[int]] = {each: deque(maxlen=MOST_TRIES) for each in (False, True)}
        self.on_revoked: Callable[[Entry, Device], None] = lambda entry, device: None

    async def open(self) -> None:
        """Read those that there are."""
        for device in await self._journal.store.all(devices.LIVE):
            self._add(device)

    def _add(self, device: Device) -> None:
        self._live[device.id] = device
        self._by_hash[device.hash] = device.id

    def __len__(self) -> int:
        return len(self._live)

    # becoming one

    async def issue(self, scopes: tuple[str, ...], *, is_shown: bool = False) -> tuple[str, int]:
        """A code that makes one browser a device, once, within two minutes; and when it ends (milliseconds).

        Args:
            scopes: what the device may do.
            is_shown: whether it will stand in a command line; then it is good for this user alone (`exchange`).
        """
        code = (SHOWN if is_shown else "") + secrets.token_urlsafe(CODE_BYTES)

        def decide(entry: Entry) -> int:
            expires = entry.now + CODE_MS
            devices.keep_code(entry.tx, _hash(code), scopes, expires, entry.now)
            self._auditor.write(entry, Decision("local", "dashboard code", ALLOWED, "", " ".join(scopes)))
            return expires

        return code, await self._journal.commit(decide)

    async def exchange(
        self, code: str, name: str, is_another_user: Callable[[], bool] = lambda: False
    ) -> tuple[str, Device]:
        """Make the browser that shows a code a device: its token, and the device.

        Args:
            code: as `issue` gave it.
            name: what the device calls itself.
            is_another_user: whether another user of this machine shows it.

        Raises:
            Refused: `code_refused`: it is none, used, over, or another user's; `rate_limited`: too many were wrong
                before.
        """
        is_another = is_another_user()
        if code.startswith(SHOWN) and is_another:
            # neither looked at nor counted: its own user is on the way with it
            why = "it was made for a browser of the user whose broker this is"
            raise Refused("that code is another user's", code=Code.CODE_REFUSED, why=why, hint="relay dashboard")
        tried, wrong = self._journal.clock(), self._wrong[is_another]
        _require_patience(wrong, tried)
        # counted before it is judged: of many at once none is looked at for nothing
        wrong.append(tried)
        token, called = secrets.token_urlsafe(TOKEN_BYTES), _label(name)

        def decide(entry: Entry) -> Device | None:
            scopes = devices.take_code(entry.tx, _hash(code), entry.now, entry.now + CODE_MS + SET_MS)
            if scopes is None:
                self._auditor.write(entry, Decision("unknown", "dashboard code", REFUSED, str(Code.CODE_REFUSED)))
                return None
            made = Device(secrets.token_hex(8), _hash(token), called, in_order(scopes), entry.now)
            devices.insert(entry.tx, made)
            detail = f"{made.name}: {' '.join(made.scopes)}"
            self._auditor.write(entry, Decision(actor(made), "dashboard session", ALLOWED, "", detail))
            entry.then(lambda: self._add(made))
            return made

        made = await self._journal.commit(decide)
        if made is None:
            why = "it works once, for two minutes"
            raise Refused("that code is none", code=Code.CODE_REFUSED, why=why, hint="relay dashboard")
        wrong.remove(tried)
        return token, made

    # being one

    def of_token(self, token: str) -> Device | None:
        """The device that has this token; None where there is none."""
        found = self._by_hash.get(_hash(token))
        return None if found is None else self._live[found]

    async def note_use(self, device: Device) -> None:
        """It has asked for something; written down once a minute at most."""
        now = self._journal.clock()
        known = self._live.get(device.id)
        if known is None or (known.last_used is not None and 0 <= now - known.last_used < USED_EVERY_MS):
            return
        self._live[device.id] = replace(known, last_used=now)
        await self._journal.commit(lambda entry: devices.used(entry.tx, device.id, now))

    @contextlib.contextmanager
    def watching(self, device: Device) -> Iterator[asyncio.Event]:
        """An event that is set once the device is revoked, for as long as the block lasts."""
        gone = asyncio.Event()
        self._watched.setdefault(device.id, set()).add(gone)
        if device.id not in self._live:
            gone.set()
        try:
            yield gone
        finally:
            watching = self._watched[device.id]
            watching.discard(gone)
            if not watching:
                del self._watched[device.id]

    # looking, and taking away

    def listing(self) -> list[dict[str, Any]]:
        """`relay dashboard devices list`."""
        return [shown(device) for device in self._live.values()]

    async def revoke(self, text: str) -> Device:
        """Take the token of a device away: what it has open ends at once.

        Args:
            text: its id, the beginning of it, or its name.

        Raises:
            Misuse: it names none or several.
        """
        device = self._found(text)

        def decide(entry: Entry) -> None:
            devices.revoke(entry.tx, device.id, entry.now)
            self.on_revoked(entry, device)
            detail = f"{actor(device)} {device.name}"
            self._auditor.write(entry, Decision("local", "dashboard revoke", ALLOWED, "", detail))
            entry.then(lambda: self._remove(device))

        await self._journal.commit(decide)
        return device

    def _remove(self, device: Device) -> None:
        self._live.pop(device.id, None)
        self._by_hash.pop(device.hash, None)
        for gone in self._watched.get(device.id, ()):
            gone.set()

    def _found(self, text: str) -> Device:
        if text in self._live:
            return self._live[text]
        meant = [each for each in self._live.values() if text and (each.id.startswith(text) or each.name == text)]
        hint = "relay dashboard devices list"
        if not meant:
            raise Misuse(f"there is no device {text[:80]!r}", code=Code.UNKNOWN_DEVICE, hint=hint)
        if len(meant) > 1:
            why = f"candidates: {', '.join(f'{each.name} ({each.id})' for each in meant)}"
            raise Misuse(f"{text[:80]!r} names more than one device", code=Code.AMBIGUOUS, why=why, hint=hint)
        return meant[0]


def _require_patience(wrong: Iterable[int], now: int) -> None:
    if sum(now - WRONG_WITHIN_MS < at <= now for at in wrong) >= MOST_WRONG:  # a later one is a clock's that was ahead
        why = f"{MOST_WRONG} codes were wrong within a minute"
        raise Refused("no code is looked at now", code=Code.RATE_LIMITED, why=why, hint="try again in a minute")


def _label(name: str) -> str:
    """A device's name for lists: one line of printable text."""
    plain = "".join(letter if letter.isprintable() else " " for letter in name)
    return " ".join(plain.split())[:MOST_LETTERS] or UNNAMED


def fingerprint(device: Device) -> str:
    """Eight digits of its token's hash, to be told apart from others by eye."""
    text = device.hash.hex()[:8]
    return f"{text[:4]}-{text[4:]}"


def shown(device: Device) -> dict[str, Any]:
    """A device as clients see it."""
    return {
        "id": device.id,
        "name": device.name,
        "scopes": list(device.scopes),
        "created": rfc3339(device.created),
        "last_used": rfc3339(device.last_used),
        "fingerprint": fingerprint(device),
    }
