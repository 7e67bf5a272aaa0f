"""Staying with a spawn until it has ended: `spawn --wait`, `spawn --follow`, `continue --wait`."""

from __future__ import annotations

from relay.cli import following, speech, waiting
from relay.cli.clean import clean
from relay.cli.spawn_lines import print_result, say_failure, say_notes, status_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.shapes import Spawn
    from relay.cli.invocation import Invocation
    from relay.cli.patient import PatientClient

INTERRUPTED, NOT_RUN = 130, 125
LEFT_S = 2.0  # it was asked for here, and what is known here is told at once


def stay(
    invocation: Invocation, client: PatientClient, spawn: Spawn, follow: bool, start: int | None = None
) -> int:
    """Wait until a spawn has ended, and say how.

    Args:
        invocation: how relay was called.
        client: asks the broker.
        spawn: as it stands.
        follow: print its output meanwhile.
        start: the offset where that begins; None for its beginning.

    Returns:
        The exit status.
    """
    try:
        if follow:
            _follow(invocation, client, spawn, start)
        spawn = waiting.until_ended(client, spawn, is_quiet=invocation.json)
    except KeyboardInterrupt:
        waiting.say_it_is_left(invocation.client(), spawn["id"], invocation.home, patience_s=LEFT_S)
        return INTERRUPTED
    if invocation.json:
        speech.document(spawn)
    elif spawn["state"] == "completed" and not follow:
        print_result(spawn)
    return finish(invocation, spawn, not invocation.json)


def not_run(invocation: Invocation, fault: Exception) -> int:
    """Say that there is no broker to run it; the status of what relay did not run. What may have been done is raised.

    Args:
        invocation: how relay was called.
        fault: what came of asking for a spawn that was to be waited for.
    """
    from relay.core.errors import RelayError

    if not isinstance(fault, RelayError) or not fault.is_unsent:
        raise fault
    speech.error(fault, invocation.json)
    return NOT_RUN


def _follow(invocation: Invocation, client: PatientClient, spawn: Spawn, start: int | None) -> None:
    if invocation.json:
        speech.streamed(spawn)
    elif spawn["state"] == "queued":
        speech.note(clean(spawn["ack"]))
    following.copy(client, spawn["id"], invocation.json, follow=True, start=start)


def finish(invocation: Invocation, spawn: Spawn, aloud: bool) -> int:
    """Say what there is to say of an end; the exit status."""
    status = status_of(spawn)
    if not invocation.json:
        say_notes(spawn, invocation.home)
    if status and aloud and not invocation.json:
        say_failure(spawn, invocation.home)
    return status
