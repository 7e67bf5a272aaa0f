"""The roster at work: kept in the store, folded, written out for people."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from relay.broker.members import Members
from relay.core.errors import Code, PeerFault, Refused
from relay.core.ids import BrokerId
from relay.core.pairing import PeerRecord
from relay.core.roster import Roster
from relay.core.roster_intake import NO_LEVEL, Taken, put_out, take
from relay.core.statement_book import StatementBook
from relay.core.statements import Statement
from relay.store import peers, statements
from relay.store.journal import Entry, Journal
from relay.store.peers import Peer
from relay.store.statements import StatementRow
from relay.trust.founding import HomeFiles, write_roster
from relay.trust.roster import keys_of, verify_statements
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
        has_gap: the last that was heard had statements that follow one that is not here.
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
        self._verified: dict[bytes, Statement] = {}
        self._keys: dict[BrokerId, bytes] = {}
        # the newest fold, with what it is of: right for that whatever becomes of the transaction
        self._folded: Taken | None = None
        self.signing = asyncio.Lock()
        self.book = StatementBook()
        self.has_gap = False

    async def load(self, read: Iterable[Statement] = ()) -> None:
        """Take in what was kept over a restart.

        Args:
            read: what of it was verified already.
        """
        self._verified = {each.raw: each for each in read}
        rows = await self._journal.store.all(statements.ALL)
        taken = self._folded = take(self._workspace.root_public, [], self._read(rows))
        self._keys |= keys_of(taken.added)
        self._file(rows, taken)

    def _file(self, rows: Iterable[StatementRow], taken: Taken) -> None:
        for row in rows:
            self.book.put(row.hash, row.seq, row.bytes, taken.levels.get(row.hash, NO_LEVEL))

    def _read(self, rows: Sequence[StatementRow]) -> list[Statement]:
        """What rows of the store say; each is verified once."""
        known = [self._verified[row.bytes] for row in rows if row.bytes in self._verified]
        if len(known) == len(rows):
            return known
        new = (row.bytes for row in rows if row.bytes not in self._verified)
        read, _ = verify_statements(self._workspace, new, keys_of(known), pass_over)
        self._verified |= {each.raw: each for each in read}
        return [*known, *read]

    def connect(self, on_change: Callable[[Roster, Roster], None]) -> None:
        """Say who hears of a changed roster: with the one before and the one after."""
        self._on_change.append(on_change)

    async def raws(self) -> list[bytes]:
        """Every statement's bytes."""
        return [row.bytes for row in await self._journal.store.all(statements.ALL)]

    async def held(self) -> list[Statement]:
        """Every statement."""
        return self._read(await self._journal.store.all(statements.ALL))

    def add(self, entry: Entry, new: Iterable[Statement]) -> Taken:
        """Keep statements in this transaction; the members follow after the commit.

        Returns:
            What came of them: not all have to be kept.
        """
        held = self._read(statements.ALL.all(entry.tx))
        taken = self._folded = take(self._workspace.root_public, held, new, self._folded)
        rows = [_row(statement) for statement in taken.added]
        if rows:
            for row in rows:
                statements.add(entry.tx, row)
            self._keep_peers(entry, taken.roster)
            entry.then(lambda: self._use(taken, rows))
        return taken

    def add_own(self, entry: Entry, made: Statement) -> None:
        """Keep a statement that was signed here, in this transaction.

        Raises:
            Refused: it would not count: this broker's right to sign has just been taken back.
        """
        counted = self.add(entry, [made]).counted
        if made not in counted:
            raise Refused(
                "the roster has just changed",
                code=Code.NOT_A_SIGNER,
                why="what this broker has signed does not count by what it has heard meanwhile",
                hint="relay brokers --roster; then the same command again",
            )

    def _keep_peers(self, entry: Entry, roster: Roster) -> None:
        known = set(peers.IDS.all(entry.tx))
        for member in roster.members.values():
            if member.id not in known:
                peers.upsert(entry.tx, Peer(member.id, member.public, member.sealing_public, member.name))

    def _use(self, taken: Taken, rows: list[StatementRow]) -> None:
        before, after = self._members.roster, taken.roster
        self._verified |= {each.raw: each for each in taken.added}
        self._keys |= keys_of(taken.added)
        self._file(rows, taken)
        self._news += [row.bytes for row in rows]
        self._put_out |= put_out(taken)
        # whoever is gone because its admission counts no more loses its grant as well
        self._put_out |= set(before.members) - set(after.members)
        self._members.replace(after)
        for told in self._on_change:
            told(before, after)

    async def heard(self, raws: Iterable[bytes]) -> bool:
        """Take in statements that a peer sent; whether any was new.

        Those whose signer is not known here are passed over: what promotes it comes first, where it is sent in order.

        Raises:
            PeerFault: one is forged, or no statement of this workspace.
        """
        unheard = [raw for raw in raws if not self.book.has(raw)]
        new, unknown = verify_statements(self._workspace, unheard, self._keys)
        if unknown:
            _log.warning("%d roster statements are passed over: nothing here promotes who signed them", len(unknown))
        self.has_gap = bool(unknown)
        if not new:
            return False
        taken = await self._journal.commit(lambda entry: self.add(entry, new))
        self.has_gap = self.has_gap or taken.is_missing
        return bool(taken.added)

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


def pass_over(fault: PeerFault) -> None:
    """Say that a statement of the store is left out."""
    _log.warning("a stored roster statement is passed over: %s", fault.why)
