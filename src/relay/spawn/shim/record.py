"""An attempt's record: one preallocated file of fixed slots, written in place.

Each slot has one writer and is written once: the shim writes INTENT, TASK, STARTED and EXIT, the broker STOP
and FENCE. A slot is `length, crc32, JSON`, little-endian, within one 512-byte sector, so that a write is torn
only where a disk tears sectors; a torn slot reads as absent. In place, because overwriting written blocks
needs no allocation on a full disk and no folder sync (contract.md: 1.85 ms a run against 4.6 ms by rename).
"""

from __future__ import annotations

import json
import os
import struct
from zlib import crc32

PROTOCOL = 1
SLOT_BYTES = 512
RECORD_BYTES = 4096

INTENT = 0
STARTED = 1
EXIT = 2
FENCE = 3
STOP = 4
TASK = 5
"""The task's pid, written before the task is released to exec: the sweep then knows its session."""
SLOTS = 6

_HEAD = struct.Struct("<II")
ROOM = SLOT_BYTES - _HEAD.size
SHORT = 400
_BLANK = bytes(RECORD_BYTES)
_JSON = json.JSONEncoder(separators=(",", ":"))

# macOS has no fdatasync.
sync = getattr(os, "fdatasync", os.fsync)


def encode(fields: dict[str, object]) -> bytes:
    """The bytes of one slot. Raises ValueError where `fields` need more than `ROOM` bytes of JSON."""
    words = [f'"{name}":{_word(value)}' for name, value in fields.items()]
    payload = f"{{{','.join(words)}}}".encode()
    if len(payload) > ROOM:
        raise ValueError(f"a slot holds {ROOM} bytes, not {len(payload)}")
    return _HEAD.pack(len(payload), crc32(payload)) + payload


def _word(value: object) -> str:
    # The encoder builds itself anew for each call, which a shim pays for in copied pages; most slots are numbers.
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return _JSON.encode(value)


def fit(fields: dict[str, object]) -> dict[str, object]:
    """`fields`, the text of their `error` cut until a slot holds them: no end is lost to its wording."""
    error = fields.get("error")
    while isinstance(error, dict) and len(_JSON.encode(fields)) > ROOM and error["text"]:
        error["text"] = error["text"][: len(error["text"]) // 2]
    return fields


def short(text: str, room: int = SHORT) -> str:
    """A text of a person, cut until it leaves room in a slot, however many bytes its letters take there.

    Args:
        text: the text.
        room: bytes that it may take there.
    """
    text = text.encode("utf-8", "replace").decode()
    while len(_JSON.encode(text)) > room:
        text = text[: len(text) * 3 // 4]
    return text


def decode(slot: bytes) -> dict[str, object] | None:
    """The fields of one slot, None where it is absent or torn; none are in it where a task wrote what is no map."""
    if len(slot) < _HEAD.size:
        return None
    length, check = _HEAD.unpack_from(slot)
    if length == 0:
        return None
    payload = slot[_HEAD.size : _HEAD.size + length]
    if not 0 < length <= ROOM or len(payload) != length or crc32(payload) != check:
        return None
    try:
        fields = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def read_slots(fd: int) -> list[dict[str, object] | None]:
    """All slots, in the order of their numbers."""
    page = os.pread(fd, RECORD_BYTES, 0)
    if page == _BLANK:
        return [None] * SLOTS
    return [decode(page[at * SLOT_BYTES : (at + 1) * SLOT_BYTES]) for at in range(SLOTS)]


def read_slot(fd: int, slot: int) -> dict[str, object] | None:
    """One slot, None where it is absent or torn."""
    return decode(os.pread(fd, SLOT_BYTES, slot * SLOT_BYTES))


def write_slot(fd: int, slot: int, fields: dict[str, object], *, durable: bool) -> None:
    """Write one slot; with `durable` it is on the disk when this returns."""
    os.pwrite(fd, encode(fields), slot * SLOT_BYTES)
    if durable:
        sync(fd)
