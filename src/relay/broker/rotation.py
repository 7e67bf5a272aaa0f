"""Epochs at work: a new one is begun, given to members that come with a former one, and taken from who has it.

Whoever has an epoch gives it, and those before it, to each member that comes with a former one, at each meeting,
until it comes with the present one. The key file is written before anything else is; a broker that finds a newer epoch
in it starts with that, so that a crash anywhere leaves either the one or the other.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from relay.broker.asked_before import conflict
from relay.broker.auditor import Auditor, Decision
from relay.broker.inbox import Act, Opened, Pointless
from relay.broker.link import Link
from relay.broker.members import Members
from relay.broker.postbox import SealingPostbox
from relay.broker.roster import RosterKeeper
from relay.broker.signer import require_root
from relay.broker.words import rfc3339
from relay.core import ids
from relay.core.epochs import checked_epochs
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.store import meta, operations
from relay.store.journal import Entry, Journal
from relay.trust.epochs import content_of, merged, rotated, seq_of, verify_rotation
from relay.trust.identity import Identity
from relay.trust.roster import evict
from relay.trust.tls import server_name
from relay.trust.workspace import Workspace, save_workspace

HAS_KEY = "epoch.has"
LINGER_S = 10.0  # what was given is taken in by then; else it is given again at the next meeting
_log = logging.getLogger(__name__)


class Rotation:
    """Answers `relay workspace show` and `rotate`, and gives and takes epochs.

    Args:
        identity: this broker.
        workspace: as this broker was started with it.
        key_file: workspace.key.
        members: who gets an epoch.
        keeper: held while something is signed.
        journal: where a rotation is written down.
        auditor: the audit log.
        postbox: seals what is given.
        start_anew: has the broker begin again, with what workspace.key says then.
    """

    def __init__(
        self,
        identity: Identity,
        workspace: Workspace,
        key_file: Path,
        members: Members,
        keeper: RosterKeeper,
        journal: Journal,
        auditor: Auditor,
        postbox: SealingPostbox,
        start_anew: Callable[[], None],
    ) -> None:
        self._identity = identity
        self._workspace = workspace
        self._key_file = key_file
        self._members = members
        self._keeper = keeper
        self._journal = journal
        self._auditor = auditor
        self._postbox = postbox
        self._start_anew = start_anew
        self._tag = server_name(workspace)
        self._has: set[BrokerId] = set()
        self._work: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Know which members were seen in the present epoch."""
        kept = json.loads(await self._journal.store.one(meta.VALUE, key=HAS_KEY) or "{}")
        if kept.get("epoch") == self._tag:
            self._has = {BrokerId(each) for each in kept["members"]}

    @property
    def acts(self) -> dict[Kind, Act]:
        """By kind."""
        return {Kind.EPOCH: self._given}

    # beginning one

    async def rotate(self, operation: str) -> dict[str, Any]:
        """Begin a new epoch; its key is durable here when this returns, and the broker starts anew with it.

        Args:
            operation: the client's; a retry after a lost answer gets the same answer.

        Raises:
            Refused: this broker signs no roster.
            LocalFault: the key file or the store cannot be written.
        """
        what, command = "change the workspace's key", "relay workspace rotate"
        require_root(self._members, what, command)
        async with self._keeper.signing:
            known: dict[str, Any] | None = await self._journal.store.one(operations.ANSWER, op=operation)
            if known is None:
                await self._take_over_evictions()
                known = await self._begin(operation)
            elif "waiting_for" not in known:
                raise conflict()
        self._start_anew()
        return known

    async def _take_over_evictions(self) -> None:
        """Put out once more, by the root's own word, whom other signers have put out.

        A rotation says how many of the root's statements one has to know to give its key to others: so that number
        says of everybody that is left out.
        """
        for broker in list(self._members.roster.evicted):
            roster = self._members.roster
            if roster.rulings[broker].get(0, b"-") in roster.evicted[broker]:
                continue
            made = evict(self._identity, self._workspace, roster, broker, self._journal.clock(), "a new epoch begins")
            await self._journal.commit(partial(self._keeper.add_own, made=made))

    async def _begin(self, operation: str) -> dict[str, Any]:
        now, roster = self._journal.clock(), self._members.roster
        made = rotated(self._workspace, self._identity, os.urandom(32), roster.seq, now)
        await asyncio.to_thread(save_workspace, self._key_file, made)
        self._workspace = made
        named = {"id": made.id, "name": made.name, "epoch": made.epoch}
        others = [self._members.label(each.id) for each in self._members.others]
        answer = {"workspace": named, "at": rfc3339(now), "waiting_for": others}

        def decide(entry: Entry) -> None:
            operations.remember(entry.tx, operation, entry.now, answer)
            self._auditor.write(entry, Decision("local", "rotate", detail=f"epoch {made.epoch} begins"))

        await self._journal.commit(decide)
        return answer

    # giving it

    def meet(self, link: Link) -> None:
        """A member came with a former epoch: it gets the present one, and comes again."""
        if self._members.roster.seq < seq_of(self._workspace):
            # it may be one that was put out before the rotation, of which this broker has not heard yet
            link.close("this broker has not heard yet who belongs to the present epoch")
            return
        raw = self._postbox.seal_live(link.peer, Kind.EPOCH, content_of(self._workspace), self._journal.clock())
        if raw is None or not link.send_live(raw):
            link.close("this epoch is over")
            return
        _log.info("%s came with a former epoch and gets epoch %d", self._members.name(link.peer), self._workspace.epoch)
        asyncio.get_running_loop().call_later(LINGER_S, link.close, "this epoch is over")

    # taking it

    def _given(self, entry: Entry, each: Opened) -> None:
        present = self._workspace
        after = merged(present, checked_epochs(each.body.content["epochs"]))
        if after == present:
            raise Pointless
        # before the commit, and so before the receipt: what was receipted is on disk
        save_workspace(self._key_file, after)
        self._workspace = after
        if server_name(after) == self._tag:
            return
        name = self._members.name(each.header.origin)
        said = f"epoch {after.epoch} begins, by {name}"
        self._auditor.write(entry, Decision(each.header.origin, "rotate", detail=said))
        entry.then(self._start_anew)

    # who has it

    def linked(self, peer: BrokerId) -> None:
        """A member came with the present epoch."""
        if peer in self._has or self._workspace.epoch == 1:
            return
        self._has.add(peer)
        kept = json.dumps({"epoch": self._tag, "members": sorted(self._has)})
        task = asyncio.get_running_loop().create_task(self._note(kept))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _note(self, kept: str) -> None:
        await self._journal.commit(lambda entry: meta.put(entry.tx, HAS_KEY, kept))

    def show(self) -> dict[str, Any]:
        """What this broker knows of the workspace and its epochs; no key."""
        space = self._workspace
        word = verify_rotation(space, space.rotation) if space.rotation else None
        others = [each.id for each in self._members.others]
        signers = self._members.roster.signers
        behind = [each for each in others if each not in self._has] if space.epoch > 1 else []
        return {
            "id": space.id,
            "name": space.name,
            "epoch": space.epoch,
            "since": rfc3339(word.at) if word else None,
            "by": self._members.label(word.signer) if word else None,
            "root": self._members.label(space.root),
            "signers": [self._members.label(each) for each in signers],
            "may_sign": self._identity.id in signers,
            "members": 1 + len(others),
            "former": [each.epoch for each in space.former],
            "not_seen_in_it": [self._members.label(each) for each in behind],
            "fingerprint": ids.grouped(space.root),
        }

    async def close(self) -> None:
        """Finish what is under way."""
        await asyncio.gather(*self._work, return_exceptions=True)
