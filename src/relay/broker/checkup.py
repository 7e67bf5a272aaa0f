"""What `relay doctor` finds that only the running broker can look at."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Any

from relay.api.config import Config
from relay.api.home import Home
from relay.broker.allowed import Grants
from relay.broker.dialler import Dialler
from relay.broker.members import Members
from relay.broker.mesh import Mesh
from relay.broker.presence import Attendance, Presence
from relay.core.errors import LocalFault
from relay.spawn.agents.probing import examine, sight
from relay.spawn.agents.registry import Agents
from relay.store.engine import Store
from relay.store.query import SQLITE_VERSION

LOW_DISK = 512 * 1024 * 1024
WAL_RESET_FIXED = (3, 51, 3)


def check(name: str, ok: bool, detail: str, hint: str = "") -> dict[str, Any]:
    """One finding."""
    return {"name": name, "ok": ok, "detail": detail, "hint": "" if ok else hint}


def _disk(home: Path) -> dict[str, Any]:
    free = shutil.disk_usage(home).free
    return check("disk", free >= LOW_DISK, f"{free // (1024 * 1024)} MiB free", f"make room where {home} is")


def _sqlite() -> dict[str, Any]:
    # the bug needs two connections that write or checkpoint at once; here one writes, and readers never checkpoint
    fixed = SQLITE_VERSION >= WAL_RESET_FIXED
    note = "has the WAL-reset fix" if fixed else "older than the WAL-reset fix (3.51.3); one writer avoids it"
    return check("sqlite", True, f"{'.'.join(map(str, SQLITE_VERSION))}, {note}")


def _private(path: Path) -> dict[str, Any] | None:
    try:
        mode = path.stat().st_mode & 0o777
    except FileNotFoundError:
        return None
    return check(f"mode of {path.name}", not mode & 0o077, oct(mode)[2:], f"chmod go-rwx {path}")


def _modes(home: Path) -> list[dict[str, Any]]:
    names = ("identity.key", "workspace.key", "trust.toml", "relay.db", "broker.sock", "attempts")
    found = [_private(home), *(_private(home / name) for name in names)]
    return [each for each in found if each is not None]


class Checkup:
    """Looks at one broker. `config` is config.toml as it holds."""

    def __init__(
        self,
        home: Path,
        store: Store,
        members: Members,
        mesh: Mesh,
        dialler: Dialler,
        grants: Grants,
        agents: Agents,
        config: Config,
        attendance: Attendance,
    ) -> None:
        self._home = home
        self._store = store
        self._members = members
        self._mesh = mesh
        self._dialler = dialler
        self._grants = grants
        self._agents = agents
        self._config = config
        self._attendance = attendance

    async def run(self) -> list[dict[str, Any]]:
        """Every finding."""
        problems = await self._store.integrity()
        mend = "relay down; restore relay.db from backups/"
        store = check("store", not problems, "; ".join(problems) or "intact", mend)
        if not problems and (trouble := await self._store.write_trouble()):
            store = check("store", False, f"it cannot be written: {trouble}", f"make room where {self._home} is")
        found = [store, _sqlite(), _disk(self._home), *_modes(self._home)]
        return [*found, *self._files(), *self._written_peers(), *await self._agents_found(), *self._links()]

    def _written_peers(self) -> list[dict[str, Any]]:
        """The members that config.toml has addresses of; nothing where it has none."""
        called = {name for member in self._members.others for name in self._members.names(member.id)}
        nobody = sorted(set(self._config.peers) - called)
        told = "no member is called " + ", ".join(nobody) if nobody else ", ".join(self._config.peers)
        found = check("peers in config.toml", not nobody, told, "relay brokers; relay config set peers.NAME HOST:PORT")
        return [found] if self._config.peers else []

    def _files(self) -> list[dict[str, Any]]:
        try:
            return [check("trust.toml", True, f"{len(self._grants.all())} grants")]
        except LocalFault as fault:
            return [check("trust.toml", False, f"{fault.message}: {fault.why}", fault.hint)]

    async def _agents_found(self) -> list[dict[str, Any]]:
        fault = self._agents.fault()
        told = f"{fault.message}: {fault.why}" if fault else ", ".join(self._agents.names())
        seen = sight(Home(self._home), os.environ, self._config.env, is_broker=True)
        known = check("agents", fault is None, told, fault.hint if fault else "")
        return [known, *await asyncio.to_thread(examine, self._agents, seen)]

    def _links(self) -> list[dict[str, Any]]:
        return [self._link(member.id, member.name) for member in self._members.others]

    def _is_well_away(self, peer: Any, name: str) -> str:
        """Why a link to a member is not missed, in words; empty where it is."""
        via = self._mesh.reached_by(peer)
        if via is not None:
            return f"none; reached through {self._members.name(via)}"
        if self._attendance.last(peer) is None and peer not in self._dialler.troubles:
            return f"none yet; {name} was not seen so far: relay broker show {name}"
        if self._attendance.of(peer) in (Presence.ASLEEP, Presence.DOWN):
            return self._attendance.absence(peer, name)
        return ""

    def _link(self, peer: Any, name: str) -> dict[str, Any]:
        linked = self._mesh.is_linked(peer)
        if (away := self._is_well_away(peer, name)) and not linked:
            return check(f"link to {name}", True, away)
        unknown = "no address of it is known, or it was not tried yet"
        # a dial that got through has no trouble of its own, so that what ended its link counts
        trouble = self._dialler.troubles.get(peer) or self._mesh.turned_down.get(peer, unknown)
        see = "relay brokers --roster; relay invite" if self._attendance.shuts_out(peer) else "relay status"
        return check(f"link to {name}", linked, "up" if linked else trouble, f"on {name}: {see}")
