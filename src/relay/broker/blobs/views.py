"""Blobs as the JSON of the command contract."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from relay.broker.blobs.downloads import Downloads
from relay.broker.blobs.serving import BlobServer
from relay.broker.members import Members
from relay.broker.words import rfc3339
from relay.store import blobs
from relay.store.blobs import Blob, Need, NeedState, Reference
from relay.store.engine import Store

MAX_LISTED = 1_000


class BlobViews:
    """Renders blobs for clients.

    Args:
        store: rows.
        members: names.
        downloads: what is on its way here.
        server: what is on its way elsewhere.
    """

    def __init__(self, store: Store, members: Members, downloads: Downloads, server: BlobServer) -> None:
        self._store = store
        self._members = members
        self._downloads = downloads
        self._server = server

    async def listing(self) -> list[dict[str, Any]]:
        """Every blob that is here, or that something is told of; the newest need first."""
        here = {each.hash: each for each in await self._store.all(blobs.ALL)}
        needs: dict[bytes, list[Reference]] = {}
        for each in await self._store.all(blobs.REFERENCES, limit=MAX_LISTED):
            needs.setdefault(each.blob, []).append(each)
        order = [*needs, *(address for address in here if address not in needs)]
        return [self._shown(address, here.get(address), needs.get(address, [])) for address in order[:MAX_LISTED]]

    async def one(self, address: bytes) -> dict[str, Any]:
        """One blob."""
        blob = await self._store.one(blobs.BY_HASH, hash=address)
        return self._shown(address, blob, await self._store.all(blobs.OF_BLOB, hash=address))

    def _shown(self, address: bytes, blob: Blob | None, needs: list[Reference]) -> dict[str, Any]:
        size = blob.size if blob else max((each.size for each in needs), default=0)
        oldest = min([each.created for each in needs] + ([blob.created] if blob else []), default=0)
        return {
            "hash": address.hex(),
            "name": next((each.name for each in needs if each.name), ""),
            "size": size,
            "done": self._done(address, blob),
            "state": self._state(address, blob, needs),
            "reason": self._reason(address, needs),
            "created": rfc3339(oldest),
            "from": [self._need(each) for each in needs if each.need is Need.DOWNLOAD],
            "to": [self._need(each) for each in needs if each.need is Need.OFFER],
        }

    def _done(self, address: bytes, blob: Blob | None) -> int:
        download = self._downloads.of(address)
        if blob is None or blob.whole:
            return blob.size if blob else 0
        return download.done if download else 0

    def _state(self, address: bytes, blob: Blob | None, needs: Iterable[Reference]) -> str:
        if blob is not None and blob.whole:
            return "here"
        download = self._downloads.of(address)
        if download is not None:
            return download.state
        if any(each.need is Need.DOWNLOAD and each.state is NeedState.OPEN for each in needs):
            return "waiting"
        return next((str(each.state) for each in needs), "gone")

    def _reason(self, address: bytes, needs: Iterable[Reference]) -> str:
        download = self._downloads.of(address)
        if download is not None:
            return download.why
        return next((str(each.error.get("message", "")) for each in needs if each.error), "")

    def _need(self, need: Reference) -> dict[str, Any]:
        sent = self._server.reached(need.blob, need.peer) if need.need is Need.OFFER else None
        return {
            "broker": self._members.label(need.peer),
            "name": need.name,
            "state": str(need.state),
            "sent": need.size if need.state is NeedState.DELIVERED else sent,
            "until": rfc3339(need.until),
            "error": need.error,
        }
