"""What a connection that fails or ends means, in people's words: the one table of them.

The system's own words (`[Errno 111] Connect call failed`, `1006`) belong in the log, not on a screen.
"""

from __future__ import annotations

import errno
import re

_NO_WAY = "no network leads from this machine to {host}"
_BROKEN = "the connection to {place} broke while it was being made"
_FULL = "this broker has as many connections open as the system allows"
_WORDS: dict[int, str] = {
    errno.ECONNREFUSED: "refused: nothing listens at {place}",
    errno.ENETUNREACH: _NO_WAY,
    errno.EHOSTUNREACH: _NO_WAY,
    errno.ENETDOWN: _NO_WAY,
    errno.EADDRNOTAVAIL: _NO_WAY,
    errno.EHOSTDOWN: "{host} is off, or not on this network",
    errno.ETIMEDOUT: "nothing answers at {place}",
    errno.ECONNRESET: _BROKEN,
    errno.ECONNABORTED: _BROKEN,
    errno.EPIPE: _BROKEN,
    errno.EACCES: "this machine does not let relay connect to {place}",
    errno.EPERM: "this machine does not let relay connect to {place}",
    errno.EMFILE: _FULL,
    errno.ENFILE: _FULL,
}
_CLOSES: dict[int, str] = {
    1000: "the other side closed the link",
    1001: "the other side went away",
    1002: "the other side found a fault in what this one sent",
    1006: "the connection was lost",
    1009: "a message was longer than a link carries",
    1011: "the other side met a fault of its own",
}
_CLOSES_OF_OURS: dict[int, str] = {
    1002: "the other side broke the rules of a link",
    1009: _CLOSES[1009],
}
_NUMBER = re.compile(r"\[Errno (\d+)\]")


def dial_words(error: BaseException, place: str) -> str:
    """Why no connection to an address came about.

    Args:
        error: what the dial raised.
        place: `host:port`.
    """
    host = place.rpartition(":")[0] or place
    if any(kind.__name__ == "gaierror" for kind in type(error).__mro__):  # the core imports no sockets
        return f"the name {host} is not known here"
    number = _number_of(error)
    if number in _WORDS:
        return _WORDS[number].format(place=place, host=host)
    if isinstance(error, TimeoutError):
        return f"nothing answers at {place}"
    if isinstance(error, OSError):
        return f"{place} cannot be reached"
    return f"what answers at {place} is no broker"


def _number_of(error: BaseException) -> int:
    number = getattr(error, "errno", None)
    if isinstance(number, int):
        return number
    # several addresses of one name failed: the library joins their words, and has no number of its own
    found = _NUMBER.search(str(error))
    return int(found[1]) if found else 0


def close_words(code: int, *, by_us: bool = False) -> str:
    """What the end of a WebSocket means.

    Args:
        code: of RFC 6455, section 7.4.
        by_us: this side ended it.
    """
    if by_us:
        return _CLOSES_OF_OURS.get(code, "this side closed the link")
    return _CLOSES.get(code, "the other side ended the connection")
