"""Words that cannot be meant: blank options, mostly a variable that was never set, and bytes that are no text."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# paths of this machine may be of any bytes; of a task it is said elsewhere what to do
ANY_BYTES = frozenset({"file", "files", "output", "into", "address_file", "source", "mcp"})
TASKS = frozenset({("spawn", "words"), ("edit", "words"), ("continue", "text"), ("completion", "words")})


def refuse_blank(**given: str | Sequence[str] | None) -> None:
    """Refuse texts that say nothing.

    Args:
        given: by the option's name, `idempotency_key` for `--idempotency-key`; None where it was not given.

    Raises:
        Misuse: one of them is blank.
    """
    for name, value in given.items():
        texts = [value] if isinstance(value, str) else value or ()
        if not all(text.strip() for text in texts):
            from relay.core.errors import Misuse

            flag = f"--{name.replace('_', '-')}"
            raise Misuse(
                f"{flag} is empty",
                why="it was given without a value, as by a variable that is not set",
                hint=f"give {flag} a value, or leave it out",
            )


def refuse_bytes(verb: str, name: str, value: str | Sequence[str]) -> None:
    """Refuse what is no text, before it becomes a question mark on its way to somebody.

    Args:
        verb: whose word or option it is.
        name: which.
        value: as Python reads bytes that are not UTF-8: with lone surrogates.

    Raises:
        Misuse: it, or one of several, is not UTF-8.
    """
    if name in ANY_BYTES or (verb, name) in TASKS:
        return
    for text in [value] if isinstance(value, str) else value:
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            from relay.core.errors import Misuse

            why = "the command line has other bytes in it"
            raise Misuse(f"{text[:80]!r} is not UTF-8 text", why=why, hint=f"relay {verb} --help")
