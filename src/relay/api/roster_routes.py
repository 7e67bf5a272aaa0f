"""The requests about who belongs to the workspace; as in `routes`."""

from __future__ import annotations

from relay.api.routes import Call, broker_in_path, operation_body

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api import roster_shapes


def roster() -> Call[roster_shapes.RosterShown]:
    """Who belongs, who let them in, and who was put out."""
    return Call("roster")


def broker_evict(ref: str, reason: str = "", operation: str | None = None) -> Call[roster_shapes.BrokerEvicted]:
    """Put a member out of the workspace."""
    return Call(f"brokers/{broker_in_path(ref)}/evict", operation_body(operation, reason=reason))


def broker_promote(ref: str, operation: str | None = None) -> Call[roster_shapes.BrokerPromoted]:
    """Make a member a signer of the roster."""
    return Call(f"brokers/{broker_in_path(ref)}/promote", operation_body(operation))


def broker_demote(ref: str, reason: str = "", operation: str | None = None) -> Call[roster_shapes.BrokerEvicted]:
    """End a member's right to sign the roster."""
    return Call(f"brokers/{broker_in_path(ref)}/demote", operation_body(operation, reason=reason))


def workspace() -> Call[roster_shapes.WorkspaceShown]:
    """The workspace and its epochs; no key."""
    return Call("workspace")


def workspace_rotate(operation: str | None = None) -> Call[roster_shapes.Rotated]:
    """Begin a new epoch, with a new key."""
    return Call("workspace/rotate", operation_body(operation))
