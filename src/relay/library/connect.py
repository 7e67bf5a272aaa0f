"""`relay.connect`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from relay.api import routes
from relay.api.aclient import AsyncClient
from relay.api.home import Home
from relay.library import given
from relay.library.mesh import Mesh

PATIENCE_S = 60.0


@asynccontextmanager
async def connect(
    home: str | os.PathLike[str] | Home | None = None, *, patience: float | None = PATIENCE_S
) -> AsyncIterator[Mesh]:
    """The mesh, for the length of a block.

        async with relay.connect() as mesh:
            coder = await mesh.spawn("coder", "claude", "Fix the failing test", broker="vps")
            print((await coder.wait()).raise_for_state().text)

    Args:
        home: the folder of the broker of this machine; None for the usual one, and in a task for that of its broker.
        patience: for how many seconds a broker that goes away meanwhile, to be restarted or upgraded, is waited for;
            None for ever.

    Raises:
        RelayError: there is no broker in that folder, or it does not run.
    """
    async with AsyncClient(given.home(home)) as client:
        seconds = given.number("the patience", patience)
        await client.ask(routes.status())
        yield Mesh(client, seconds)
