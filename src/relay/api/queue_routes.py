"""The requests about what waits, has ended, or runs again and again; as in `routes`."""

from __future__ import annotations

from relay.api.routes import Call, in_path, operation_body, query, ref_in_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api import queue_shapes, shapes


def pause(ref: str, operation: str | None = None) -> Call[queue_shapes.SteeredSpawn]:
    """Keep a spawn from starting."""
    return Call(f"spawns/{ref_in_path(ref)}/pause", operation_body(operation, requested_by=_person()))


def resume(ref: str, operation: str | None = None) -> Call[queue_shapes.SteeredSpawn]:
    """Let a paused spawn start when its turn comes."""
    return Call(f"spawns/{ref_in_path(ref)}/resume", operation_body(operation, requested_by=_person()))


def retry(ref: str, operation: str | None = None) -> Call[queue_shapes.SteeredSpawn]:
    """Have a spawn that has ended run once more."""
    return Call(f"spawns/{ref_in_path(ref)}/retry", operation_body(operation, requested_by=_person()))


def go_on(ref: str, task: str, operation: str | None = None) -> Call[queue_shapes.SteeredSpawn]:
    """Have the agent of a spawn that has ended go on in its session, with another task."""
    return Call(f"spawns/{ref_in_path(ref)}/continue", operation_body(operation, task=task, requested_by=_person()))


def take(ref: str, operation: str | None = None) -> Call[queue_shapes.SteeredSpawn]:
    """Open the agent of a spawn that has ended in its own interface, in its session."""
    return Call(f"spawns/{ref_in_path(ref)}/take", operation_body(operation, requested_by=_person()))


def edit(ref: str, change: queue_shapes.SpawnChange, operation: str | None = None) -> Call[queue_shapes.SteeredSpawn]:
    """Change what has not started; what is not in the change stays."""
    return Call(f"spawns/{ref_in_path(ref)}/edit", operation_body(operation, requested_by=_person()) | dict(change))


def pause_queue(broker: str | None = None, operation: str | None = None) -> Call[queue_shapes.Steer]:
    """Let nothing start on a broker; what runs goes on."""
    return Call("queue/pause", operation_body(operation, broker=broker, requested_by=_person()))


def resume_queue(broker: str | None = None, operation: str | None = None) -> Call[queue_shapes.Steer]:
    """Let a paused queue go on."""
    return Call("queue/resume", operation_body(operation, broker=broker, requested_by=_person()))


def schedule(order: shapes.SpawnOrder) -> Call[queue_shapes.Schedule]:
    """Have something run again and again; answered as soon as that is durable."""
    return Call("schedules", operation_body(None) | dict(order))


def schedules(everything: bool = False) -> Call[list[queue_shapes.Schedule]]:
    """What runs again and again, here or for this broker elsewhere.

    Args:
        everything: also what was removed or refused.
    """
    return Call("schedules" + query(all=everything))


def remove_schedule(ref: str, operation: str | None = None) -> Call[queue_shapes.Schedule]:
    """Have a schedule run no more, by id prefix or name."""
    path = f"schedules/{in_path(ref, 'schedule', 'relay schedule list')}/remove"
    return Call(path, operation_body(operation, requested_by=_person()))


def _person() -> str:
    from relay.api.person import person

    return person()
