"""Sizes as people type and read them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.core.errors import Misuse

UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
SHORT = {name[0]: size for name, size in UNITS.items()}
"""As systemd and docker read them: powers of two."""
MOST = 2**50


def parse(text: str) -> int:
    """Bytes in `500MiB`, `10G`, `1.5TiB`.

    Raises:
        Misuse: it is none of these, or beyond 1,024 TiB.
    """
    number = text.rstrip("KMGTiB")
    bytes_in = (UNITS | SHORT).get(text[len(number) :], 0)
    whole, _, part = number.partition(".")
    plain = all(each.isascii() and each.isdigit() and len(each) <= 9 for each in (whole, part or "0"))
    size = int(float(number) * bytes_in) if plain and bytes_in else 0
    if not 0 < size <= MOST:
        raise _no_size(text)
    return size


def _no_size(text: str) -> Misuse:
    from relay.core.errors import Misuse  # only here: the command imports this module for its progress bars

    return Misuse(
        f"{text[:40]!r} is no size",
        why="a size is a number and a unit: KiB, MiB, GiB, TiB, or K, M, G, T for the same",
        hint="write 500MiB or 10GiB",
    )


def typed(size: int) -> str:
    """A size as a person would type it, which `parse` reads back to the byte: `10GiB`, `1536KiB`."""
    for unit, bytes_in in reversed(UNITS.items()):
        if size >= bytes_in and size % bytes_in == 0:
            return f"{size // bytes_in}{unit}"
    return f"{(size + 0.25) / 1024:.6f}KiB"  # read back, the fraction of a byte is cut off


def spoken(size: float) -> str:
    """A size for people: `812 B`, `4.0 KiB`, `24 MiB`, `1.0 GiB`."""
    if size < 1024:
        return f"{int(size)} B"
    for unit, bytes_in in UNITS.items():
        if size < bytes_in * 1000 or unit == "TiB":
            break
    value = size / bytes_in
    return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
