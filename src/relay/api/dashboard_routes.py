"""The requests about the dashboard; as in `routes`. None of them is answered to a device of it but the last two."""

from __future__ import annotations

from relay.api.routes import Call, operation_body
from relay.core.errors import Code, Misuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.api.dashboard_shapes import DashboardCode, DashboardPlace, Device


def place() -> Call[DashboardPlace]:
    """Where it is served, if it is."""
    return Call("dashboard")


def serve(operation: str | None = None) -> Call[DashboardPlace]:
    """Serve it from now on."""
    return Call("dashboard/open", operation_body(operation))


def code(scopes: Sequence[str], operation: str | None = None, *, is_shown: bool = False) -> Call[DashboardCode]:
    """Serve it, and make a code that opens it once, for a device that may do this.

    Args:
        scopes: what the device may do.
        operation: its id.
        is_shown: whether the code will stand in a command line, which all users of this machine can read.
    """
    return Call("dashboard/codes", operation_body(operation, scopes=list(scopes), shown=is_shown))


def publish(origin: str | None, operation: str | None = None) -> Call[DashboardPlace]:
    """Take the name by which others reach it, or None any more."""
    return Call("dashboard/publish", operation_body(operation, origin=origin))


def devices() -> Call[list[Device]]:
    """The devices that may open it."""
    return Call("dashboard/devices")


def revoke(ref: str, operation: str | None = None) -> Call[Device]:
    """Take the token of a device away."""
    from relay.api.http1 import quoted

    if not ref or "/" in ref or len(ref) > 300:
        raise Misuse(
            f"there is no device {ref[:80]!r}", code=Code.UNKNOWN_DEVICE, hint="relay dashboard devices list"
        )
    return Call(f"dashboard/devices/{quoted(ref)}/revoke", operation_body(operation))
