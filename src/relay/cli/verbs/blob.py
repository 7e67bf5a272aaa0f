"""`relay blob`."""

from __future__ import annotations

import os

from relay.api import routes, sizes
from relay.cli import ages, speech, table
from relay.cli.progress import Bar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from relay.api.blob_shapes import Blob, BlobLine, BlobNeed, BlobOrder
    from relay.cli.invocation import Invocation

INTERRUPTED = 130
HASH_SHOWN = 12
HEADINGS = ("NAME", "HASH", "SIZE", "STATE", "AGE", "FROM", "TO", "WHY")


def send(
    invocation: Invocation, *, file: str, broker: str | None, name: str | None, ttl: str | None, wait: bool
) -> int:
    """Offer a file to another machine."""
    if broker is None:
        from relay.core.errors import Misuse

        raise Misuse("to which machine?", hint="add --broker B; relay brokers lists them")
    order: BlobOrder = {"path": os.path.abspath(file), "broker": broker, "name": name, "wait": wait}
    if ttl is not None:
        from relay.api.durations import parse

        order["ttl_s"] = parse(ttl)
    try:
        last = _followed(invocation, os.path.basename(file), invocation.client().lines(routes.send_blob(order)))
    except KeyboardInterrupt:
        speech.note(f"\nwhat was offered stays offered: {invocation.home.command('blob list')}")
        return INTERRUPTED
    if not invocation.json:
        blob = last["blob"]
        to = next((need["broker"]["name"] for need in blob["to"] if _is(need, broker)), broker)
        speech.say(f"Delivered to {to}." if wait else f"Offered to {to}, which fetches it when it is there.")
        speech.note(f"{blob['name']}, {sizes.spoken(blob['size'])}, hash {blob['hash'][:HASH_SHOWN]}")
    return 0


def _is(need: BlobNeed, broker: str) -> bool:
    return need["broker"]["name"] == broker or need["broker"]["id"].startswith(broker.replace("-", "").lower())


def get(invocation: Invocation, *, blob: str, output: str | None) -> int:
    """Fetch a file that was offered here, and write it where it is wanted."""
    to = None if output is None else os.path.abspath(output)
    try:
        last = _followed(invocation, blob, invocation.client().lines(routes.get_blob(blob, to)))
    except KeyboardInterrupt:
        speech.note(f"\nit is fetched all the same: {invocation.home.command('blob list')}")
        return INTERRUPTED
    if not invocation.json:
        found = last["blob"]
        if to is not None:
            speech.say(f"Wrote {to} ({sizes.spoken(found['size'])}).")
        else:
            speech.say("It is here.")
            speech.note(invocation.home.command(f"blob get {found['hash'][:HASH_SHOWN]} -o FILE") + " writes it")
    return 0


def _followed(invocation: Invocation, title: str, lines: Iterable[BlobLine]) -> BlobLine:
    """Show each line; the last one.

    Raises:
        RelayError: the last one is an error.
    """
    bar, last = Bar(title), None
    try:
        for line in lines:
            last = line
            if "error" in line:
                break
            if invocation.json:
                speech.streamed(line)
            elif "blob" not in line:
                bar.show(line)
    finally:
        bar.end()
    return _finished(invocation, last)


def _finished(invocation: Invocation, last: BlobLine | None) -> BlobLine:
    if last is not None and "blob" in last:
        return last
    from relay.api.client import broke_off
    from relay.core.errors import from_json

    raise from_json(last["error"]) if last is not None and "error" in last else broke_off(invocation.home)


def listing(invocation: Invocation) -> int:
    """List the blobs this broker knows of."""
    found = invocation.client().ask(routes.blobs())
    if invocation.json:
        speech.document(found)
    else:
        table.show(HEADINGS, [_row(blob) for blob in found], "no file was sent from here or to here")
    return 0


def _row(blob: Blob) -> list[str]:
    state = blob["state"]
    if state in ("waiting", "pulling", "paused") and blob["size"]:
        state += f" {int(100 * blob['done'] / blob['size'])} %"
    age = ages.since(blob["created"]) if blob["created"] else ""
    ends = [", ".join(_end(need, blob["size"]) for need in blob[side]) or "-" for side in ("from", "to")]
    return [blob["name"] or "-", blob["hash"][:HASH_SHOWN], sizes.spoken(blob["size"]), state, age, *ends, _why(blob)]


def _end(need: BlobNeed, size: int) -> str:
    name, sent = need["broker"]["name"], need["sent"]
    if need["state"] == "open" and sent is not None and size:
        return f"{name} ({int(100 * sent / size)} %)"
    return name + ("" if need["state"] in ("open", "here") else f" ({need['state']})")


def _why(blob: Blob) -> str:
    errors = [need["error"]["message"] for need in (*blob["from"], *blob["to"]) if need["error"]]
    return blob["reason"] or next(iter(errors), "")


def remove(invocation: Invocation, *, blob: str) -> int:
    """Delete a blob."""
    answer = invocation.client().ask(routes.remove_blob(blob))
    if invocation.json:
        speech.document(answer)
    else:
        name = answer["blob"]["name"] or answer["blob"]["hash"][:HASH_SHOWN]
        speech.say(f"Removed {name}" + ("." if answer["removed"] else "; relay itself needs it a while longer."))
    return 0
