"""Who uses a client, for views; it grants nothing."""

from __future__ import annotations

import os


def person() -> str:
    """Who typed this."""
    named = os.environ.get("LOGNAME") or os.environ.get("USER")
    if named:
        return named
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
