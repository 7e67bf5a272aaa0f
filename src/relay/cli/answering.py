"""Sends a person's answer and says what became of it."""

from __future__ import annotations

from relay.api import person_routes
from relay.api.person import person
from relay.cli import speech
from relay.cli.blanks import refuse_blank
from relay.cli.clean import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.cli.invocation import Invocation

WAIT_S = 8.0


def answer(invocation: Invocation, verb: str, spawn: str, request: str | None, text: str = "") -> int:
    """Answer, wait a moment for the word of the machine that asks, and say it.

    Args:
        invocation: the command.
        verb: `approve`, `deny` or `send`.
        spawn: which spawn.
        request: which of its questions, or None.
        text: what is sent, or why.
    """
    refuse_blank(request=request)
    answered = invocation.client().ask(
        person_routes.answer(
            {
                "spawn": spawn,
                "request": request,
                "verb": verb,
                "text": text,
                "requested_by": person(),
                "wait_s": WAIT_S,
            }
        )
    )
    if invocation.json:
        speech.document(answered)
    elif answered["accepted"]:
        speech.say(clean(f"{answered['said']}."))
    else:
        where = answered["broker"]["name"]
        speech.say(clean(f"Queued: {where} has not said yet what came of it."))
        # what is typed answers no question, so that no list of questions tells of it
        look = "review" if answered["request"] else "events"
        speech.note(f"look again: {invocation.home.command(look)}")
    return 0
