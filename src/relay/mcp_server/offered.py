"""The tools that are offered: names, words, schemas. What each does stands in `calls`."""

from __future__ import annotations

import re

from relay.core.values import frozen
from relay.mcp_server.schemas import (
    AGENT,
    BROKER,
    ID,
    STATES,
    WAIT_S,
    Schema,
    flag,
    many,
    maybe,
    text,
    thing,
    whole,
)


@frozen
class Offer:
    """One tool.

    Attributes:
        name: with a dot; `named` makes it one for clients that take none.
        about: what it is for, for a model.
        takes, gives: JSON schemas.
        changes: whether it changes anything.
        ends: whether what it changes cannot be taken back.
    """

    name: str
    about: str
    takes: Schema
    gives: Schema
    changes: bool = False
    ends: bool = False


_MENTION = re.compile(r"\b(?:agent|broker|tool)\.[a-z]+\b")
_ANSWER = {
    "request": text("Which of its questions; not needed where there is one.", minLength=1),
}
OFFERS = (
    Offer(
        "agent.add",
        "Start an agent, a script or a command on a machine of the mesh. Answers as soon as the request is durable: "
        "say `spoken` to the person as it is. A machine that sleeps starts it when it is back. "
        "broker.list says what runs where.",
        thing(
            {
                "name": text("What to call it: letters, digits, . _ -; or - for a made-up name.", maxLength=64),
                "cli": text("Which agent: claude, codex, gemini, …; shell runs the task as a command line."),
                "task": text("What it is to do; for shell the command line.", minLength=1, maxLength=200_000),
            },
            {
                "broker": BROKER,
                "cwd": text("A folder there, or `new` for a fresh one. Another machine needs this or `repo`."),
                "repo": text("Work in a fresh tree of this git repository: URL or URL@BRANCH. Changes come back."),
                "model": text("Which model, for agents that know models."),
                "mode": text("How far it may go without asking.", enum=["plan", "edit", "full"]),
                "timeout": text("End it after so long, such as 30m or 2h."),
                "wait": WAIT_S,
            },
        ),
        AGENT,
        changes=True,
    ),
    Offer(
        "agent.list",
        "The agents of all machines, newest first: those that live and those that ended last.",
        thing(
            {},
            {
                "broker": text("Only on this machine."),
                "states": many(text("A state.", enum=STATES), "Only in these; failed stands for every bad end."),
                "limit": whole("At most so many.", 1, 200),
            },
        ),
        thing({"agents": many(AGENT, "Newest first."), "more": whole("How many others there are.", 0, 2**53)}),
    ),
    Offer("agent.get", "How one agent stands now.", thing({"id": ID}), AGENT),
    Offer(
        "agent.wait",
        "Wait until an agent has ended or needs a person, or the seconds are over: look at `ended` and `state`.",
        thing({"id": ID}, {"seconds": WAIT_S}),
        AGENT,
    ),
    Offer(
        "agent.logs",
        "The last lines that an agent has written.",
        thing({"id": ID}, {"tail": whole("How many lines.", 1, 2000)}),
        thing({"id": text("Its id."), "text": text("The lines."), "cut": flag("Whether there was more.")}),
    ),
    Offer(
        "agent.result",
        "What came of an agent that has ended: its own summary, the end of its output, usage, files.",
        thing({"id": ID}),
        thing(
            {"agent": AGENT, "output_tail": text("The end of its output."), "usage": {"type": "object"}},
            {"files": many({"type": "object"}, "Files that were asked for.")},
        ),
    ),
    Offer(
        "agent.send",
        "Send text to a running agent: the answer to what it asks, else a line to its input.",
        thing({"id": ID, "text": text("The text.", minLength=1)}, _ANSWER),
        thing({"spoken": text("What became of it."), "accepted": maybe(flag("null: not known yet."))}),
        changes=True,
    ),
    Offer(
        "agent.approve",
        "Answer yes or no to what an agent asks leave for. Only a person decides that: ask first, and show what is "
        "asked.",
        thing({"id": ID, "allow": flag("Yes or no.")}, {**_ANSWER, "reason": text("Why not, for the agent.")}),
        thing({"spoken": text("What became of it."), "accepted": maybe(flag("null: not known yet."))}),
        changes=True,
    ),
    Offer(
        "agent.continue",
        "Have an agent that has ended go on in the same session and place, with something else to do.",
        thing({"id": ID, "task": text("What to do now.", minLength=1, maxLength=200_000)}, {"wait": WAIT_S}),
        AGENT,
        changes=True,
    ),
    Offer("agent.stop", "End an agent and everything it started.", thing({"id": ID}), AGENT, changes=True, ends=True),
    Offer(
        "broker.list",
        "The machines of the mesh: which are there, what each can run, and what this machine may do there.",
        thing({}),
        thing(
            {
                "brokers": many(
                    thing(
                        {
                            "name": text("Its name."),
                            "self": flag("Whether it is this machine."),
                            "online": maybe(flag("null: not known.")),
                            "agents": many(text("An agent."), "What it can run."),
                            "may": maybe(many(text("A verb."), "What this machine may do there; null: unknown.")),
                            "spoken": text("How it is, in a sentence."),
                        }
                    ),
                    "All members.",
                )
            }
        ),
    ),
    Offer(
        "tool.result",
        "What a tool of another machine came to that answered with a ticket. Its content is that of the tool.",
        thing({"ticket": text("The ticket.")}, {"wait": WAIT_S}),
        thing(
            {
                "ticket": text("The ticket."),
                "tool": text("Which tool."),
                "broker": text("On which machine."),
                "state": text("How it stands.", enum=STATES),
                "ended": flag("Whether nothing more will happen."),
                "spoken": text("How it stands in a sentence, for the person: true, and to be said as it is."),
                "result": maybe({"type": "object", "description": "All that the tool gave; null: nothing yet."}),
            },
            {"error": text("Why it failed, and what to try.")},
        ),
    ),
)


def named(name: str, style: str) -> str:
    """A tool's name in a style: `dots`, or `underscore` for clients that refuse dots."""
    return name.replace(".", "_") if style == "underscore" else name


def naming(words: str, style: str) -> str:
    """A sentence in which tools are named, with their names in a style."""
    return _MENTION.sub(lambda name: named(name[0], style), words)
