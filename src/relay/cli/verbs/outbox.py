"""`relay outbox`, `relay outbox retry` and `relay outbox drop`."""

from __future__ import annotations

from relay.api import routes
from relay.api.durations import spoken
from relay.cli import ages, speech, table
from relay.cli.clean import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.outbox_shapes import EnvelopeRow, OutboxDone
    from relay.cli.invocation import Invocation

HEADINGS = ("WHERE", "KIND", "PEER", "STATE", "AGE", "TRIES", "NEXT", "ID", "WHY")
SHOWN = 16  # an id begins with its time, so that the first eight letters are those of a whole minute's envelopes


def run(invocation: Invocation) -> int:
    """Show the envelopes this broker holds."""
    found = invocation.client().ask(routes.outbox())
    if invocation.json:
        speech.document(found)
        return 0
    groups = (
        ("outgoing", found["outgoing"]),
        ("incoming", found["incoming"]),
        ("held for others", found["held_for_others"]),
        ("given up", found["dead"]),
    )
    rows = [_row(where, envelope) for where, envelopes in groups for envelope in envelopes]
    table.show(HEADINGS, rows, "no envelope is on its way")
    return 0


def _row(where: str, envelope: EnvelopeRow) -> list[str]:
    age, tries, reason = spoken(envelope["age_s"]), str(envelope["tries"]), envelope["reason"] or ""
    following = f"in {ages.ahead(envelope['next_try'])}" if envelope["next_try"] else ""
    shown = envelope["id"][:SHOWN]
    return [where, envelope["kind"], envelope["peer"], envelope["state"], age, tries, following, shown, reason]


def retry(invocation: Invocation, *, envelope: str | None, every: bool, broker: str | None) -> int:
    """Send dead letters again."""
    _require_one(invocation, "retry", envelope, every, broker)
    return _told(invocation, invocation.client().ask(routes.outbox_retry(envelope, every, broker)), "sent again")


def drop(invocation: Invocation, *, envelope: str | None, every: bool, dead: bool, broker: str | None) -> int:
    """Take envelopes out of the outbox."""
    _require_one(invocation, "drop", envelope, every, broker)
    if every and not dead:
        raise _misuse(invocation, "only dead letters are dropped all at once", "outbox drop --all --dead")
    return _told(invocation, invocation.client().ask(routes.outbox_drop(envelope, every, broker)), "dropped")


def _require_one(invocation: Invocation, verb: str, envelope: str | None, every: bool, broker: str | None) -> None:
    if (envelope is None) != every:
        raise _misuse(invocation, "name one envelope, or say --all", f"outbox {verb} --help")
    if broker is not None and not every:
        raise _misuse(invocation, "--broker goes with --all", f"outbox {verb} --help")


def _misuse(invocation: Invocation, message: str, words: str) -> Exception:
    from relay.core.errors import Misuse

    return Misuse(message, hint=invocation.home.command(words))


def _told(invocation: Invocation, answer: OutboxDone, what: str) -> int:
    from relay.cli.hints import for_home

    done, refused = answer["done"], answer["refused"]
    if invocation.json:
        speech.document(answer)
    else:
        for each in done:
            speech.say(clean(f"{what}: {each['kind']} for {each['peer']}, {each['id'][:SHOWN]}"))
        for each in refused:
            error = each["error"]
            hint = for_home(error["hint"], invocation.home)
            speech.note(clean(f"not {what}: {each['id'][:SHOWN]}: {error['message']}; try: {hint}"))
        if not done and not refused:
            speech.say("there are no dead letters")
    return 1 if refused and not done else 0
