"""Reading and changing single settings of `config.toml`, the person's comments kept."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import tempfile
import tomllib
from typing import TYPE_CHECKING, Any

import tomlkit

from relay.api import config
from relay.api.home import keep_owner
from relay.core.errors import LocalFault, Misuse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.api.home import Home

TEMPLATE = """\
# How this broker runs. `relay config set KEY VALUE` edits this file; a running broker reads it at its next start.
# A line that starts with '#' is a setting at its default.

# What this broker is called; a label, never an identity.
# name = "laptop"

# Where it listens. Without this: loopback and, where there is one, the Tailscale address, port 7411.
# listen = ["127.0.0.1:7411"]

# Whether others may leave envelopes here for brokers that sleep.
# always_on = false

# How many tasks run at once; more wait for a slot. Without this: twice the processors, at least 4.
# max_parallel = 4

# How many of one sort run at once: of an agent, or of what carries a label (with any value, or with one).
# A task that waits for such a slot holds up nothing behind it. relay config set slots.claude 2
# slots = { claude = 2, "label:gpu" = 1, "label:queue=nightly" = 1 }

# How long a task may take, in awake time, where it does not say so itself.
# default_timeout = "none"

# After how long without output a person is asked to look.
# watchdog = "none"

# How long ended tasks and their logs are kept.
# retention = "30d"

# How much room files that were sent or received may take (relay blob list).
# blob_quota = "10GiB"

# How much room the log of one task may take. A longer one keeps its beginning and its newest part.
# log_limit = "256MiB"

# How much the broker writes to broker.log: debug, info, warning or error.
# log_level = "info"

# Names of environment variables that tasks inherit besides the basic ones (PATH, HOME, LANG and the like).
# env = ["EDITOR"]

# Whether members on the local network are looked for by mDNS, and this broker announced there, without any name.
# mdns = true

# Addresses of the interfaces this is done on. Without this: all of them.
# mdns_interfaces = ["192.168.1.5"]

# Whether `tailscale status` is asked where members are, on machines that have it.
# tailscale = true

# Whether who attaches from another machine may go straight to the task, at a port that is open for a moment and for
# one who knows a secret. Without it keys and output go by the brokers.
# attach_direct = true

# Where a member may be dialled, whatever else is known of it: relay config set peers.NAME HOST:PORT
# peers = { vps = ["vps.example.net:7411"] }

# Where on loopback the dashboard is served; 0 is any port that is free. relay config set dashboard.port 7500
# dashboard = { port = 7412 }
# Services that browsers may be told by, beside those of their makers: relay config set dashboard.push_hosts https://HOST

# [notify] is reserved.
"""


def shown(home: Home) -> dict[str, Any]:
    """Every setting as it holds now, the reserved tables only where they say something."""
    values = dataclasses.asdict(config.load(home))
    return {key: value for key, value in values.items() if key not in config.RESERVED_TABLES or value}


def get(home: Home, key: str) -> object:
    """One setting as it holds now; `dashboard.port` reaches into a table.

    Raises:
        Misuse: there is no such setting.
    """
    value: object = dataclasses.asdict(config.load(home))
    table, _, inner = key.partition(".")
    for part in (table, inner) if inner else (table,):
        if not isinstance(value, dict) or part not in value:
            if inner and table in config.BY_NAME:
                raise Misuse(f"{key} is not set", hint=f"relay config get {table}")
            raise Misuse(f"there is no setting {key!r}", hint="relay config list")
        value = value[part]
    return value


def _value(key: str, words: Sequence[str]) -> object:
    """What was typed, as TOML: a list's words, a number or switch, else a text."""
    if key in ("listen", "env", "mdns_interfaces", "dashboard.push_hosts") or key.startswith(f"{config.PEERS}."):
        return [part for word in words for part in word.split(",") if part]
    text = " ".join(words)
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # ValueError: TOMLDecodeError, and a number of 5,000 digits
        return text


def set_value(home: Home, key: str, words: Sequence[str]) -> object:
    """Change one setting in the file, the rest of it kept as it is; returns the new value.

    Raises:
        Misuse: there is no such setting, or it cannot be that.
    """
    table, _, inner = key.partition(".")
    if table not in config.CHECKS or bool(inner) != (table in config.TABLES):
        raise Misuse(f"there is no setting {key!r}", hint="relay config list")
    folder = os.open(home.path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # of two who change the file at once neither loses what the other set
        text = config.read(home) or TEMPLATE
        config.parse(text, home.config)  # what was wrong before is told as it is, not as this value's fault
        changed = _changed(text, table, inner, _value(key, words))
        try:
            config.parse(changed)
        except LocalFault as fault:
            raise Misuse(
                f"{key} cannot be {' '.join(words)[:80]!r}",
                why=fault.why,
                hint=f"relay config get {table}   shows what it is; docs/cli.md what it may be",
            ) from fault
        write(home.config, changed)
        return get(home, key)
    finally:
        os.close(folder)


def _changed(text: str, table: str, inner: str, value: object) -> str:
    document = tomlkit.parse(text)
    if inner:
        document.setdefault(table, tomlkit.table())[inner] = value
    else:
        document[table] = value
    return tomlkit.dumps(document)


def write(path: str, text: str) -> None:
    """Replace a file in one step: after a crash it is the old one or the new one, 0600."""
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".new-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            keep_owner(file.fileno(), path)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def write_template(home: Home, name: str | None, listen: Sequence[str]) -> None:
    """Make config.toml where there is none, with what `init` or `join` was told.

    Raises:
        Misuse: the name or an address cannot be used.
    """
    if not os.path.exists(home.config):
        write(home.config, TEMPLATE)
    if name is not None:
        set_value(home, "name", [name])
    if listen:
        set_value(home, "listen", listen)
