"""trust.toml changed for a client: what `relay trust allow` and `relay trust revoke` do, by the same words."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from relay.api import durations
from relay.broker.asked_before import conflict
from relay.core import ids
from relay.core.allowlist import NEVER, Change
from relay.core.errors import Code, Misuse
from relay.core.ids import BrokerId
from relay.store import operations
from relay.store.journal import Entry
from relay.trust import granting, grants

if TYPE_CHECKING:
    from relay.broker.broker import Broker

ENDLESS = "never"
HINT = "relay trust allow --help"
_LISTS, _TEXTS = ("verbs", "agents", "dirs", "hours"), ("profile", "mode", "expires", "rate")


class Granting:
    """Edits trust.toml.

    Args:
        broker: whose.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._path = broker.grants.path

    def listing(self) -> list[dict[str, Any]]:
        """`relay trust list`.

        Raises:
            LocalFault: `bad_trust_file`.
        """
        return [granting.shown(grant, self._called(each)) for each, grant in self._broker.grants.all().items()]

    async def allow(self, text: str, body: dict[str, Any], operation: str) -> dict[str, Any]:
        """`relay trust allow`.

        Args:
            text: a member, or a full id.
            body: the words, as the command's options are called.
            operation: of the request; the same one acts once.

        Raises:
            Misuse: it names nobody, or that is no change.
            LocalFault: the file is broken or cannot be written.
        """
        broker, change = self._meant(text), _change(body, self._broker.journal.clock())
        if (before := await self._answered(operation, broker, "verbs")) is not None:
            return before
        hint = f"relay trust allow {self._called(broker) or broker} --profile runner --dir FOLDER"
        granting.require_something(self._broker.grants.all(), [broker], change, hint)
        member = self._broker.members.roster.members.get(broker)
        grant = await asyncio.to_thread(grants.allow, self._path, broker, member.name if member else "", change)
        await self._broker.grants_changed()
        return await self._remember(operation, granting.shown(grant, self._called(broker)))

    async def revoke(self, text: str, operation: str) -> dict[str, Any]:
        """`relay trust revoke`; arguments and errors as for `allow`."""
        broker = self._meant(text)
        if (before := await self._answered(operation, broker, "revoked")) is not None:
            return before
        had = await asyncio.to_thread(grants.revoke, self._path, broker)
        if had:
            await self._broker.grants_changed()
        answer = {"broker": {"id": broker, "name": self._called(broker)}, "revoked": had}
        return await self._remember(operation, answer)

    def _meant(self, text: str) -> BrokerId:
        try:
            return self._broker.members.resolve(text)
        except Misuse as fault:
            if fault.code is not Code.UNKNOWN_BROKER:
                raise
            try:
                return ids.parse_broker_id(text)
            except Misuse:
                raise fault from None

    def _called(self, broker: BrokerId) -> str:
        members = self._broker.members
        return members.name(broker) if broker == members.own or broker in members.roster.members else ""

    async def _answered(self, operation: str, broker: BrokerId, says: str) -> dict[str, Any] | None:
        """What this operation did to this broker's grant before: a document that has `says`."""
        found: dict[str, Any] | None = await self._broker.store.one(operations.ANSWER, op=operation)
        if found is not None and (says not in found or found["broker"]["id"] != broker):
            raise conflict()
        return found

    async def _remember(self, operation: str, answer: dict[str, Any]) -> dict[str, Any]:
        def decide(entry: Entry) -> None:
            if operations.ANSWER.one(entry.tx, op=operation) is None:
                operations.remember(entry.tx, operation, entry.now, answer)

        await self._broker.journal.commit(decide)
        return answer


def _change(body: dict[str, Any], now: int) -> Change:
    lists = {key: _list(body, key) for key in _LISTS}
    texts = {key: _text(body, key) for key in _TEXTS}
    typed = Change(
        verbs=lists["verbs"],
        agents=lists["agents"],
        dirs=tuple(map(granting.real_directory, lists["dirs"])),
        mode=texts["mode"],
        max_parallel=_checked(body, "max_parallel", int, "a whole number"),
        ask=_checked(body, "ask", bool, "true or false"),
        expires=_expiry(texts["expires"], now),
        rate=granting.rate(texts["rate"]),
        hours=granting.hours(lists["hours"]),
    )
    return granting.with_profile(texts["profile"], typed)


def _expiry(text: str | None, now: int) -> int | None:
    if text is None:
        return None
    return NEVER if text == ENDLESS else now + int(durations.parse(text) * 1000)


def _list(body: dict[str, Any], key: str) -> tuple[str, ...]:
    value = body.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, str) and "\0" not in each for each in value):
        raise _unusable(key, "a list of texts")
    return tuple(value)


def _text(body: dict[str, Any], key: str) -> str | None:
    return _checked(body, key, str, "a text")  # type: ignore[no-any-return]


def _checked(body: dict[str, Any], key: str, kind: type, what: str) -> Any:
    value = body.get(key)
    if value is not None and type(value) is not kind:
        raise _unusable(key, what)
    return value


def _unusable(key: str, what: str) -> Misuse:
    return Misuse("that cannot be granted", why=f"{key} is {what}", hint=HINT)
