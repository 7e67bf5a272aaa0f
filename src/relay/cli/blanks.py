"""Options that were given and are blank: mostly a script's variable that was never set, and never meant for nothing."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


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
