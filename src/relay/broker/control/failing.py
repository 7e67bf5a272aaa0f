"""The answers of errors: which status goes with which branch and code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.broker.control.answers import OTHER_VERSION, json_answer
from relay.core.errors import Code, LocalFault, Misuse, PeerFault, Refused, RelayError, Unreachable

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

STATUSES: dict[type[RelayError], int] = {Misuse: 400, LocalFault: 503, Unreachable: 504, Refused: 403, PeerFault: 502}
CODES: dict[Code, int] = {
    **dict.fromkeys((Code.UNKNOWN_SPAWN, Code.UNKNOWN_BROKER, Code.UNKNOWN_ENVELOPE, Code.UNKNOWN_REQUEST), 404),
    **dict.fromkeys((Code.UNKNOWN_SCHEDULE, Code.UNKNOWN_DEVICE, Code.UNKNOWN_CHANNEL), 404),
    **dict.fromkeys((Code.CONFLICT, Code.NAME_IN_USE, Code.ALREADY_STARTED, Code.NOT_ENDED), 409),
    **dict.fromkeys((Code.NO_SESSION, Code.PLACE_GONE, Code.ANSWERED), 409),
    **dict.fromkeys((Code.NO_TOKEN, Code.CODE_REFUSED), 401),
    Code.FOREIGN_HOST: 421,
}


def error_answer(error: RelayError, status: int | None = None) -> Response:
    """The answer that an error is.

    Args:
        status: of HTTP, where it is not the one of its code or branch.
    """
    kind = next((kind for kind in STATUSES if isinstance(error, kind)), LocalFault)
    return json_answer({"error": error.to_json()}, status or CODES.get(error.code, STATUSES[kind]))


async def on_no_text(request: Request, error: Exception) -> Response:
    """Half a letter (a lone surrogate), which JSON can spell and nothing can keep, where no field looked for it."""
    why = "it has half a letter, a surrogate without the other"
    return error_answer(Misuse("a text of the request cannot be read", why=why, hint=OTHER_VERSION))
