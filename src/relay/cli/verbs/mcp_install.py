"""`relay mcp install`."""

from __future__ import annotations

import json
import os
import shutil
import sys

from relay.cli import mcp_clients, speech
from relay.cli.verbs.mcp import STYLES, style_of
from relay.core.errors import Code, LocalFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.cli.invocation import Invocation

MAX_FILE = 64 << 20
NOT_WRITTEN = 1


def run(invocation: Invocation, *, client: str, names: str | None, yes: bool) -> int:
    """Show what is added to a client's configuration, and write it where that is wanted."""
    style = style_of(names)
    place = mcp_clients.place_of(client, os.environ)
    before, entry = _read(place.path), place.entry(_words(invocation, style))
    after = place.changed(before, entry)
    same = before == after
    if not invocation.json:
        # only what is added: the rest of the file may hold secrets
        speech.say(f"{client} has it already: {place.path}" if same else f"{place.path} gets, beside what it has:")
        speech.say(json.dumps(entry, indent=2))
    written = not same and (yes or (not invocation.json and _is_wanted(place.path)))
    if written:
        _write(place.path, after)
    if invocation.json:
        speech.document({"client": client, "file": place.path, "adds": entry, "written": written, "was_there": same})
    elif written:
        speech.say(f"Written. {client} has the tools when it starts next.")
    elif not same:
        speech.note("nothing was written; --yes writes it")
    return 0 if written or same or invocation.json else NOT_WRITTEN


def _words(invocation: Invocation, style: str) -> list[str]:
    beside = os.path.join(os.path.dirname(sys.executable), "relay")
    program = beside if os.access(beside, os.X_OK) else shutil.which("relay")
    words = [os.path.abspath(program)] if program else [sys.executable, "-P", "-m", "relay"]
    # always named: codex hands its servers next to nothing of the environment, so not the RELAY_HOME of now either
    return [*words, "--home", invocation.home.path, "mcp", *(["--names", style] if style != STYLES[0] else [])]


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(MAX_FILE + 1)
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as fault:
        raise LocalFault(f"{path} cannot be read", code=Code.BAD_FILE, why=str(fault), hint="mend it first") from None
    if len(text) > MAX_FILE:
        why = f"it is longer than {MAX_FILE >> 20} MiB"
        raise LocalFault(f"{path} is not changed", code=Code.BAD_FILE, why=why, hint="look what fills it")
    return text


def _is_wanted(path: str) -> bool:
    if not sys.stdin.isatty():
        return False
    sys.stderr.write(f"write this to {path}? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _write(path: str, text: str) -> None:
    real = os.path.realpath(path)
    part = f"{real}.relay-part"
    try:
        os.makedirs(os.path.dirname(real), exist_ok=True)
        mode = os.stat(real).st_mode & 0o777 if os.path.exists(real) else 0o600
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, real)
    except OSError as fault:
        hint = "mend that, and ask again"
        raise LocalFault(f"{path} cannot be written", code=Code.BAD_FILE, why=str(fault), hint=hint) from None
