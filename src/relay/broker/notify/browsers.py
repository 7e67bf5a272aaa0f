"""Browsers that asked to be told by Web Push: each is a channel of its own, which goes with the device."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from relay.api.home import Home
from relay.broker.auditor import Auditor, Decision
from relay.broker.devices import actor
from relay.broker.members import Members
from relay.broker.notify.entrusting import Entrusting
from relay.core import ids
from relay.core.errors import Code, Misuse
from relay.core.notices import END, NEEDS, Rules
from relay.core.push import SERVICE, Subscription, is_allowed, subscription_of, text_of
from relay.store import channels
from relay.store.channels import Channel
from relay.store.devices import Device
from relay.store.journal import Entry, Journal
from relay.store.query import Tx
from relay.trust.push_key import load_or_make, public_of

MOST_BROWSERS = 32
NAME = "push-"


def is_browser(channel: Channel) -> bool:
    """Whether a channel is a browser's own."""
    return channel.service == SERVICE


class Browsers:
    """Tells devices of the dashboard by Web Push, where they asked for it.

    Args:
        home: where this broker's key for it is.
        members: this broker.
        journal: where a channel becomes durable.
        auditor: the audit log.
        entrusting: seals addresses.
        further: origins of services beside the known ones.
    """

    def __init__(
        self,
        home: Home,
        members: Members,
        journal: Journal,
        auditor: Auditor,
        entrusting: Entrusting,
        further: tuple[str, ...],
    ) -> None:
        self._home = home
        self._members = members
        self._journal = journal
        self._auditor = auditor
        self._entrusting = entrusting
        self._further = further

    async def shown(self, device: Device) -> dict[str, Any]:
        """Whether a device is told, and this broker's public key, which it has to name to the service.

        Raises:
            LocalFault: `bad_key_file`.
        """
        known = await self._journal.store.all(channels.OF_OWNER, owner=self._members.own)
        own = next((each for each in known if _is_of(each, device)), None)
        return {"key": text_of(self._public()), "on": own is not None, "trouble": own.trouble if own else None}

    def _public(self) -> bytes:
        return public_of(load_or_make(Path(self._home.push_key)))

    async def add(self, device: Device, body: dict[str, Any]) -> dict[str, Any]:
        """Tell a device from now on, by the service that it names.

        Raises:
            Misuse: `bad_channel`; also where the service is none of the known ones.
        """
        told = subscription_of(body.get("endpoint"), body.get("key"), body.get("auth"))
        if told is None:
            why = "a subscription is an endpoint, a key of 65 bytes and a secret of 16"
            raise Misuse("that is no subscription", code=Code.BAD_CHANNEL, why=why, hint="relay notify add NAME")
        self._require_known(told)
        await self._journal.commit(lambda entry: self._add(entry, device, told, bool(body.get("full"))))
        return await self.shown(device)

    def _require_known(self, told: Subscription) -> None:
        if not is_allowed(told.endpoint, self._further):
            raise Misuse(
                "messages are sent to the known push services alone",
                code=Code.BAD_CHANNEL,
                why="the browser named another one",
                hint="relay config set dashboard.push_hosts https://HOST, and restart the broker",
            )

    def _add(self, entry: Entry, device: Device, told: Subscription, full: bool) -> None:
        own = [each for each in channels.OF_OWNER.all(entry.tx, owner=self._members.own) if is_browser(each)]
        if len([each for each in own if not _is_of(each, device)]) >= MOST_BROWSERS:
            why = f"at most {MOST_BROWSERS} browsers are told"
            raise Misuse("there are too many", code=Code.BAD_CHANNEL, why=why, hint="relay notify list, and remove one")
        self._remove(entry.tx, device)
        made = ids.spawn_id(os.urandom(ids.SPAWN_ID_BYTES))
        sealed, rules = self._entrusting.sealed(told.address), Rules((END, NEEDS))
        name, owner = f"{NAME}{device.id}", self._members.own
        channels.put(entry.tx, Channel(made, name, owner, sealed, SERVICE, rules, full, "", None, (), entry.now))
        self._auditor.write(entry, Decision(actor(device), "notify", detail=f"added {name} ({SERVICE})"))

    async def remove(self, device: Device) -> dict[str, Any]:
        """Tell a device no more."""
        await self._journal.commit(lambda entry: self.gone(entry, device))
        return await self.shown(device)

    def gone(self, entry: Entry, device: Device) -> None:
        """A device is told no more, or is none any more."""
        if self._remove(entry.tx, device):
            self._auditor.write(entry, Decision(actor(device), "notify", detail=f"removed {NAME}{device.id}"))

    def is_gone(self, entry: Entry, channel: Channel) -> None:
        """A browser's service says that it takes no more."""
        channels.remove(entry.tx, channel.id)
        detail = f"removed {channel.name} ({channel.service}): it is gone"
        self._auditor.write(entry, Decision("this machine", "notify", detail=detail))

    def _remove(self, tx: Tx, device: Device) -> bool:
        own = [each for each in channels.OF_OWNER.all(tx, owner=self._members.own) if _is_of(each, device)]
        for each in own:
            channels.remove(tx, each.id)
        return bool(own)


def _is_of(channel: Channel, device: Device) -> bool:
    return is_browser(channel) and channel.name == f"{NAME}{device.id}"
