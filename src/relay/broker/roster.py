"""The roster at work: kept in the store, folded, written out for people."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from relay.broker.members import Members
from relay.core.errors import PeerFault
from relay.core.ids import BrokerId
from relay.core.pairing import PeerRecord
from relay.core.roster import Roster, Statement, StatementKind, fold
from relay.core.statement_book import StatementBook
from relay.store import peers, statements
from relay.store.journal import Entry, Journal
from relay.store.peers import Peer
from relay.store.statements import StatementRow
from relay.trust.founding import HomeFiles, write_roster
from relay.trust.roster import verify_statement
from relay.trust.workspace import Workspace

_log = logging.getLogger(__name__)


class RosterKeeper:
    """Keeps the statements and what they add up to.

    Args:
        workspace: whose root signs.
        members: the fold in use.
        journal: where statements are kept.
        home: where roster.json is written.

    Attributes:
        book: every statement that is kept.
        has_gap: statements are here that follow one that is not.
        signing: held by whoever signs a statement here: two that follow one roster would fork its chain.
    """

    def __init__(self, workspace: Workspace, members: Members, journal: Journal, home: HomeFiles) -> None:
        self._workspace = workspace
        self._members = members
        self._journal = journal
        self._home = home
        self._on_change: list[Callable[[Roster, Roster], None]] = []
        self._news: list[bytes] = []
        self._put_out: set[BrokerId] = set()
        self.signing = asyncio.Lock()
        self.book = StatementBook()
        self.has_gap = False

    async def load(self) -> None:
        """Take in what was kept over a restart."""
        rows = await self._journal.store.all(statements.ALL)
        self._file(rows)
        self.has_gap = _has_gap(rows, self._members.roster)

    def _file(self, rows: Iterable[StatementRow]) -> None:
        for row in rows:
            self.book.put(row.hash, row.seq, row.bytes)

    def connect(self, on_change: Callable[[Roster, Roster], None]) -> None:
        """Say who hears of a changed roster: with the one before and the one after."""
        self._on_change.append(on_change)

    async def raws(self) -> list[bytes]:
        """Every statement's bytes."""
        return [row.bytes for row in await self._journal.store.all(statements.ALL)]

    def add(self, entry: Entry, new: Iterable[Statement]) -> bool:
        """Keep statements in this transaction; the members follow after the commit. Whether any was new."""
        added = [statement for statement in new if statements.add(entry.tx, _row(statement))]
        if added:
            rows = statements.ALL.all(entry.tx)
            after = fold(self._workspace.root_public, (verify_statement(self._workspace, row.bytes) for row in rows))
            self._keep_peers(entry, after)
            has_gap = _has_gap(rows, after)
            put_out = {each.subject for each in added if each.kind is StatementKind.EVICT}
            entry.then(lambda: self._use(after, list(map(_row, added)), put_out, has_gap))
        return bool(added)

    def _keep_peers(self, entry: Entry, roster: Roster) -> None:
        for member in roster.members.values():
            if peers.BY_ID.one(entry.tx, id=member.id) is None:
                peers.upsert(entry.tx, Peer(member.id, member.public, member.sealing_public, member.name))

    def _use(self, after: Roster, news: list[StatementRow], put_out: set[BrokerId], has_gap: bool) -> None:
        before = self._members.roster
        self._file(news)
        self._news += [row.bytes for row in news]
        self._put_out |= put_out
        self.has_gap = has_gap
        self._members.replace(after)
        for told in self._on_change:
            told(before, after)

    async def heard(self, raws: Iterable[bytes]) -> bool:
        """Take in statements that a peer sent; whether any was new.

        Raises:
            PeerFault: one is not the root's word.
        """
        new = [verify_statement(self._workspace, raw) for raw in raws if not self.book.has(raw)]
        return bool(new) and await self._journal.commit(lambda entry: self.add(entry, new))

    def take_news(self) -> list[bytes]:
        """What was kept since this was last asked; nobody else is told of it again."""
        news, self._news = self._news, []
        return news

    def take_put_out(self) -> set[BrokerId]:
        """Whom the evictions kept since this was last asked are about; some may have been admitted again since."""
        found, self._put_out = self._put_out, set()
        return found

    async def write_out(self) -> None:
        """Write roster.json."""
        found = {peer.id: peer for peer in await self._journal.store.all(peers.ALL)}
        members = {
            member.id: (member.name, tuple(found[member.id].addresses) if member.id in found else ())
            for member in self._members.roster.members.values()
        }
        write_roster(self._home, await self.raws(), members, self._members.aliases)

    async def records(self) -> list[PeerRecord]:
        """Where members were last known to listen."""
        found = await self._journal.store.all(peers.ALL)
        return [PeerRecord(peer.id, tuple(peer.addresses)) for peer in found if peer.addresses]


def _row(statement: Statement) -> StatementRow:
    return StatementRow(statement.hash, statement.signer, statement.seq, statement.raw)


def _has_gap(rows: Sequence[StatementRow], roster: Roster) -> bool:
    return len(rows) > roster.seq and not roster.forked


def read_fold(workspace: Workspace, rows: Iterable[StatementRow]) -> Roster:
    """The fold of stored statements; those of another workspace are passed over."""
    found = []
    for row in rows:
        try:
            found.append(verify_statement(workspace, row.bytes))
        except PeerFault as fault:
            _log.warning("a stored roster statement is passed over: %s", fault.why)
    return fold(workspace.root_public, found)
