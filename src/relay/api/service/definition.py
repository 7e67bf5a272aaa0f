"""What a service runs, and what it is called."""

from __future__ import annotations

import os
from hashlib import sha256

from relay.api.home import platform_folder
from relay.core.values import frozen

MODULE = "relay.daemon"
HASH_DIGITS = 8
MAX_SLUG = 24


@frozen
class Definition:
    """A service as it is written down.

    Attributes:
        home: the broker's folder, absolute.
        python: the interpreter that relay is installed for, absolute.
        path: the PATH that the broker and its agents get; the one variable that is written down.
    """

    home: str
    python: str
    path: str

    @property
    def words(self) -> tuple[str, ...]:
        """The program's words: the broker itself, so that the manager sees the broker's own end.

        `-P` keeps the working directory, which is the user's home, out of Python's path: a file `typing.py` there would
        otherwise be taken for the library's.
        """
        return (self.python, "-P", "-m", MODULE, "--as-service", "--home", self.home)


def defined_by(words: tuple[str, ...], path: str) -> Definition | None:
    """The definition whose words these are, or None where they are no broker's.

    Args:
        words: a program's words.
        path: the PATH that stands beside them.
    """
    if len(words) != 7:
        return None
    found = Definition(home=words[6], python=words[0], path=path)
    return found if found.words == words else None


def short_name(home: str) -> str:
    """What tells this home's service from those of other homes: empty for the platform's usual folder.

    Args:
        home: the folder. Two spellings of one folder have one name.
    """
    real = os.path.realpath(home)
    if real == os.path.realpath(platform_folder()):
        return ""
    letters = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in os.path.basename(real))
    digest = sha256(os.fsencode(real)).hexdigest()[:HASH_DIGITS]
    return "-".join(filter(None, (letters.strip("-")[:MAX_SLUG].strip("-").lower(), digest)))
