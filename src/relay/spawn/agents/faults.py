"""What went wrong with an agent, in words: one table from statuses and texts to codes, for all of them."""

from __future__ import annotations

import re

from relay.core.errors import Code
from relay.core.values import frozen
from relay.spawn.agents.streams import LOGS, plain

NO_LOGIN = re.compile(
    r"not logged in|please run /login|log ?in again|invalid.{0,12}api.?key"
    r"|api.?key.{0,40}(invalid|not (valid|set|found))"
    r"|incorrect api key|authentication.?(error|failed)|unauthorized|no (api )?key found|set an auth method",
    re.IGNORECASE,
)
LIMIT = re.compile(r"usage limit|session limit|weekly limit|quota.{0,20}exceeded|insufficient.?quota", re.IGNORECASE)
NO_SESSION = re.compile(
    r"no conversation found|no rollout found|session.{0,60}not found|no such session|invalid session|thread not found",
    re.IGNORECASE,
)


@frozen
class Fault:
    """Why an agent's run is no success."""

    code: Code
    why: str
    hint: str = LOGS


def fault_in(agent: str, said: str, log_in: str, status: object = None) -> Fault:
    """What an agent's error means.

    Args:
        agent: its name.
        said: its own words.
        log_in: the command that logs in to it.
        status: of the model's interface, where it told one.
    """
    words = plain(said, 500) or f"{agent} reported an error"
    why = f"{words} (API status {plain(status, 20)})" if status and str(status) not in words else words
    if NO_SESSION.search(words):
        return Fault(Code.AGENT_NO_SESSION, why, "spawn it anew: that session is not on this machine")
    if LIMIT.search(words):
        return usage_limit(why)
    if status in (401, 403) or NO_LOGIN.search(words):
        return Fault(Code.AGENT_NO_LOGIN, why, f"on the machine that ran it, as the user of its broker: {log_in}")
    return Fault(Code.AGENT_ERROR, why)


def usage_limit(why: str) -> Fault:
    """The usage limit of an account is reached."""
    return Fault(Code.AGENT_USAGE_LIMIT, why, "relay retry {id} after the reset; the next time: --on-limit wait")


def denied(agent: str, what: str) -> Fault:
    """A permission was denied, by a person or by the mode."""
    hint = "approve it when it asks (relay review), or spawn it with --mode full where its grant there allows that"
    return Fault(Code.AGENT_DENIED, f"{agent} was denied: {plain(what, 200)}", hint)


def max_turns(agent: str) -> Fault:
    """The agent used up its turns."""
    return Fault(Code.AGENT_MAX_TURNS, f"{agent} reached its limit of turns", LOGS)


def retrying(attempt: object, most: object, status: object) -> str:
    """The line of progress while an agent waits to ask its model again."""
    return plain(f"waiting for the API, try {attempt} of {most}, {status}", 200)
