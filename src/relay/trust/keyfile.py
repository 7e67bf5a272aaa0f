"""Files that belong to one person: mode 0600, written whole and durably, refused when others can read them."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import stat
from pathlib import Path
from typing import Any

from relay.core.errors import NO_ROOM, Code, LocalFault

MAX_FILE = 1024 * 1024
OTHERS_READ = stat.S_IRWXG | stat.S_IRWXO
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def read_private(path: Path, code: Code, forbidden: int = OTHERS_READ, *, by_us: bool = False) -> bytes:
    """The bytes of a file whose mode shuts others out.

    Args:
        path: the file.
        code: of the fault, for the kind of file.
        forbidden: mode bits that must be off.
        by_us: whether it must be this user's, or root's: whose it is can write to it, whatever its mode.

    Raises:
        FileNotFoundError: it is not there.
        LocalFault: it cannot be read, is longer than 1 MiB, or is open to others.
    """
    try:
        with open(path, "rb", opener=_at_once) as file:
            found = os.fstat(file.fileno())
            _check_mode(path, found.st_mode, code, forbidden)
            if by_us:
                _check_owner(path, found.st_uid, code)
            data = file.read(MAX_FILE + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise LocalFault(f"{path} cannot be read", code=code, why=error.strerror or "", hint=_show(path)) from None
    if len(data) > MAX_FILE:
        raise LocalFault(f"{path} is too long", code=code, why=f"it has more than {MAX_FILE} bytes", hint=_show(path))
    return data


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe in its place would hold its reader for ever


def _show(path: Path) -> str:
    return shlex.join(["ls", "-l", str(path)])


def _check_mode(path: Path, mode: int, code: Code, forbidden: int) -> None:
    if not stat.S_ISREG(mode):
        raise LocalFault(f"{path} cannot be read", code=code, why="it is no plain file", hint=_show(path))
    if stat.S_IMODE(mode) & forbidden:
        can = "write to" if forbidden == OTHERS_WRITE else "read"
        raise LocalFault(
            f"{path} is open to other users",
            code=code,
            why=f"its mode is {stat.S_IMODE(mode):04o}; others can {can} it",
            hint=shlex.join(["chmod", "600", str(path)]),
        )


def _check_owner(path: Path, owner: int, code: Code) -> None:
    # root looks at homes of other accounts as well: what is in one is that account's
    if owner in (os.geteuid(), 0) or (not os.geteuid() and owner == path.parent.stat().st_uid):
        return
    raise LocalFault(
        f"{path} belongs to another user",
        code=code,
        why=f"uid {owner} can write to it",
        hint=_show(path),
    )


def _write_beside(path: Path, data: bytes, *, replaces: bool = False) -> Path:
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        with os.fdopen(file, "wb") as stream:
            if replaces and not os.geteuid():  # root in another account's home: it stays that account's
                owner = (path if os.path.lexists(path) else path.parent).lstat()
                os.fchown(file, owner.st_uid, owner.st_gid)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return beside


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def create_private(path: Path, data: bytes, code: Code, instead: str) -> None:
    """Write a new file of mode 0600, whole or not at all, durable on return.

    Args:
        path: the file.
        data: what stands in it.
        code: of the fault where it cannot be written.
        instead: what to try where the name is taken.

    Raises:
        LocalFault: `already_set_up` when it exists; `code` when it cannot be written, `disk_full` for want of room.
    """
    try:
        beside = _write_beside(path, data)
        try:
            os.link(beside, path)  # fails when the name is taken, as O_EXCL would, and never shows half a file
        finally:
            beside.unlink()
        _sync_folder(path.parent)
    except FileExistsError:
        raise taken(path, instead) from None
    except OSError as error:
        raise _unwritable(path, error, code) from None


def taken(path: Path, instead: str) -> LocalFault:
    """The fault for a file that is there already."""
    why = "nothing that exists is written over"
    return LocalFault(f"{path} exists already", code=Code.ALREADY_SET_UP, why=why, hint=instead)


def replace_private(path: Path, data: bytes, code: Code) -> None:
    """Put these bytes in the place of a file, mode 0600, whole or not at all, durable on return.

    Raises:
        LocalFault: it cannot be written.
    """
    try:
        beside = _write_beside(path, data, replaces=True)
        try:
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise _unwritable(path, error, code) from None


def _unwritable(path: Path, error: OSError, code: Code) -> LocalFault:
    folder = shlex.quote(str(path.parent))
    hint = f"ls -ld {folder}"
    if error.errno in NO_ROOM:
        code, hint = Code.DISK_FULL, f"free some space, or some files: df -h {folder}; df -i {folder}"
    return LocalFault(f"{path} cannot be written", code=code, why=error.strerror or "", hint=hint)


def load_key_document(path: Path, what: str, missing: str) -> dict[str, Any]:
    """The JSON object in a key file.

    Args:
        path: the file.
        what: what it holds, for the sentences ("this machine's identity").
        missing: the command that makes one.

    Raises:
        LocalFault: `not_set_up` when it is missing; `bad_key_file` when broken. No byte of it is shown.
    """
    try:
        data = read_private(path, Code.BAD_KEY_FILE)
    except FileNotFoundError:
        raise LocalFault(
            f"there is no {what} yet", code=Code.NOT_SET_UP, why=f"{path} is missing", hint=missing
        ) from None
    try:
        document = json.loads(data)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise bad_key_file(path, "it is not the JSON that relay writes")
    return document


def bad_key_file(path: Path, why: str) -> LocalFault:
    """The fault for a key file that was damaged. `why` must not hold a byte of it."""
    return LocalFault(
        f"{path} is damaged", code=Code.BAD_KEY_FILE, why=why, hint="restore it from a backup: relay restore"
    )


def key_field(document: dict[str, Any], name: str, length: int) -> bytes:
    """A hex field of a key document, as exactly `length` bytes.

    Raises:
        ValueError: it is missing or of another form; the text does not show it.
    """
    text = document.get(name)
    try:
        data = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        data = b""
    if len(data) != length:
        raise ValueError(f"its field {name!r} is missing or wrong")
    return data
