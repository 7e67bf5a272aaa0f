"""Lists of tools, sifted: one tool that is none by the protocol is left out, and the others are there.

The package takes a list as a whole or not at all, so that it is sifted before the package looks at it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp_types import methods
from pydantic import ValidationError

if TYPE_CHECKING:
    from mcp.client.session import ClientSession
    from mcp.shared.dispatcher import CallOptions

    from relay.mcp_server.host.pipes import Pipes

JSON = dict[str, Any]
LIST = "tools/list"
MOST_TOLD, MOST_WORDS = 64, 200


class Sifting(JSONRPCDispatcher):
    """The conversation with a server, in which lists of tools are sifted.

    Args:
        pipes: to it.

    Attributes:
        left_out: the tools that were left out since this was emptied, by name, each with why.
        session: knows which version of the protocol is spoken.
    """

    session: ClientSession

    def __init__(self, pipes: Pipes) -> None:
        super().__init__(pipes.read, pipes.write)
        self.left_out: dict[str, str] = {}

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None, **more: Any
    ) -> JSON:
        """The server's answer, as it came but for the tools that are none."""
        answer = await super().send_raw_request(method, params, opts, **more)
        version = self.session.protocol_version
        if method != LIST or version is None or not isinstance(answer.get("tools"), list):
            return answer
        if _fault(version, answer | {"tools": []}) is not None:
            return answer  # it is the list itself that is none: the package says so of it
        return answer | {"tools": [each for each in answer["tools"] if self._is_tool(version, answer, each)]}

    def _is_tool(self, version: str, answer: JSON, tool: Any) -> bool:
        fault = _fault(version, answer | {"tools": [tool]})
        if fault is not None and len(self.left_out) < MOST_TOLD:
            self.left_out[_name_of(tool)] = _why(fault)
        return fault is None


def _fault(version: str, answer: JSON) -> ValidationError | None:
    try:
        methods.validate_server_result(LIST, version, answer)
    except ValidationError as fault:
        return fault
    return None


def _name_of(tool: Any) -> str:
    name = tool.get("name") if isinstance(tool, dict) else None
    return name[:64] if isinstance(name, str) and name else "one without a name"


def _why(fault: ValidationError) -> str:
    """What is wrong with a tool; a field of it may be of several forms, each with a complaint of its own."""
    first = fault.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"][2:])
    return f"{where}: {first['msg']}"[:MOST_WORDS] if where else str(first["msg"])[:MOST_WORDS]
