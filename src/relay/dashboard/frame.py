"""The frame that a task's terminal is shown in: a document of its own, cut off from the page, and from everything else.

xterm.js makes styles as it goes, which the page's policy forbids. So it is in a frame that is sandboxed: it has no
origin, no storage and no token, may load nothing and ask nobody, runs two scripts that are named by their hashes, and
is told by the page what to show.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from importlib import resources
from typing import TYPE_CHECKING

from starlette.responses import Response, StreamingResponse

from relay.api.terminal_package import SCRIPT, STYLE, XTERM, Package, kept, marks

if TYPE_CHECKING:
    from relay.api.home import Home

OWN = "terminal-frame.js"
PIECE = 32 * 1024


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
        self._known: tuple[object, bytes, tuple[bytes, ...]] | None = None

    def made(self, origin: str) -> tuple[Response, str] | None:
        """The document and its policy; None where nothing was fetched.

        Args:
            origin: of the page that it stands in.
        """
        known = self._whole()
        if known is None:
            return None
        document, scripts = known
        headers = {"content-length": str(len(document))}
        answer = StreamingResponse(_in_pieces(document), headers=headers, media_type="text/html; charset=utf-8")
        return answer, frame_policy(scripts, origin)

    def _whole(self) -> tuple[bytes, tuple[bytes, ...]] | None:
        """The document, made once for the files as they are now: many who ask at once cost no more than one."""
        as_they_are = marks(self._home, self._package)
        if self._known is None or self._known[0] != as_they_are:
            files = kept(self._home, self._package)
            if files is None:
                self._known = None
                return None
            scripts = (files[SCRIPT], self._own)
            self._known = (as_they_are, _document(files[STYLE], scripts), scripts)
        return self._known[1:]


def _document(style: bytes, scripts: tuple[bytes, ...]) -> bytes:
    return b"".join(
        (
            b'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Terminal</title><style>',
            style,
            b"</style></head><body><main></main>",
            *(b"<script>" + each + b"</script>" for each in scripts),
            b"</body></html>\n",
        )
    )


async def _in_pieces(document: bytes) -> AsyncIterator[bytes]:
    # who does not read has one piece waiting, and not all of it
    for at in range(0, len(document), PIECE):
        yield document[at : at + PIECE]
