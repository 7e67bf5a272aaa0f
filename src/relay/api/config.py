"""`config.toml`: how this broker runs. Each key is documented in the template and checked with its line."""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from dataclasses import field
from typing import TYPE_CHECKING, Any

from relay.api import durations, sizes
from relay.core import ids
from relay.core.errors import Code, LocalFault, Misuse
from relay.core.push import is_origin
from relay.core.slots import MOST_SLOTS, is_slot_name
from relay.core.toml_faults import line_of_fault, why_of_fault
from relay.core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.api.home import Home

MAX_BYTES = 256 * 1024
DEFAULT_PORT = 7411
DASHBOARD_PORT = 7412
LEAST_LOG = 2**20
LOG_LEVELS = ("debug", "info", "warning", "error")
RESERVED_TABLES = ("notify",)
PEERS, SLOTS, DASHBOARD = "peers", "slots", "dashboard"
BY_NAME = (PEERS, SLOTS)  # tables whose keys a person chooses
TABLES = (*RESERVED_TABLES, *BY_NAME, DASHBOARD)
SIZES = ("blob_quota", "log_limit")  # in bytes; people type and read them with a unit
MOST_PEERS = 4_096
MOST_ADDRESSES = 16
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")


def _slots() -> int:
    return max(4, 2 * (os.cpu_count() or 1))


@frozen
class Config:
    """The settings of a broker.

    Attributes:
        name: what this broker is called; None for the name it was set up with.
        listen: `host:port` each; empty for loopback and, where there is one, the Tailscale address, port 7411.
        always_on: whether others may leave envelopes here for those who sleep.
        max_parallel: how many tasks run at once; more wait for a slot.
        slots: how many of one sort run at once: by an agent's name, `label:KEY` or `label:KEY=VALUE`.
        default_timeout: awake seconds a task may take where it says nothing itself; None for no limit.
        watchdog: seconds without output after which a person is asked to look; None for never.
        retention: seconds that ended spawns and their logs are kept.
        blob_quota: bytes of files sent or received that are kept at most.
        log_limit: bytes that the output of one task may take on the disk; a longer one loses of its middle.
        log_level: `debug`, `info`, `warning` or `error`.
        env: names of further environment variables that tasks inherit from the broker.
        mdns: whether members on the local network are looked for, and this broker announced to them.
        mdns_interfaces: addresses of the interfaces that this is done on; empty for all.
        tailscale: whether `tailscale status` is asked where members are.
        attach_direct: whether who attaches from another machine may go past the brokers (`broker/direct_way.py`).
        peers: by a member's name, addresses to dial it at, whatever else is known of it.
        dashboard: `port`, where on loopback the dashboard is served; 0 for any that is free. `push_hosts`, origins of
            services of Web Push beside the known ones.
        notify: a reserved table.
    """

    name: str | None = None
    listen: tuple[str, ...] = ()
    always_on: bool = False
    max_parallel: int = field(default_factory=_slots)
    slots: dict[str, int] = field(default_factory=dict)
    default_timeout: float | None = None
    watchdog: float | None = None
    retention: float = 30 * 86_400.0
    blob_quota: int = 10 * 2**30
    log_limit: int = 256 * 2**20
    log_level: str = "info"
    env: tuple[str, ...] = ()
    mdns: bool = True
    mdns_interfaces: tuple[str, ...] = ()
    tailscale: bool = True
    attach_direct: bool = True
    peers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    dashboard: dict[str, Any] = field(default_factory=lambda: {"port": DASHBOARD_PORT, "push_hosts": []})
    notify: dict[str, Any] = field(default_factory=dict)


def split_address(text: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`; port 0 takes any free one.

    Raises:
        ValueError: it is no such thing.
    """
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})", text)
    if match is None and "%" in text:
        raise ValueError("that is of one wire alone (%eth0): listen on [::]:7411, which has it too, or name another")
    if match is None or int(match[2]) > 65_535:
        raise ValueError("an address is written host:port")
    return match[1].strip("[]"), int(match[2])


def _name(value: object) -> str:
    if not ids.is_name(value):
        raise ValueError("a name has 1 to 64 of a-z, 0-9, '.', '_' and '-', and starts with a letter or digit")
    return str(value)


def _addresses(value: object) -> tuple[str, ...]:
    texts = _list_of_texts(value)
    for text in texts:
        split_address(text)
    return texts


def _list_of_texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError('a list of texts is written ["one", "two"]')
    return tuple(value)


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("it is true or false")
    return value


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_SLOTS:
        raise ValueError(f"it is a whole number from 1 to {MOST_SLOTS}")
    return value


def _duration(value: object) -> float:
    if not isinstance(value, str):
        raise ValueError('a duration is written "90s", "30m", "2h" or "1d"')
    try:
        return durations.parse(value)
    except Misuse as fault:
        raise ValueError(fault.why) from None


def _duration_or_none(value: object) -> float | None:
    return None if value == "none" else _duration(value)


def _size(value: object) -> int:
    if not isinstance(value, str):
        raise ValueError('a size is written "500MiB" or "10GiB"')
    try:
        return sizes.parse(value)
    except Misuse as fault:
        raise ValueError(fault.why) from None


def _log_limit(value: object) -> int:
    size = _size(value)
    if size < LEAST_LOG:
        raise ValueError("it is at least 1MiB")
    return size


def _level(value: object) -> str:
    if value not in LOG_LEVELS:
        raise ValueError(f"it is one of {', '.join(LOG_LEVELS)}")
    return str(value)


def _variables(value: object) -> tuple[str, ...]:
    names = _list_of_texts(value)
    if not all(map(_ENV_NAME.match, names)):
        raise ValueError("each is the name of an environment variable")
    return names


def _interfaces(value: object) -> tuple[str, ...]:
    texts = _list_of_texts(value)
    for text in texts:
        ipaddress.ip_address(text)
    return texts


def _peers(value: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict) or len(value) > MOST_PEERS:
        raise ValueError("it is a table of names, each with a list of addresses")
    return {_name(name): _dialled(addresses) for name, addresses in value.items()}


def _dialled(value: object) -> tuple[str, ...]:
    texts = _list_of_texts(value)
    if len(texts) > MOST_ADDRESSES or not all(split_address(text)[1] for text in texts):
        raise ValueError(f"it has at most {MOST_ADDRESSES} addresses, none with port 0")
    return texts


class WrongEntry(ValueError):
    """One entry of a table is wrong; its line is told.

    Args:
        entry: its key.
        why: what is wrong with it.
    """

    def __init__(self, entry: str, why: str) -> None:
        super().__init__(why)
        self.entry = entry


def _slot_counts(value: object) -> dict[str, int]:
    found = {}
    for name, count in _table(value).items():
        if not is_slot_name(name):
            raise WrongEntry(name, 'slots are named by an agent (claude), or "label:KEY", or "label:KEY=VALUE"')
        try:
            found[name] = _count(count)
        except ValueError as fault:
            raise WrongEntry(name, str(fault)) from None
    return found


def _dashboard(value: object) -> dict[str, Any]:
    found: dict[str, Any] = {"port": DASHBOARD_PORT, "push_hosts": []}
    for key, given in _table(value).items():
        if key not in found:
            raise WrongEntry(key, "the settings of the dashboard are port and push_hosts")
        if key == "port" and (type(given) is not int or not 0 <= given <= 65_535):
            raise WrongEntry(key, "a port is a whole number from 1 to 65535; 0 is any that is free")
        if key == "push_hosts" and not _are_origins(given):
            raise WrongEntry(key, 'push services are written ["https://HOST"]; http:// only on this machine')
        found[key] = given
    return found


def _are_origins(value: object) -> bool:
    return isinstance(value, list) and len(value) <= MOST_ADDRESSES and all(map(is_origin, value))


def _table(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("it is a table")
    return value


CHECKS: dict[str, Callable[[object], Any]] = {
    "name": _name,
    "listen": _addresses,
    "always_on": _switch,
    "max_parallel": _count,
    SLOTS: _slot_counts,
    "default_timeout": _duration_or_none,
    "watchdog": _duration_or_none,
    "retention": _duration,
    "blob_quota": _size,
    "log_limit": _log_limit,
    "log_level": _level,
    "env": _variables,
    "mdns": _switch,
    "mdns_interfaces": _interfaces,
    "tailscale": _switch,
    "attach_direct": _switch,
    PEERS: _peers,
    DASHBOARD: _dashboard,
    **dict.fromkeys(RESERVED_TABLES, _table),
}


def line_of(text: str, key: str) -> int:
    """The line (from 1) where a top-level key or its table stands; 1 where it cannot be told."""
    spelled = re.compile(rf"\s*(?:\[+\s*)?[\"']?{re.escape(key)}[\"']?\s*[=.\]]")
    return next((number for number, line in enumerate(text.split("\n"), 1) if spelled.match(line)), 1)


def line_of_entry(text: str, table: str, entry: str) -> int:
    """The line (from 1) where an entry of a table stands; the table's where it is written in one line."""
    first = line_of(text, table)
    spelled = re.compile(rf"\s*(?:{table}\.)?[\"']?{re.escape(entry)}[\"']?\s*=")
    lines = text.split("\n")[first - 1 :]
    return next((first + at for at, line in enumerate(lines) if spelled.match(line)), first)


def parse(text: str, where: str = "config.toml") -> Config:
    """The settings in a file's text.

    Args:
        text: TOML.
        where: the file's name, for errors.

    Raises:
        LocalFault: with the line that is wrong.
    """
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as fault:  # ValueError: TOMLDecodeError, and a number of 5,000 digits
        raise bad_config(f"{where}, line {line_of_fault(text, fault)}: not TOML", why_of_fault(fault)) from fault
    checked = {}
    for key, value in content.items():
        place = f"{where}, line {line_of(text, key)}"
        if key not in CHECKS:
            raise bad_config(f"{place}: there is no setting {key!r}", f"the settings are {', '.join(CHECKS)}")
        try:
            checked[key] = CHECKS[key](value)
        except WrongEntry as fault:
            place = f"{where}, line {line_of_entry(text, key, fault.entry)}"
            raise bad_config(f"{place}: {key}.{fault.entry[:80]} is wrong", str(fault)) from fault
        except ValueError as fault:
            raise bad_config(f"{place}: {key} is wrong", str(fault)) from fault
    return Config(**checked)


def bad_config(message: str, why: str) -> LocalFault:
    """The error for settings that cannot be used."""
    return LocalFault(message, code=Code.BAD_CONFIG, why=why, hint="mend the line; `relay config list` checks it")


def read(home: Home) -> str:
    """The text of a home's config.toml; empty where there is none.

    Raises:
        LocalFault: it is too big, or not UTF-8.
    """
    try:
        with open(home.config, "rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise bad_config(f"{home.config} is too big", f"it may have {MAX_BYTES} bytes")
        return data.decode()
    except FileNotFoundError:
        return ""
    except PermissionError as fault:
        raise LocalFault(
            f"{home.config} cannot be read",
            code=Code.BAD_CONFIG,
            why=fault.strerror or "",
            hint=f"ls -l {home.config}; it has to be this user's",
        ) from fault
    except UnicodeDecodeError as fault:
        raise bad_config(f"{home.config} is not UTF-8", str(fault)) from fault


def load(home: Home) -> Config:
    """The settings of a home; the defaults where it has no file.

    Raises:
        LocalFault: with the line that is wrong.
    """
    return parse(read(home), home.config)
