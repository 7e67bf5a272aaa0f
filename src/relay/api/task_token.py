"""The token of a task: by it the broker knows that a spawn is asked for by a spawn.

RELAY_TOKEN names a file (0600) in the folder of the task's attempt; the token itself is in no environment and no argv.
"""

from __future__ import annotations

import os

VARIABLE = "RELAY_TOKEN"
HEADER = "Relay-Token"
FILE = "token"


def home_of_task() -> str | None:
    """The home of the broker that runs this task, or None outside of tasks."""
    path = os.environ.get(VARIABLE, "")
    attempt, name = os.path.split(path)
    attempts, _ = os.path.split(attempt)
    home, folder = os.path.split(attempts)
    return home if name == FILE and folder == "attempts" and os.path.isabs(home) else None


def token_for(home: str) -> str | None:
    """What a program tells the broker of a home about the task that it is part of; None outside of that broker's tasks.

    Where the file is blank, or gone, because the task's attempt is over, the answer names the attempt without its
    secret: the broker then says so, instead of taking the task for a person.
    """
    own = home_of_task()
    if own is None or os.path.realpath(own) != os.path.realpath(home):
        return None
    path = os.environ[VARIABLE]
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            secret = file.read(128).strip()
    except OSError:
        secret = ""
    return f"{os.path.basename(os.path.dirname(path))}.{secret}"
