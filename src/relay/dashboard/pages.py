"""The files of the page, read once: what is not in the package's folder at the start is not there."""

from __future__ import annotations

import hashlib
from importlib import resources
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING

from starlette.responses import Response

from relay.core.values import frozen

if TYPE_CHECKING:
    from starlette.requests import Request

TYPES: dict[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
}
INDEX = "index.html"
AT_ROOT = ("sw.js", "manifest.webmanifest")
STATIC = "/static/"


@frozen
class File:
    """One file as it is served."""

    data: bytes
    kind: str
    tag: str


def _read(folder: Traversable, before: str = "") -> dict[str, File]:
    found: dict[str, File] = {}
    for each in folder.iterdir():
        if each.is_dir():
            found |= _read(each, f"{before}{each.name}/")
        elif kind := TYPES.get("." + each.name.rpartition(".")[2]):
            data = each.read_bytes()
            found[before + each.name] = File(data, kind, f'"{hashlib.sha256(data).hexdigest()[:32]}"')
    return found


class Pages:
    """Serves the files of `relay/dashboard/page`."""

    def __init__(self) -> None:
        files = _read(resources.files("relay.dashboard") / "page")
        self._by_path = {STATIC + name: file for name, file in files.items()}
        self._by_path |= {f"/{name}": files[name] for name in AT_ROOT if name in files}
        self._by_path["/"] = files[INDEX]

    def answer(self, request: Request) -> Response | None:
        """The file at a path; None where there is none."""
        file = self._by_path.get(request.url.path)
        if file is None:
            return None
        headers = {"cache-control": "no-cache", "etag": file.tag}
        known = request.headers.get("if-none-match", "").split(",")
        if file.tag in [each.strip().removeprefix("W/") for each in known]:
            return Response(status_code=304, headers=headers)
        return Response(file.data, headers=headers, media_type=file.kind)
