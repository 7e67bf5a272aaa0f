"""Many members in one process, each with one real link to the same broker and nothing else.

    python bench/crowd.py --home DIR --address HOST:PORT --first N --count N

DIR is the home of the broker they link with: its workspace and roster are read there. A member's keys follow from its
number, so that the processes that admit it and play it agree. They stay until the standard input ends.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import hashlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from relay.api.home import Home
from relay.broker.greeting import Greeter, fresh_incarnation
from relay.broker.host import Load
from relay.broker.link import Link
from relay.broker.members import Members
from relay.broker.websocket import dial
from relay.core.hello import AuditHead
from relay.core.ids import BrokerId
from relay.core.roster import Roster
from relay.trust.founding import present_roster, read_statements, write_roster
from relay.trust.identity import Identity, load_identity
from relay.trust.roster import admit, member_of
from relay.trust.tls import link_client_context
from relay.trust.workspace import Workspace, load_workspace

AT_ONCE = 16
_NO_AUDIT = AuditHead(0, bytes(32))


def member(number: int) -> Identity:
    """The keys of one of them."""
    signing, sealing = (hashlib.sha256(f"{what}-{number}".encode()).digest() for what in ("signing", "sealing"))
    return Identity.create(signing, sealing)


def admit_all(home: Home, count: int) -> None:
    """Put so many into the roster of a home whose broker is not running."""
    root, workspace = load_identity(Path(home.identity_key)), load_workspace(Path(home.workspace_key))
    roster, raws, now = _roster(home), read_statements(home), time.time_ns() // 1_000_000
    for number in range(count):
        statement = admit(root, workspace, roster, member_of(member(number), f"member-{number}", now), now)
        raws.append(statement.raw)
        # not folded anew for each: that is quadratic, and this chain is known to be straight
        seat = dataclasses.replace(roster.seats[0], seq=roster.seq + 1, tip=statement.hash)
        roster = dataclasses.replace(roster, seats=(seat,))
    write_roster(home, raws, {})


def _roster(home: Home) -> Roster:
    found = present_roster(home)
    assert found is not None
    return found


class _Idle:
    """The mesh around a link that has nothing to send and takes everything in."""

    def settle(self, link: Link) -> bool:
        return True

    async def take(self, peer: BrokerId, envelopes: Sequence[bytes]) -> list[bytes]:
        return []

    async def keep(self, peer: BrokerId, envelopes: Sequence[bytes]) -> list[tuple[bytes, str]]:
        return []

    def pass_on(self, peer: BrokerId, envelopes: Sequence[bytes]) -> None:
        pass

    def hear(self, peer: BrokerId, pieces: Sequence[bytes]) -> None:
        pass

    def answered(self, peer: BrokerId, answers: Sequence[tuple[bytes, str]]) -> None:
        pass

    def forget(self, peer: BrokerId, envelopes: Sequence[bytes]) -> None:
        pass

    def loads(self, peer: BrokerId) -> Sequence[Load]:
        return ()


async def _linked(number: int, workspace: Workspace, roster: Roster, address: str) -> tuple[Link, asyncio.Task[None]]:
    identity = member(number)
    greeter = Greeter(
        identity,
        fresh_incarnation(1),
        Members(identity.id, f"member-{number}", roster),
        audit_head=lambda: _NO_AUDIT,
        addresses=lambda: (),
        always_on=False,
        clock=lambda: time.time_ns() // 1_000_000,
    )
    link = Link(await dial(address, workspace.root, link_client_context(workspace, identity)), greeter, _Idle())
    return link, asyncio.get_running_loop().create_task(link.run())


async def _be(home: Home, address: str, numbers: range) -> None:
    workspace, roster = load_workspace(Path(home.workspace_key)), _roster(home)
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> tuple[Link, asyncio.Task[None]]:
        async with gate:
            return await _linked(number, workspace, roster, address)

    links = await asyncio.gather(*map(one, numbers))
    await asyncio.to_thread(sys.stdin.read)
    for link, _ in links:
        link.close("down")
    await asyncio.gather(*(running for _, running in links), return_exceptions=True)


def main() -> None:
    """Be them until the standard input ends."""
    parser = argparse.ArgumentParser(prog="crowd.py")
    parser.add_argument("--home", required=True)
    parser.add_argument("--address", required=True)
    parser.add_argument("--first", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    chosen = parser.parse_args()
    asyncio.run(_be(Home(chosen.home), chosen.address, range(chosen.first, chosen.first + chosen.count)))


if __name__ == "__main__":
    main()
