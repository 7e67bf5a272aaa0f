"""`relay review`."""

from __future__ import annotations

import json

from relay.api import person_routes, routes
from relay.cli import ages, speech
from relay.cli.clean import brief, clean, clean_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.api.broker_shapes import Broker
    from relay.api.home import Home
    from relay.api.person_shapes import Question
    from relay.cli.invocation import Invocation

SHORT = 8
MOST_LINES = 40
CHANGED_BY = {"held": "approve deny", "silent": "approve deny send", "permission": "approve deny", "question": "send"}


def run(invocation: Invocation) -> int:
    """Say what waits for a person, and which brokers could not be looked at."""
    found = invocation.client().ask(person_routes.review())
    if invocation.json:
        speech.document(found)
        return 0
    brokers = invocation.client().ask(routes.brokers()) if found["questions"] else []
    for question in found["questions"]:
        _say(question, invocation.home, brokers)
    if not found["questions"]:
        speech.note("nothing waits for you")
    for untold in found.get("more", []):
        told = f"{untold['name']} asks {untold['count']} more than one look tells"
        speech.note(clean(f"{told}: answer some of these, and look again"))
    for broker in found["unreachable"]:
        name, why = broker["name"], broker["why"]
        away = why if why.startswith(f"{name} ") else f"{name} ({why})"
        speech.note(clean(f"not reached: {away}; what is shown of it is its last word"))
    return 0


def _say(question: Question, home: Home, brokers: Sequence[Broker]) -> None:
    name = f"{question['name']}@{question['broker']['name']}"
    age = ages.since(question["asked"])
    speech.say(speech.coloured(clean(f"{name}: {question['text']}"), speech.YELLOW))
    speech.say(clean(f"  {question['kind']}, asked {age} ago{_until(question)}; request {question['request']}"))
    if question["kind"] == "held":
        _say_held(question, home)
    if question["tool"]:
        speech.say(clean(f"  {question['tool']}: {brief(json.dumps(question['input']), 2000)}"))
    for command in _commands(question, home, brokers):
        speech.say(clean(f"  {command}"))
    speech.say()


def _commands(question: Question, home: Home, brokers: Sequence[Broker]) -> list[str]:
    """What answers it; nobody approves or denies what they have asked for themselves, but may stop it."""
    own = next((each["id"] for each in brokers if each["self"]), "")
    spawn, request = question["spawn"][:SHORT], question["request"][:SHORT]
    if question["kind"] == "held" and own in (question["origin"]["id"], *question["chain"]):
        there = f"on {clean(question['broker']['name'])}: relay approve {spawn} --request {request}"
        return [there, home.command(f"stop {spawn}")]
    verbs = CHANGED_BY.get(question["kind"], "approve deny send").split()
    texts = {"send": " TEXT"}
    answers = {verb: f"{verb} {spawn} --request {request}{texts.get(verb, '')}" for verb in verbs}
    mine = [home.command(words) for verb, words in answers.items() if _may(verb, question, own, brokers)]
    return mine or [f"on {clean(question['broker']['name'])}: relay {words}" for words in answers.values()]


def _may(verb: str, question: Question, own: str, brokers: Sequence[Broker]) -> bool:
    """Whether this machine's answer would count there, by what that one has said; where it has not, it will say so."""
    target = next((each for each in brokers if each["id"] == question["broker"]["id"]), None)
    if target is None or target["self"] or (told := target["grants"]["to_us"]) is None:
        return True
    if question["kind"] == "held":
        return "approve" in told
    sends = "send" in told or ("spawn" in told and question["origin"]["id"] == own)
    return sends or (verb != "send" and "approve" in told)


def _until(question: Question) -> str:
    return f", until {question['expires']}" if question["expires"] else ""


def _say_held(question: Question, home: Home) -> None:
    asker = f"{question['requested_by']} on {question['origin']['name']}"
    speech.say(clean(f"  from {asker}, fingerprint {question['fingerprint']}"))
    for broker in question["chain"]:
        speech.say(f"  through {broker}")
    speech.say(clean(f"  agent {question['agent']} in {question['cwd'] or '(no folder)'}, mode {question['mode']}"))
    for term in question["terms"]:
        speech.say(clean(f"  {term}"))
    speech.say(clean(f"  hash {question['hash']}"))
    task = " ".join(map(repr, question["argv"])) or question["task"]
    lines = clean_lines(task).splitlines()
    for line in lines[:MOST_LINES]:
        speech.say(f"  | {line}")
    if question["cut"] or len(lines) > MOST_LINES:
        speech.say(f"  | ... ({home.command('review --json')} has more)")
