"""trust.toml as it is now: what each broker may do here, read again whenever the file changes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from relay.core.errors import LocalFault
from relay.core.grants import Grant
from relay.core.ids import BrokerId
from relay.trust.grants import freeze, load

_UNREAD = (0,)


class Grants:
    """trust.toml, read again whenever it changes.

    Args:
        path: the file.

    Attributes:
        path: the file.
        has_passed: whether a moment (milliseconds) is over, for grants that end by themselves.
        to_freeze: whose grants count as frozen until the file, which could not be written, says it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._named = str(path)
        self.has_passed: Callable[[int], bool] = lambda moment: moment <= time.time() * 1000
        self._stamp: tuple[int, ...] | None = _UNREAD
        self.to_freeze: set[BrokerId] = set()
        self._grants: dict[BrokerId, Grant] = {}
        self._last_read: dict[BrokerId, Grant] = {}
        self._fault: LocalFault | None = None

    def _now(self) -> tuple[int, ...] | None:
        try:
            stat = os.stat(self._named)  # by a text: it is asked for each request
        except FileNotFoundError:
            return None
        except OSError:
            return ()
        # with ctime: a mode that lets others write is a change too, and mtime can be set back
        return (stat.st_ctime_ns, stat.st_mtime_ns, stat.st_size, stat.st_ino)

    def all(self) -> dict[BrokerId, Grant]:
        """Every grant.

        Raises:
            LocalFault: `bad_trust_file`: the file is refused whole.
        """
        stamp = self._now()
        if stamp != self._stamp:
            self._read(stamp)
        if self._fault is not None:
            raise self._fault
        return self._grants

    def in_force(self) -> dict[BrokerId, Grant]:
        """Every grant whose time is not over.

        Raises:
            LocalFault: `bad_trust_file`.
        """
        return {each: grant for each, grant in self.all().items() if not self._is_over(grant)}

    def _is_over(self, grant: Grant) -> bool:
        return grant.expires is not None and self.has_passed(grant.expires)

    def _read(self, stamp: tuple[int, ...] | None) -> None:
        self._grants, self._fault = {}, None
        try:
            found = load(self.path)
            self._grants = {
                each: replace(grant, frozen=grant.frozen or each in self.to_freeze) for each, grant in found.items()
            }
            self._last_read = self._grants
        except LocalFault as fault:
            self._fault = fault
        self._stamp = stamp

    def freeze(self, broker: BrokerId) -> bool:
        """Suspend a broker's grant until it is allowed again; whether it had one that was not frozen.

        Raises:
            LocalFault: the file is broken or cannot be written: what it grants that broker counts as frozen all the
                same, and this has to be called once more.
        """
        try:
            was_in_use = freeze(self.path, broker)
        except LocalFault:
            self.to_freeze.add(broker)
            self._stamp = _UNREAD
            raise
        self.to_freeze.discard(broker)
        return was_in_use

    def had(self, broker: BrokerId, verb: str) -> bool:
        """Whether that broker may use a verb here, or might when the file could last be read.

        For how much is taken of it at all: a file that is broken denies everything, and must lift nobody's ration.
        """
        try:
            grants = self.in_force()
        except LocalFault:
            known = self._last_read.items()  # a copy of it may have been seen since
            grants = {each: grant for each, grant in known if not (each in self.to_freeze or self._is_over(grant))}
        grant = grants.get(broker)
        return grant is not None and verb in grant.verbs and not grant.frozen

    def verbs_of(self, broker: BrokerId) -> list[str]:
        """The verbs that broker may use here; none where the file is broken."""
        try:
            grant = self.in_force().get(broker)
        except LocalFault:
            return []
        return list(grant.verbs) if grant and not grant.frozen else []
