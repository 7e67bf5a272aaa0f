"""The requests of the control contract about what persons are asked; as in `routes`."""

from __future__ import annotations

from relay.api.routes import ANSWER_S, Call, new_operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.api import person_shapes, shapes


def review() -> Call[person_shapes.Review]:
    """Everything that waits for a person, on every broker that can be reached."""
    return Call("review")


def answer(order: person_shapes.AnswerOrder) -> Call[person_shapes.Answered]:
    """Approve, deny, or send text; durable when this is answered, and with `wait_s` often carried out."""
    return Call("answers", {"operation": new_operation(), **order}, patience_s=order.get("wait_s", 0) + ANSWER_S)


def failures() -> Call[list[person_shapes.Failure]]:
    """What this broker asked for and ended badly, on any machine, and nobody has resolved."""
    return Call("failures")


def resolve(
    spawns: Sequence[str], word: str, notes: str = "", person: str = "", operation: str | None = None
) -> Call[list[shapes.Spawn]]:
    """Say what an end comes to.

    Args:
        spawns: which, or `["all"]`.
        word: `done`, `failed`, or `pending` to take it back.
        notes: for people.
        person: who says so.
    """
    body = {"operation": operation or new_operation(), "spawns": list(spawns), "as": word}
    return Call("resolutions", body | {"notes": notes, "requested_by": person})
