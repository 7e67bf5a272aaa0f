"""`relay completion`."""

from __future__ import annotations

import os
import signal
import sys

from relay.cli import speech

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.cli.completing.place import Place
    from relay.cli.invocation import Invocation

ASKING = ("words", "line")
FILES_FIT = 3  # the exit status that tells a shell to complete paths itself
ALTOGETHER_S = 0.5  # whatever happens: somebody has pressed a key and waits


def run(invocation: Invocation, *, shell: str, words: list[str]) -> int:
    """Print a shell's script, or for `words` and `line` what may be typed next."""
    if shell in ASKING:
        try:
            return _candidates(invocation, shell, words)
        finally:
            speech.flush()
            signal.setitimer(signal.ITIMER_REAL, 0)  # Python gives the signal back on its way out, and it would kill
    from relay.cli.completing.scripts import BY_SHELL, script

    if shell not in BY_SHELL:
        from relay.core.errors import Misuse

        why = f"there are scripts for {', '.join(BY_SHELL)}"
        raise Misuse(f"{shell[:40]!r} cannot be completed for", why=why, hint="relay completion bash")
    text = script(shell, sys.argv[0])
    speech.document({"shell": shell, "script": text}) if invocation.json else speech.say(text.rstrip("\n"))
    return 0


def _candidates(invocation: Invocation, how: str, words: list[str]) -> int:
    _end_in_time()
    from relay.cli.completing import place, sources
    from relay.cli.surface import TABLE

    at = place.find((_split(words[0]) if how == "line" and words else words)[1:], TABLE)
    if sources.wants_files(at):
        return FILES_FIT
    found = _found(invocation, at)
    if invocation.json:
        speech.document([{"value": value, "about": about} for value, about in found])
    for value, about in () if invocation.json else found:
        speech.say(f"{value}\t{about}")
    return 0


def _found(invocation: Invocation, at: Place) -> list[tuple[str, str]]:
    from relay.api.client import Client
    from relay.api.home import Home
    from relay.cli.completing import sources
    from relay.cli.surface import TABLE

    home = invocation.home if at.home is None else Home(os.path.expanduser(at.home))
    try:
        return sources.candidates(at, TABLE, Client(home))
    except Exception:
        return []  # no broker, or one that says nothing: who types a word is not told so in the middle of it


def _end_in_time() -> None:
    def end(number: int, frame: object) -> None:
        os._exit(0)

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, ALTOGETHER_S)


def _split(line: str) -> list[str]:
    """The words of a line that is still being typed, as a shell reads them; nothing in it is expanded."""
    words, word, quote, begun = [], "", "", False
    letters = iter(line)
    for letter in letters:
        if letter == "\\" and quote != "'":
            word, begun = word + next(letters, ""), True
        elif quote:
            word, quote = (word, "") if letter == quote else (word + letter, quote)
        elif letter in "'\"":
            quote, begun = letter, True
        elif letter.isspace():
            words += [word] if begun else []
            word, begun = "", False
        else:
            word, begun = word + letter, True
    return [*words, word]
