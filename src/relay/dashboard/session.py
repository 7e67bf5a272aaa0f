"""`POST /session`: a code for a token."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from relay.api.neighbours import comes_from_another_user
from relay.broker.control.answers import OTHER_VERSION, json_answer
from relay.broker.control.failing import error_answer
from relay.broker.devices import Devices, shown
from relay.core.errors import Code, Misuse, Refused

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

MAX_BODY = 4096
BODY_S = 5.0
PAUSE_S = 0.25
TOO_MANY_REQUESTS = 429


async def _texts(request: Request) -> tuple[str, str]:
    try:
        async with asyncio.timeout(BODY_S):
            data = await _whole(request)
    except ClientDisconnect:
        raise Misuse("the request is not whole", why="who sent it has left", hint=OTHER_VERSION) from None
    except TimeoutError:
        why = f"it did not come within {BODY_S:g} seconds"
        raise Misuse("the request is not whole", why=why, hint=OTHER_VERSION) from None
    try:
        document = json.loads(data)
        code, name = document["code"], document.get("device", "")
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        code = name = None
    if not isinstance(code, str) or not isinstance(name, str):
        raise Misuse("the request cannot be read", why='it is {"code": TEXT, "device": TEXT}', hint=OTHER_VERSION)
    return code, name


async def _whole(request: Request) -> bytes:
    data = b""
    async for piece in request.stream():
        data += piece
        if len(data) > MAX_BODY:
            raise Misuse("the request is too long", why=f"it has at most {MAX_BODY} bytes", hint=OTHER_VERSION)
    return data


class Sessions:
    """Makes devices of browsers that show a code.

    Args:
        devices: knows the codes.
    """

    def __init__(self, devices: Devices) -> None:
        self._devices = devices

    async def begin(self, request: Request) -> Response:
        """Answer the request. One that is wrong takes a while, always the same."""
        code, name = await _texts(request)
        try:
            token, device = await self._devices.exchange(code, name, lambda: comes_from_another_user(request.scope))
        except Refused as refusal:
            await asyncio.sleep(PAUSE_S)
            return error_answer(refusal, TOO_MANY_REQUESTS if refusal.code is Code.RATE_LIMITED else None)
        return json_answer({"token": token, "device": shown(device)}, 201)
