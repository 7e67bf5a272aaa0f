"""The frame that a task's terminal is shown in: a document of its own, cut off from the page, and from everything else.

xterm.js makes styles as it goes, which the page's policy forbids. So it is in a frame that is sandboxed: it has no
origin, no storage and no token, may load nothing and ask nobody, runs two scripts that are named by their hashes, and
is told by the page what to show.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import TYPE_CHECKING

from starlette.responses import Response

from relay.api.terminal_package import SCRIPT, STYLE, XTERM, Package, kept

if TYPE_CHECKING:
    from relay.api.home import Home

OWN = "terminal-frame.js"


def _hash(script: bytes) -> str:
    return base64.b64encode(hashlib.sha256(script).digest()).decode("ascii")


def frame_policy(scripts: tuple[bytes, ...], origin: str) -> str:
    """The content security policy of a frame with these scripts, on a page of this origin."""
    named = " ".join(f"'sha256-{_hash(each)}'" for each in scripts) or "'none'"
    return (
        f"default-src 'none'; script-src {named}; style-src 'unsafe-inline'; sandbox allow-scripts; "
        f"frame-ancestors {origin}; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )


class Frame:
    """Makes the document, of files that were fetched once.

    Args:
        home: where they are.
        package: what they are of.
    """

    def __init__(self, home: Home, package: Package = XTERM) -> None:
        self._home = home
        self._package = package
        self._own = (resources.files("relay.dashboard") / "page" / OWN).read_bytes()

    def made(self, origin: str) -> tuple[Response, str] | None:
        """The document and its policy; None where nothing was fetched.

        Args:
            origin: of the page that it stands in.
        """
        files = kept(self._home, self._package)
        if files is None:
            return None
        scripts = (files[SCRIPT], self._own)
        document = b"".join(
            (
                b'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Terminal</title><style>',
                files[STYLE],
                b"</style></head><body><main></main>",
                *(b"<script>" + each + b"</script>" for each in scripts),
                b"</body></html>\n",
            )
        )
        return Response(document, media_type="text/html; charset=utf-8"), frame_policy(scripts, origin)
