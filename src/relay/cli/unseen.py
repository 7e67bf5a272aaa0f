"""A secret, typed unseen at a terminal, or the first line of standard input; never a word of the command."""

from __future__ import annotations

import getpass
import sys

from relay.core.errors import Misuse

MAX_LINE = 4096


def line(prompt: str) -> str:
    """One line: what was typed at the terminal, or came first on standard input, at most 4 KiB; empty where nothing.

    Args:
        prompt: what is asked for.
    """
    if sys.stdin is None:  # it was closed by who started the command
        return ""
    return _typed(prompt) if sys.stdin.isatty() else sys.stdin.readline(MAX_LINE)


def asked(*, twice: bool) -> str:
    """What was typed.

    Args:
        twice: for a new one.

    Raises:
        Misuse: nothing was typed, or two different ones.
    """
    typed = line("passphrase: ").rstrip("\n")
    if twice and sys.stdin is not None and sys.stdin.isatty():
        if typed != _typed("again: "):
            raise Misuse("the passphrases differ", why="both times it has to be the same", hint="try again")
    if not typed:
        raise Misuse(
            "there is no passphrase", why="none was typed", hint="type it at a terminal, or give it on standard input"
        )
    return typed


def _typed(prompt: str) -> str:
    try:
        return getpass.getpass(prompt, sys.stderr)
    except EOFError:
        return ""
