"""Finds the broker that a person means, without a broker running; and tells a running one of a changed grant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.api import roster, routes
from relay.api.client import Client
from relay.api.roster import Member
from relay.api.task_token import token_for
from relay.core import ids
from relay.core.errors import Code, Misuse, Refused, RelayError

if TYPE_CHECKING:
    from relay.api.home import Home


def meant(home: Home, text: str) -> Member:
    """The member that this text names; a full id may name one that is on no roster here.

    Raises:
        Misuse: nobody, or more than one.
    """
    known = roster.members(home)
    try:
        return roster.find(known, text)
    except Misuse as fault:
        if fault.code is not Code.UNKNOWN_BROKER:
            raise
        try:
            return Member(ids.parse_broker_id(text), "", ())
        except Misuse:
            raise fault from None


def label(home: Home, broker: ids.BrokerId) -> str:
    """What a member is called on this machine; empty where the id is no member's."""
    return next((member.called for member in roster.members(home) if member.id == broker), "")


def _tells_persons(home: Home) -> bool:
    """Whether a broker has answered, which tells tasks from persons; one that is out of reach cannot."""
    try:
        with Client(home) as client:
            client.ask(routes.as_person())
        return True
    except RelayError as fault:
        if fault.code in (Code.TASK_SCOPE, Code.TASK_OVER):
            raise
        return False


def require_person(home: Home) -> None:
    """Go on only outside of tasks, before anything is written: a task is told no, and then nothing may have changed.

    Raises:
        Refused: `task_scope`: this runs inside a task of this home's broker. One that hides it is known to the broker,
            where that runs, by its process.
    """
    if not _tells_persons(home) and token_for(home.path) is not None:
        raise Refused(
            "a task may not ask for that",
            code=Code.TASK_SCOPE,
            why="it is part of a task, and would change this machine's own files or take its keys",
            hint="do it yourself, outside of the task",
        )


def tell_of_grants(home: Home) -> bool:
    """Tell the broker, where one runs, that trust.toml was edited; whether there was one."""
    try:
        with Client(home) as client:
            client.ask(routes.grants_changed())
        return True
    except RelayError as fault:
        if fault.code is not Code.NOT_RUNNING:
            raise
        return False
