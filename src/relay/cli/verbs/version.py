"""`relay version`."""

from __future__ import annotations

import sys

from relay import __version__
from relay.cli import speech

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.cli.invocation import Invocation


def run(invocation: Invocation) -> int:
    """Print the version."""
    if invocation.json:
        speech.document({"version": __version__, "python": sys.version.split()[0]})
    else:
        speech.say(f"relay {__version__}")
    return 0
