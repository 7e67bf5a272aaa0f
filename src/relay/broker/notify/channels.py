"""What clients ask of channels: add one, list, test, remove, and what was told. No answer has an address in it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from dataclasses import replace
from typing import Any

from relay.broker.asked_before import conflict
from relay.broker.auditor import Auditor, Decision
from relay.broker.members import Members
from relay.broker.notify.browsers import is_browser
from relay.broker.notify.courier import Courier
from relay.broker.notify.entrusting import MAX_ADDRESS, MOST_OF_ONE, Entrusting
from relay.broker.notify.sending import Parcel
from relay.broker.notify.telling import Telling
from relay.broker.words import rfc3339
from relay.core import ids
from relay.core.errors import Code, Misuse
from relay.core.notices import END, MAX_LINK, NEEDS, is_rules, rules_from_content
from relay.core.push import SERVICE
from relay.core.vouchers import MAX_VIA
from relay.store import channels, deliveries, operations
from relay.store.channels import Channel, Entrusted
from relay.store.deliveries import Delivery, Told
from relay.store.journal import Entry, Journal

MOST_LISTED = 200
TEST_WITHIN_S = 50.0
UNWELL = ("refused", "failing")
_SERVICE = re.compile(r"([a-z][a-z0-9+.-]{0,31})://.")
_FORMS = "such as ntfys://ntfy.sh/TOPIC, slack://TOKENS, mailto://USER:PASSWORD@HOST or jsons://HOST/PATH"
HELP = "relay notify add --help"


class Channels:
    """Orders of this machine's clients about channels.

    Args:
        members: names.
        journal: where they become durable.
        auditor: the audit log.
        telling: writes tests.
        entrusting: gives channels to other brokers.
        courier: sends.
    """

    def __init__(
        self,
        members: Members,
        journal: Journal,
        auditor: Auditor,
        telling: Telling,
        entrusting: Entrusting,
        courier: Courier,
    ) -> None:
        self._members = members
        self._journal = journal
        self._auditor = auditor
        self._telling = telling
        self._entrusting = entrusting
        self._courier = courier

    # changing

    async def add(self, body: dict[str, Any], operation: str) -> dict[str, Any]:
        """`relay notify add`: kept, and given to the brokers that are to tell in this one's stead.

        Raises:
            Misuse: `bad_channel`, `name_in_use`, `unknown_broker` or `unknown_channel`.
        """
        address = _address(body)
        made = self._read(body, address)
        went = await self._courier.senders.send(Parcel(address))
        if not went.ok:
            raise _bad("the address cannot be used", went.error, f"an address of apprise, {_FORMS}")
        return await self._view(
            await self._journal.commit(lambda entry: self._add(entry, made, address, body, operation))
        )

    def _add(
        self, entry: Entry, made: Channel, address: str, body: dict[str, Any], operation: str
    ) -> Channel:
        known = operations.ANSWER.one(entry.tx, op=operation)
        if known is not None and (earlier := channels.BY_ID.one(entry.tx, id=str(known.get("channel")))):
            return earlier
        if known is not None:
            raise conflict()
        own = channels.OF_OWNER.all(entry.tx, owner=self._members.own)
        others = [each for each in own if not is_browser(each)]
        if any(each.name == made.name for each in others):
            hint = f"relay notify remove {made.name}, or choose another name"
            raise Misuse(f"there is a channel {made.name} already", code=Code.NAME_IN_USE, hint=hint)
        if len(others) >= MOST_OF_ONE:
            hint = "relay notify list, and remove one"
            raise Misuse("there are too many channels", code=Code.BAD_CHANNEL, why=f"at most {MOST_OF_ONE}", hint=hint)
        made = _standing_in(made, body.get("instead_of"), others)
        channels.put(entry.tx, made)
        self._entrusting.entrust(entry, made, address)
        operations.remember(entry.tx, operation, entry.now, {"channel": made.id})
        self._auditor.write(entry, Decision("this machine", "notify", detail=f"added {made.name} ({made.service})"))
        return made

    def _read(self, body: dict[str, Any], address: str) -> Channel:
        name, link, via = body.get("name"), body.get("link") or "", body.get("via") or []
        ids.require_name(str(name or ""), "a channel's name")
        rules = {"on": body.get("on") or [END, NEEDS], "by": [], "labels": [], "agents": [], "brokers": []}
        rules |= {key: body.get(key) or [] for key in ("by", "labels", "agents", "brokers")}
        if not is_rules(rules):
            why = "`on` is any of end, failure, needs and asked; the others are short texts, at most 32 of each"
            raise _bad("its rules cannot be used", why, HELP)
        rules["brokers"] = [self._members.resolve(each) for each in rules["brokers"]]
        if not isinstance(link, str) or len(link) > MAX_LINK or (link and not link.startswith(("http://", "https://"))):
            why = f"it is an http address of at most {MAX_LINK} letters, in which {{spawn}} stands for the id"
            raise _bad("its link cannot be used", why, "--link https://HOST/spawns/{spawn}")
        if not isinstance(via, list) or not all(isinstance(each, str) for each in via) or len(via) > MAX_VIA:
            raise _bad("its brokers cannot be used", f"they are at most {MAX_VIA} names", "--via vps")
        others = tuple(dict.fromkeys(self._members.resolve(each) for each in via))
        if self._members.own in others:
            raise _bad("this machine tells anyway", "--via names others, for when it sleeps", "--via ANOTHER")
        sealed, full = self._entrusting.sealed(address), bool(body.get("full"))
        made = ids.spawn_id(os.urandom(ids.SPAWN_ID_BYTES))
        service, now = address.partition("://")[0], self._journal.clock()
        own, read = self._members.own, rules_from_content(rules)
        return Channel(made, str(name), own, sealed, service, read, full, link, None, others, now)

    async def remove(self, ref: str) -> dict[str, Any]:
        """`relay notify remove`; also of one that another broker entrusted to this one.

        Raises:
            Misuse: `unknown_channel`, or `ambiguous`.
        """
        channel = await self._find(ref)
        view = await self._view(channel)

        def decide(entry: Entry) -> None:
            if channel.owner == self._members.own:
                self._entrusting.withdraw(entry, channel)
            channels.remove(entry.tx, channel.id)
            detail = f"removed {channel.name} ({channel.service})"
            self._auditor.write(entry, Decision("this machine", "notify", detail=detail))

        await self._journal.commit(decide)
        return view

    async def test(self, ref: str) -> dict[str, Any]:
        """`relay notify test`: sent now, and how that went.

        Raises:
            Misuse: `unknown_channel`, or `ambiguous`.
        """
        channel = await self._find(ref)
        event = await self._journal.commit(lambda entry: self._telling.trial(entry, channel))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TEST_WITHIN_S):
                await self._courier.until_over(event, channel.id)
        return self._told(await self._one(event, channel), {channel.id: channel})

    async def _one(self, event: str, channel: Channel) -> Delivery:
        found = await self._journal.store.one(deliveries.ONE, event=event, channel=channel.id)
        if found is None:
            raise Misuse(f"{channel.name} was removed meanwhile", code=Code.UNKNOWN_CHANNEL, hint="relay notify list")
        return found

    async def _find(self, ref: str) -> Channel:
        known = await self._journal.store.all(channels.ALL)
        own = [each for each in known if each.name == ref and each.owner == self._members.own]
        named = own or [each for each in known if each.name == ref]
        named = named or [each for each in known if len(ref) >= 4 and each.id.startswith(ref)]
        if len(named) == 1:
            return named[0]
        if named:
            listed = ", ".join(f"{each.id[:8]} of {self._members.name(each.owner)}" for each in named)
            raise Misuse(f"{ref[:80]!r} may be several", code=Code.AMBIGUOUS, why=listed, hint="name it by its id")
        raise Misuse(f"there is no channel {ref[:80]!r}", code=Code.UNKNOWN_CHANNEL, hint="relay notify list")

    # showing

    async def listing(self) -> list[dict[str, Any]]:
        """`relay notify list`."""
        return [await self._view(each) for each in await self._journal.store.all(channels.ALL)]

    async def sent(self, limit: int, spawn: str | None = None) -> list[dict[str, Any]]:
        """`relay notify sent`: what was told, is to be told, and how that went; newest first."""
        store = self._journal.store
        known = {each.id: each for each in await store.all(channels.ALL)}
        if spawn is not None:
            return [self._told(each, known) for each in await store.all(deliveries.OF_SPAWN, spawn=spawn)]
        return [self._told(each, known) for each in await store.all(deliveries.NEWEST, limit=min(limit, MOST_LISTED))]

    async def findings(self) -> list[dict[str, Any]]:
        """What `relay doctor` finds: each channel that fails, or was refused."""
        found = []
        for view in await self.listing():
            refused = [f"{each['name']}: {each['why']}" for each in view["via"] if each["state"] in UNWELL]
            trouble = "; ".join(filter(None, [view["trouble"], *refused]))
            detail = trouble or f"{view['service']}, {'it worked' if view['last'] else 'not used yet'}"
            hint = f"relay notify test {view['name']}" if view["trouble"] else "relay notify list" if refused else ""
            of = "" if view["owner"]["id"] == self._members.own else f" of {view['owner']['name']}"
            found.append({"name": f"notify {view['name']}{of}", "ok": not trouble, "detail": detail, "hint": hint})
        return found

    async def _view(self, channel: Channel) -> dict[str, Any]:
        store, own = self._journal.store, channel.owner == self._members.own
        said = {each.broker: each for each in await store.all(channels.ENTRUSTED) if each.channel == channel.id}
        last = await store.one(deliveries.LAST, channel=channel.id)
        instead = await store.one(channels.BY_ID, id=channel.instead_of) if channel.instead_of else None
        rules = channel.rules.to_content()
        return {
            "id": channel.id,
            "name": channel.name,
            "service": f"{channel.service}://…",
            "owner": self._members.label(channel.owner),
            "on": rules["on"],
            "only": {
                "by": rules["by"],
                "labels": rules["labels"],
                "agents": rules["agents"],
                "brokers": [self._members.label(each) for each in channel.rules.brokers],
            },
            "full": channel.full,
            "link": channel.link,
            "instead_of": instead.name if instead else None,
            "via": [self._via(each, said.get(each), own) for each in channel.via],
            "waiting": await store.one(deliveries.WAITING, channel=channel.id) or 0,
            "trouble": channel.trouble,
            "last": self._told(last, {channel.id: channel}) if last else None,
            "created": rfc3339(channel.created),
        }

    def _via(self, broker: ids.BrokerId, said: Entrusted | None, own: bool) -> dict[str, Any]:
        state = (said.state if said else "asked") if own else "accepted"
        return self._members.label(broker) | {"state": state, "why": said.why if said else ""}

    def _told(self, delivery: Delivery, known: dict[str, Channel]) -> dict[str, Any]:
        channel = known.get(delivery.channel)
        return {
            "event": delivery.event,
            "channel": channel.name if channel else None,
            "spawn": delivery.spawn or None,
            "happening": delivery.happening or None,
            "text": delivery.title,
            "state": str(delivery.state),
            "delivered": delivery.state in (Told.DELIVERED, Told.ELSEWHERE),
            "tries": delivery.tries,
            "error": delivery.error or None,
            "created": rfc3339(delivery.created),
            "next_try": rfc3339(delivery.due) if delivery.ended is None else None,
            "ended": rfc3339(delivery.ended),
            "told_by": self._members.label(delivery.told_by) if delivery.told_by else None,
        }


def _standing_in(made: Channel, instead_of: object, others: list[Channel]) -> Channel:
    if not instead_of:
        return made
    found = next((each for each in others if each.name == instead_of), None)
    if found is None:
        named = str(instead_of)[:80]
        raise Misuse(f"there is no channel {named!r}", code=Code.UNKNOWN_CHANNEL, hint="relay notify list")
    return replace(made, instead_of=found.id)


def _address(body: dict[str, Any]) -> str:
    address = body.get("address")
    text = address.strip() if isinstance(address, str) else ""
    if text.startswith(f"{SERVICE}://"):
        raise _bad("a browser asks by itself", "a page of the dashboard turns its notifications on", "relay dashboard")
    if len(text) > MAX_ADDRESS or not _SERVICE.match(text) or not text.isprintable():
        why = f"it is one line of at most {MAX_ADDRESS} letters, with a service in front of ://"
        raise _bad("the address cannot be used", why, f"an address of apprise, {_FORMS}")
    return text


def _bad(message: str, why: str, hint: str) -> Misuse:
    return Misuse(message, code=Code.BAD_CHANNEL, why=why, hint=hint)
