"""The names of spawns that were given none."""

from __future__ import annotations

from zlib import crc32

MOST_OF_AGENT = 55  # a name has 64 letters at most


def name_of(agent: str, operation: str) -> str:
    """A name for what this request asks for; the same request sent again has the same one.

    Args:
        agent: what runs it.
        operation: the request's id, of whatever letters.
    """
    told_apart = crc32(operation.encode("utf-8", "surrogatepass"))
    return f"{str(agent)[:MOST_OF_AGENT]}-{told_apart:08x}"
