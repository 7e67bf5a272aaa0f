"""trust.toml, the allowlist: read strictly, edited with comments kept.

A missing file grants nothing. A broken one, or one that others may write to, is refused whole: the caller
then denies everything and says so. Reading is in `relay.trust.grantfile`; what a grant means is in
`relay.core.grants`.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.items import AbstractTable, Array

from relay.core import ids
from relay.core.allowlist import NO_RATE, Change, Grant, extended
from relay.core.errors import Code, LocalFault, Misuse
from relay.core.ids import BrokerId
from relay.trust.grantfile import BROKERS, LISTS, parse, plain_directory
from relay.trust.keyfile import OTHERS_WRITE, read_private, replace_private

HEADER = """\
# Who may do what on this machine. relay reads this file; edit it here or with: relay trust allow, relay trust revoke.
# A broker that is not listed may do nothing. A mistake in this file denies everybody until it is mended.
#
# [brokers.ID]        the broker's full id (relay brokers)
# name = "laptop"     a label for you; it grants nothing
# verbs = [...]       spawn view attach send stop approve handoff push message tool forward notify
# agents = [...]      names, or "*" for all but shell and exec, which must be named
# dirs = [...]        directories it may work in, and "new" for a fresh folder
# mode = "edit"       how far an agent may go without asking: plan, edit or full
# max_parallel = 4    how many tasks at once; more wait
# ask = false         true: hold each request for a person
# rate = "20/1h"      how many tasks may start in a time; more wait
# hours = ["mon-fri 08:00-18:00"]   when tasks may start, local time; others wait, and it may only look, stop and tell
# expires = 2027-01-01T00:00:00Z
# frozen = true       written by relay when it saw a clone of that machine; relay trust allow ID clears it
"""


def load(path: Path) -> dict[BrokerId, Grant]:
    """The grants in trust.toml; none when there is no file.

    Raises:
        LocalFault: `bad_trust_file`: broken (file and line in the text), or open to others.
    """
    return parse(path, _read_text(path))


def _read_text(path: Path) -> str:
    try:
        return read_private(path, Code.BAD_TRUST_FILE, OTHERS_WRITE, by_us=True).decode("utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError:
        raise LocalFault(f"{path} is not UTF-8 text", code=Code.BAD_TRUST_FILE, hint=f"edit {path}") from None


@contextlib.contextmanager
def _edited(path: Path) -> Iterator[tomlkit.TOMLDocument]:
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # the broker freezes while a person allows: neither word may get lost
        text = _read_text(path)
        parse(path, text)
        document = tomlkit.parse(text or HEADER)
        yield document
        written = tomlkit.dumps(document)
        parse(path, written)  # what we write, we can read: else the old file stays
        replace_private(path, written.encode("utf-8"), Code.BAD_TRUST_FILE)
    finally:
        os.close(folder)


def _key_of(brokers: AbstractTable, broker: BrokerId) -> str | None:
    return next((key for key in brokers if ids.parse_broker_id(key) == broker), None)


def _brokers(document: tomlkit.TOMLDocument) -> AbstractTable:
    if BROKERS not in document:
        document.add(BROKERS, tomlkit.table(is_super_table=True))
    brokers = document[BROKERS]
    if not isinstance(brokers, AbstractTable):
        raise LocalFault("trust.toml has an unusual form", code=Code.BAD_TRUST_FILE, hint="write [brokers.ID] tables")
    return brokers


def _set_list(table: AbstractTable, name: str, values: tuple[str, ...], normal: Callable[[str], str]) -> None:
    present = table.get(name)
    if not isinstance(present, Array):
        present = tomlkit.array()
        table[name] = present
        present = table[name]
    have = {normal(str(entry)) for entry in present}
    for value in values:
        if normal(value) not in have:
            present.append(value)


def _moment(milliseconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC).replace(microsecond=0)


def _set_single(table: AbstractTable, name: str, value: Any, default: Any) -> None:
    if value != default or name in table:
        table[name] = value


def _write_grant(table: AbstractTable, grant: Grant, label: str) -> None:
    if label:
        table["name"] = label
    for name in LISTS:
        normal = plain_directory if name == "dirs" else str
        _set_list(table, name, getattr(grant, name), normal)
    table["mode"] = grant.mode
    for name in ("max_parallel", "ask"):
        _set_single(table, name, getattr(grant, name), getattr(Grant(grant.broker), name))
    if grant.expires is None:
        table.pop("expires", None)
    else:
        table["expires"] = _moment(grant.expires)
    _set_or_remove(table, "rate", None if grant.rate is None else grant.rate.text)
    if list(table.get("hours") or ()) != list(grant.hours):  # as it stands it may have comments
        _set_or_remove(table, "hours", list(grant.hours))
    table.pop("frozen", None)


def _set_or_remove(table: AbstractTable, name: str, value: Any) -> None:
    if value:
        table[name] = value
    else:
        table.pop(name, None)


def checked_change(change: Change) -> Change:
    """The change itself, when trust.toml can hold it.

    Raises:
        Misuse: an unknown verb or mode, a directory that is not absolute, hours that are none.
    """
    sample = ids.broker_id(bytes(32))
    try:
        parse(Path("trust.toml"), tomlkit.dumps({BROKERS: {sample: _plain(change)}}))
        _moment(change.expires or 0)
    except LocalFault as error:
        why = error.why.partition(": ")[2]
        raise Misuse("that cannot be granted", why=why, hint="relay trust allow --help") from None
    except (ValueError, OverflowError, OSError):
        why = "the date is out of reach"
        raise Misuse("that cannot be granted", why=why, hint="relay trust allow --help") from None
    return change


def _plain(change: Change) -> dict[str, Any]:
    plain: dict[str, Any] = {name: list(getattr(change, name)) for name in LISTS}
    singles = {name: getattr(change, name) for name in ("mode", "max_parallel", "ask")}
    singles["rate"] = None if change.rate in (None, NO_RATE) else change.rate.text
    singles["hours"] = None if change.hours is None else list(change.hours)
    return plain | {name: value for name, value in singles.items() if value is not None}


def allow(path: Path, broker: BrokerId, label: str, change: Change) -> Grant:
    """Give a broker rights, or more of them; a frozen grant is thawed. Durable on return.

    Args:
        path: trust.toml; made when missing.
        broker: whose grant, by full id.
        label: its name, kept beside it for people; may be empty.
        change: what is added or set.

    Returns:
        The grant as it is now.

    Raises:
        Misuse: the change is no valid grant.
        LocalFault: the file is broken or cannot be written.
    """
    checked_change(change)
    with _edited(path) as document:
        grant = extended(load(path).get(broker, Grant(broker)), change)
        brokers = _brokers(document)
        key = _key_of(brokers, broker)
        if key is None:
            key = broker
            brokers.add(key, tomlkit.table())
        table = brokers[key]
        assert isinstance(table, AbstractTable)
        _write_grant(table, grant, label)
    return load(path)[broker]


def revoke(path: Path, broker: BrokerId) -> bool:
    """Take all rights of a broker. Durable on return.

    Returns:
        Whether it had a grant.

    Raises:
        LocalFault: the file is broken or cannot be written.
    """
    if broker not in load(path):
        return False
    with _edited(path) as document:
        brokers = _brokers(document)
        key = _key_of(brokers, broker)
        if key is not None:
            brokers.remove(key)
    return True


def freeze(path: Path, broker: BrokerId) -> bool:
    """Suspend the grant of a broker whose clone was seen, until it is allowed again. Durable on return.

    Returns:
        Whether it had a grant that was not frozen.

    Raises:
        LocalFault: the file is broken or cannot be written.
    """
    grant = load(path).get(broker)
    if grant is None or grant.frozen:
        return False
    with _edited(path) as document:
        brokers = _brokers(document)
        key = _key_of(brokers, broker)
        if key is not None:
            brokers[key]["frozen"] = True
    return True
