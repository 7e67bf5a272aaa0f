"""The seam of the program that hosts MCP servers: it is told when there is something to host, and when to go."""

from __future__ import annotations

from collections.abc import Sequence

from relay.store.offers import Share


class Hosting:
    """Keeps a host running while there is something to host. This one hosts nothing."""

    async def open(self, shares: Sequence[Share]) -> None:
        """The broker is ready for programs; these are its shares."""

    async def changed(self, shares: Sequence[Share]) -> None:
        """A share was added, changed or removed; all of them, as they are now."""

    async def close(self, for_good: bool) -> None:
        """The broker stops; `for_good` where a person asked it to, so that what it hosts is to end as well."""

    def trouble(self, share: str) -> str:
        """Why a share's tools are not served, as far as the host knows; empty for nothing."""
        return ""
