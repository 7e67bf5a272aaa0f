"""Where the clients of agents keep their MCP servers, and how each file reads with Relay's in it. Writes nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from relay.core.errors import Code, LocalFault, Misuse
from relay.core.values import frozen

SERVER = "relay"
# codex waits for no server that it does not require, and begins without the tools; beside HOME, PATH and the like it
# hands on what is named here alone, and by its token a task is known
CODEX = {"required": True, "startup_timeout_sec": 60, "env_vars": ["RELAY_TOKEN"]}
# claude -p waits for none but these, five seconds
CLAUDE = {"alwaysLoad": True}


@frozen
class Place:
    """A client's file.

    Attributes:
        path: absolute.
        entry: what is added, of the words that start the server.
        changed: the file's text with that in it.
    """

    path: str
    entry: Callable[[list[str]], dict[str, Any]]
    changed: Callable[[str, dict[str, Any]], str]


def place_of(client: str, environment: Mapping[str, str]) -> Place:
    """The file of a client.

    Args:
        client: by name.
        environment: says where homes are.

    Raises:
        Misuse: it is not known here.
    """
    home = environment.get("HOME") or os.path.expanduser("~")
    config = environment.get("XDG_CONFIG_HOME") or f"{home}/.config"
    places = {
        "claude": Place(f"{environment.get('CLAUDE_CONFIG_DIR') or home}/.claude.json", _stdio, _in_json),
        "codex": Place(f"{environment.get('CODEX_HOME') or f'{home}/.codex'}/config.toml", _servers_of_codex, _in_toml),
        "gemini": Place(f"{home}/.gemini/settings.json", _servers, _in_json),
        "opencode": Place(f"{config}/opencode/opencode.json", _local, _in_json),
        "cursor": Place(f"{home}/.cursor/mcp.json", _servers, _in_json),
    }
    if client in places:
        return places[client]
    raise Misuse(
        f"there is no client {client[:40]!r} that this knows",
        why=f"it knows {', '.join(places)}",
        hint="relay mcp install --help; any other client starts: relay mcp",
    )


def _plain(words: list[str]) -> dict[str, Any]:
    return {"command": words[0], "args": words[1:]}


def _servers(words: list[str]) -> dict[str, Any]:
    return {"mcpServers": {SERVER: _plain(words)}}


def _servers_of_codex(words: list[str]) -> dict[str, Any]:
    return {"mcp_servers": {SERVER: {**_plain(words), **CODEX}}}


def _stdio(words: list[str]) -> dict[str, Any]:
    return {"mcpServers": {SERVER: {"type": "stdio", **_plain(words), **CLAUDE}}}


def _local(words: list[str]) -> dict[str, Any]:
    return {"mcp": {SERVER: {"type": "local", "command": words, "enabled": True}}}


def _in_json(text: str, entry: dict[str, Any]) -> str:
    ((key, servers),) = entry.items()
    try:
        document = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError) as fault:
        raise _unreadable(str(fault), entry) from None
    if not isinstance(document, dict) or not isinstance(document.get(key, {}), dict):
        raise _unreadable(f"{key} is no object", entry)
    if document.get(key, {}).get(SERVER) == servers[SERVER]:
        return text
    document[key] = document.get(key, {}) | servers
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _in_toml(text: str, entry: dict[str, Any]) -> str:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    ((key, servers),) = entry.items()
    try:
        document = tomlkit.parse(text)
        known = document.setdefault(key, tomlkit.table(is_super_table=True))
        if known.get(SERVER) == servers[SERVER]:
            return text
        table = tomlkit.table()
        table.update(servers[SERVER])
        known[SERVER] = table
        return tomlkit.dumps(document)
    except (TOMLKitError, TypeError, AttributeError) as fault:
        raise _unreadable(str(fault), entry) from None


def _unreadable(why: str, wanted: dict[str, Any]) -> LocalFault:
    return LocalFault(
        "the client's configuration cannot be changed by a program",
        code=Code.BAD_FILE,
        why=why,
        hint=f"put this into it by hand: {json.dumps(wanted)}",
    )
