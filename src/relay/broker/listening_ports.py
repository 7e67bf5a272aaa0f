"""Whether something listens on a port of this machine's loopback, found out without connecting to it."""

from __future__ import annotations

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
LISTENS = "0A"
HEARD_AT = frozenset(
    {
        "00000000",  # 0.0.0.0
        "0100007F",  # 127.0.0.1
        "0" * 32,  # ::
        "00000000000000000000000001000000",  # ::1
        "0000000000000000FFFF00000100007F",  # ::ffff:127.0.0.1
        "0000000000000000FFFF000000000000",
    }
)
MOST_LINES = 1_000_000


def hears(port: int) -> bool | None:
    """Whether something listens there; None where the system has no table that tells."""
    read = False
    for table in TABLES:
        try:
            with open(table, encoding="ascii", errors="replace") as lines:
                read = True
                if any(_is(line, port) for _, line in zip(range(MOST_LINES), lines, strict=False)):
                    return True
        except OSError:
            continue
    return False if read else None


def _is(line: str, port: int) -> bool:
    words = line.split(maxsplit=4)
    if len(words) < 4 or words[3] != LISTENS:
        return False
    address, _, number = words[1].partition(":")
    return address in HEARD_AT and number == f"{port:04X}"
