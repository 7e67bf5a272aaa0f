"""A broker that keeps envelopes for others badly: it says that it keeps what it drops, and hands out what it bent.

    python -m relay.testing.lying --manner drops -- --home DIR ...

What follows `--` goes to `relay.daemon`. Custody is replaced from outside, in this process only. It has its own keys
and nobody else's: what it does is what any holder could do.
"""

from __future__ import annotations

import argparse
import asyncio
import runpy
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from relay.broker.custody import Custody
from relay.broker.mesh import Mesh
from relay.core.delivery import Outgoing, Window
from relay.core.envelope import pack_envelope, unpack_envelope
from relay.core.ids import BrokerId

MANNERS = ("drops", "bends", "replays", "reads")
_honest_keep = Custody.keep
_honest_taken = Custody.taken


async def _drops(custody: Custody, origin: BrokerId, raws: Sequence[bytes]) -> list[tuple[bytes, str]]:
    """Say that all is kept, and keep nothing."""
    return [(unpack_envelope(raw).header.id, "") for raw in raws]


def _bent(raw: bytes) -> bytes:
    envelope = unpack_envelope(raw)
    sealed = bytearray(envelope.sealed)
    sealed[len(sealed) // 2] ^= 1
    return pack_envelope(envelope.header_bytes, bytes(sealed), envelope.signature)


def _bends() -> None:
    """Keep all, and hand it out changed."""
    honest = Window.take

    def take(window: Window, credit: int, now: int) -> list[Outgoing]:
        rows = honest(window, credit, now)
        return [replace(row, raw=_bent(row.raw)) if row.id in kept else row for row in rows]

    kept: set[bytes] = set()

    async def keep(custody: Custody, origin: BrokerId, raws: Sequence[bytes]) -> list[tuple[bytes, str]]:
        kept.update(unpack_envelope(raw).header.id for raw in raws)
        return await _honest_keep(custody, origin, raws)

    Custody.keep = keep  # type: ignore[method-assign, assignment]
    Window.take = take  # type: ignore[method-assign, assignment]


def _replays() -> None:
    """Never forget, and hand all of it to everybody each time a link comes up."""
    came_up = Mesh._came_up
    seen: list[bytes] = []

    async def keep(custody: Custody, origin: BrokerId, raws: Sequence[bytes]) -> list[tuple[bytes, str]]:
        seen.extend(raws)
        return await _honest_keep(custody, origin, raws)

    def up(mesh: Mesh, link: object) -> None:
        came_up(mesh, link)  # type: ignore[arg-type]
        for each in mesh.up:
            for raw in reversed(seen):
                each.send_live(raw)

    Custody.keep = keep  # type: ignore[method-assign, assignment]
    Custody.taken = lambda custody, recipient, envelopes: None  # type: ignore[method-assign, assignment]
    Mesh._came_up = up  # type: ignore[method-assign, assignment]


def _reads() -> None:
    """Write all that it was given to keep into a file, as it came."""

    async def keep(custody: Custody, origin: BrokerId, raws: Sequence[bytes]) -> list[tuple[bytes, str]]:
        home = sys.argv[sys.argv.index("--home") + 1]
        await asyncio.to_thread(_append, Path(home) / "stolen", b"".join(raws))
        return await _honest_keep(custody, origin, raws)

    Custody.keep = keep  # type: ignore[method-assign, assignment]


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as stolen:
        stolen.write(data)


def main() -> None:
    """Become a bad holder."""
    parser = argparse.ArgumentParser(prog="relay.testing.lying")
    parser.add_argument("--manner", required=True, choices=MANNERS)
    at = sys.argv.index("--")
    manner = parser.parse_args(sys.argv[1:at]).manner
    if manner == "drops":
        Custody.keep = _drops  # type: ignore[method-assign, assignment]
    else:
        {"bends": _bends, "replays": _replays, "reads": _reads}[manner]()
    sys.argv = ["relay.daemon", *sys.argv[at + 1 :]]
    runpy.run_module("relay.daemon", run_name="__main__")


if __name__ == "__main__":
    main()
