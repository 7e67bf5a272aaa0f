"""The gate: what a request may do here, by trust.toml as it is now. Default deny; a broken file denies everything."""

from __future__ import annotations

import os
import time
from pathlib import Path

from relay.broker.allowed import Grants
from relay.broker.auditor import Auditor, Decision, refusal
from relay.broker.looking import Looks, Seen, unseen
from relay.broker.members import Members
from relay.core.errors import Code, LocalFault, Misuse, Refused, RelayError
from relay.core.grants import (
    BY_NAME_ONLY,
    FOUR_CHOICES,
    Asked,
    Denied,
    Grant,
    Granted,
    Verdict,
    Waiting,
    judge,
    judge_chain,
)
from relay.core.ids import BrokerId
from relay.core.place_rights import lack_of_place
from relay.core.questions import request_hash
from relay.core.spawning import FRESH_DIRECTORY, MODES
from relay.spawn.admission import Admission
from relay.spawn.agents.registry import Agents
from relay.spawn.requests import request_of
from relay.spawn.timetable import on_the_wall
from relay.store import questions
from relay.store.attempts import STARTED_BEFORE
from relay.store.journal import Entry
from relay.store.spawn_rows import IN_HAND_FROM, SpawnRow


def minute_of_week(now: int) -> int:
    """The minute of the week on this machine's clock, from Monday 00:00; `now` in milliseconds since 1970."""
    local = time.localtime(now / 1000)
    return local.tm_wday * 1440 + local.tm_hour * 60 + local.tm_min


class Gate:
    """Judges what comes in, and has each judgement written down.

    Args:
        members: names for people.
        grants: trust.toml.
        agents: what this machine can run.
        auditor: the audit log.
        worktrees: where fresh directories are made.
    """

    def __init__(
        self, members: Members, grants: Grants, agents: Agents, auditor: Auditor, worktrees: Path
    ) -> None:
        self._members = members
        self._grants = grants
        self._agents = agents
        self._auditor = auditor
        self._worktrees = worktrees
        self._looks = Looks(lambda: members.own_name)

    # spawns

    def judge(self, entry: Entry, row: SpawnRow) -> Admission:
        """Whether a spawn may start here and now; asked at arrival and again when it is about to start."""
        try:
            admission = self._judged(entry, row)
        except RelayError as error:
            self._auditor.write(entry, refusal(row.origin, "spawn", error, _detail(row)))
            return Admission(refusal=error)
        if not admission.waiting and row.origin != self._members.own:
            self._auditor.write(entry, Decision(row.origin, "spawn", detail=_detail(row)))
        return admission

    def _judged(self, entry: Entry, row: SpawnRow) -> Admission:
        seen = self._seen(row)
        verdict = self._granted(entry, row, seen.path)
        self._agents.get(row.agent).command(request_of(row), 1)
        directory = self._directory(row, seen)
        held = verdict.hold and not questions.is_approved(
            entry.tx, row.id, request_hash(row.origin, request_of(row))
        )
        fresh = row.cwd == FRESH_DIRECTORY and row.wishes.place is None
        if isinstance(verdict, Waiting):
            until = verdict.until
            if until is not None and verdict.by_clock:
                until = on_the_wall(entry.now, until)
            return Admission(directory, fresh, waiting=verdict.why, held=held, until=until)
        return Admission(directory, fresh, held=held)

    def _seen(self, row: SpawnRow) -> Seen:
        """Where it is to run; nowhere for a fresh directory, and for none given. For who has no grant nobody looks."""
        if not row.cwd or row.cwd == FRESH_DIRECTORY:
            return Seen()
        if self._labelled(row.origin)[1] is None:
            return unseen(row.cwd)
        return self._looks.at(row.cwd)

    def _granted(self, entry: Entry, row: SpawnRow, path: str | None) -> Granted | Waiting:
        if row.origin == self._members.own and not row.chain:
            return Granted()
        verdict = self._verdict(entry, row, path)
        if isinstance(verdict, Denied):
            raise self._refused(verdict, row.agent)
        self._require_place(row)
        return verdict

    def require_grant(self, entry: Entry, row: SpawnRow) -> None:
        """Raise where a spawn's grant does not allow it any more; that it would have to wait is no reason.

        Raises:
            RelayError: why.
        """
        if row.origin != self._members.own or row.chain:  # else nothing hangs on where it runs, which may not answer
            self._granted(entry, row, self._seen(row).path)

    def is_runner(self, agent: str) -> bool:
        """Whether an agent of this name is a runner, and not another program of the same name."""
        return self._agents.is_runner(agent)

    def _require_place(self, row: SpawnRow) -> None:
        place = row.wishes.place
        if place is None:
            return
        for each in (row.origin, *row.chain):
            label, grant = self._labelled(each)
            if grant is None or each == self._members.own:
                continue
            denied = lack_of_place(grant, place, label, lambda each: self._looks.at(each).path or each)
            if denied is not None:
                raise self._refused(denied, row.agent)

    def _refused(self, denied: Denied, agent: str) -> Refused:
        why, hint = denied.why, self._where(denied.hint)
        if agent not in self._agents.names():
            # no grant would help; which agents there are is told only to who has one
            why = f"{why}; and {self._members.own_name} has no agent named {agent}"
            hint = "name an agent that machine has, such as shell, exec or claude"
        return Refused(denied.on(self._members.own_name), code=denied.code, why=why, hint=hint)

    def _verdict(self, entry: Entry, row: SpawnRow, path: str | None) -> Verdict:
        requester = self._labelled(row.origin)
        asked = Asked(
            verb="spawn",
            agent=row.agent,
            by_name=self._agents.is_runner(row.agent),
            directory=path,
            wanted_cwd=row.cwd,
            mode=row.mode,
            depth=len(row.chain),
            running=IN_HAND_FROM.one(entry.tx, target=self._members.own, origin=row.origin) or 0,
            minute=minute_of_week(entry.now),
            next_start=self._next_start(entry, row, requester[1]),
        )
        return judge_chain(requester, [self._labelled(each) for each in row.chain], asked, entry.now)

    def _next_start(self, entry: Entry, row: SpawnRow, grant: Grant | None) -> int | None:
        """When the rate of its origin's grant lets another task start; None for now."""
        if grant is None or grant.rate is None:
            return None
        period = grant.rate.seconds * 1000
        which = {"target": self._members.own, "origin": row.origin, "skip": grant.rate.most - 1}
        of_late = STARTED_BEFORE.one(entry.tx, since=entry.now - period, now=entry.now, **which)
        return None if of_late is None else of_late + period

    def _labelled(self, broker: BrokerId) -> tuple[str, Grant | None]:
        name = self._members.name(broker)
        if broker == self._members.own:
            agents = ("*", *BY_NAME_ONLY, *self._agents.runners)
            return name, Grant(broker, ("spawn",), agents, ("/", FRESH_DIRECTORY), "full", 1 << 20)
        # who was put out of the workspace may act here no more, whatever trust.toml still says; what had come, or
        # waits in the queue, is judged by this as well
        return name, None if self._members.keys(broker) is None else self._all().get(broker)

    def _all(self) -> dict[BrokerId, Grant]:
        """Every grant; where they cannot be read, whoever asks is not told what stands in the file, nor where it is."""
        try:
            return self._grants.all()
        except LocalFault as fault:
            raise Refused(
                "trust.toml cannot be used there, so every remote request is denied",
                code=fault.code,
                why="it is broken, or open to others",
                hint=self._where("relay trust list"),
            ) from None

    def _where(self, command: str) -> str:
        return f"on {self._members.own_name}: {command}" if command.startswith("relay ") else command

    def _directory(self, row: SpawnRow, seen: Seen) -> str:
        if row.cwd == FRESH_DIRECTORY:
            # the real one, for the shim follows no link on its way there
            sub = row.wishes.place.sub if row.wishes.place is not None else ""
            return os.path.join(os.path.realpath(self._worktrees), row.id, sub).rstrip("/")
        if row.wishes.place is not None:
            hint = f"relay edit {row.id} --cwd new, or spawn it anew with either of them"
            why = "it brings its place along, and names a directory besides"
            raise Misuse("where should it run?", code=Code.NO_DIRECTORY, why=why, hint=hint)
        if (path := seen.path) is None:
            raise Misuse(
                "where should it run?",
                code=Code.NO_DIRECTORY,
                why="no absolute directory was given, and a place is never guessed",
                hint=FOUR_CHOICES,
            )
        if seen.is_directory:
            return path
        if seen.is_there:
            raise Refused(
                f"{path} on {self._members.own_name} is no directory",
                code=Code.NO_DIRECTORY,
                hint="name a directory with --cwd, or use --cwd new",
            )
        raise Refused(
            f"there is no directory {path} on {self._members.own_name}",
            code=Code.NO_DIRECTORY,
            hint=f"on {self._members.own_name}: mkdir -p {path}; or use --cwd new",
        )

    def may_spawn(self, broker: BrokerId) -> bool:
        """Whether that broker may spawn here at all.

        True where the file is broken: nothing is ended for that. False for who was put out of the workspace, and where
        the grant has expired by a clock that is believed.
        """
        return self.may(broker, "spawn")

    def why_ended(self, broker: BrokerId) -> str | None:
        """What ends that broker's spawns here, for sentences; None for nothing.

        Nothing is ended for a file that is broken, nor for a grant that is frozen: of two machines of one identity the
        right one may have asked.
        """
        if self._members.keys(broker) is None:
            return "its broker being put out of the workspace"
        try:
            grant, is_in_force = self._grants.all().get(broker), broker in self._grants.in_force()
        except LocalFault:
            return None
        if grant is None or "spawn" not in grant.verbs:
            return "its grant being revoked"
        return None if is_in_force else "its grant having expired"

    def may_push(self, broker: BrokerId) -> bool:
        """Whether that broker may push blobs here; as `may_spawn`."""
        return self.may(broker, "push")

    def may(self, broker: BrokerId, verb: str) -> bool:
        """Whether that broker has a verb here at all; as `may_spawn`."""
        if self._members.keys(broker) is None:
            return False
        try:
            grant = self._grants.in_force().get(broker)
        except LocalFault:
            return True
        return grant is not None and verb in grant.verbs and not grant.frozen

    def require_typing(self, origin: BrokerId, agent: str) -> None:
        """Let a broker type into a task of this agent as into a terminal, or raise; beside the verb for it.

        Into an agent that asks before it acts, or that has an interface of its own, that may be any command, and the
        yes to any question: it takes the mode `full`.

        Raises:
            Refused: `mode_beyond_grant`, or `bad_trust_file`.
        """
        if not self._agents.is_asked(agent) or self.mode_of(origin) == MODES[-1]:
            return
        label, _ = self._labelled(origin)
        raise Refused(
            f"{label} may not type into {agent} on {self._members.own_name}",
            code=Code.MODE_BEYOND_GRANT,
            why=f"what is typed into it may go beyond the mode {self.mode_of(origin)} of its grant",
            hint=self._where(f"relay trust allow {label} --mode {MODES[-1]}"),
        )

    def mode_of(self, broker: BrokerId) -> str:
        """How far that broker's agents may go here unasked; `plan` where it has no grant.

        Raises:
            Refused: `bad_trust_file`.
        """
        _, grant = self._labelled(broker)
        return MODES[0] if grant is None else grant.mode

    def may_view(self, origin: BrokerId, now: int) -> bool:
        """Whether a broker may know of the spawns of others here; `now` in milliseconds."""
        try:
            self.require(origin, "view", own=False, now=now)
        except RelayError:
            return False
        return True

    def told(self, origin: BrokerId, error: RelayError, now: int) -> RelayError:
        """An error as that broker may read it: what has a name is for who may view it; `now` in milliseconds."""
        if error.code is not Code.NAME_IN_USE or origin == self._members.own or self.may_view(origin, now):
            return error
        return Misuse(error.message, code=error.code, why="another one has it", hint="choose another name")

    def may_look(self, origin: BrokerId, now: int) -> bool:
        """Whether a broker may know what can be run here: it may spawn, or view; `now` in milliseconds."""
        return "spawn" in self._grants.verbs_of(origin) or self.may_view(origin, now)

    # other verbs

    def basis(self, origin: BrokerId, now: int) -> object:
        """What a verdict on that broker rests on now: as long as it equals itself, so does the verdict.

        Args:
            origin: who wants something.
            now: milliseconds since 1970; the grant's hours and its end are looked at each second.

        Raises:
            Refused: `bad_trust_file`.
        """
        return self._members.keys(origin), self._all().get(origin), now // 1000

    def require(self, origin: BrokerId, verb: str, own: bool, now: int) -> None:
        """Let a broker use a verb on a spawn here, or raise.

        Args:
            origin: who wants it.
            verb: `view`, `stop`, …
            own: whether the spawn was asked for by the same broker.
            now: milliseconds since 1970.

        Raises:
            Refused: it may not, or `bad_trust_file`.
        """
        label, grant = self._labelled(origin)
        verdict = judge(grant, Asked(verb=verb, own=own, minute=minute_of_week(now)), now, label)
        if isinstance(verdict, Denied):
            message, hint = verdict.on(self._members.own_name), self._where(verdict.hint)
            raise Refused(message, code=verdict.code, why=verdict.why, hint=hint)


def _detail(row: SpawnRow) -> str:
    place = row.wishes.place
    where = row.cwd or "(no directory)" if place is None else f"a worktree of {place.repo or 'a tree that was sent'}"
    return f"{row.id} {row.name} {row.agent} in {where} mode {row.mode}"[:500]
