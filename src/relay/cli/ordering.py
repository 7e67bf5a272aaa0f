"""Makes the request of `relay spawn` from what was typed."""

from __future__ import annotations

import os
import sys

from relay.api.person import person
from relay.api.routes import new_operation
from relay.cli import speech
from relay.cli.blanks import refuse_blank

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from relay.api.queue_shapes import SpawnChange
    from relay.api.shapes import SpawnOrder
    from relay.core.errors import Misuse

MAX_TASK = 200 * 1024  # as in core.spawning, which costs 20 ms to import
MODES = ("plan", "edit", "full")
FRESH, STDIN, FILE = "new", "-", "@"


def order(
    name: str,
    agent: str,
    words: Sequence[str],
    broker: str | None,
    cwd: str | None,
    mode: str | None,
    model: str | None,
    timeout: str | None,
    label: Sequence[str],
    ttl: str | None,
    idempotency_key: str | None,
    memory: str | None = None,
    cpus: str | None = None,
    keep_awake: bool = False,
    max_turns: int | None = None,
    on_limit: str | None = None,
    tty: bool = False,
    stdin: bool = False,
    priority: int | None = None,
    after: Sequence[str] = (),
    after_success: Sequence[str] = (),
    after_any: Sequence[str] = (),
    at: str | None = None,
    every: str | None = None,
    retries: int | None = None,
    collect: Sequence[str] = (),
    place: dict[str, Any] | None = None,
    notify: bool = False,
) -> SpawnOrder:
    """The body of the request.

    Raises:
        Misuse: something in it cannot be.
    """
    refuse_blank(cwd=cwd, model=model, collect=collect)
    operation, named_so = named(name, agent, idempotency_key)
    return {
        "operation": operation,
        "name": named_so,
        "agent": agent,
        **_work(agent, words),
        "broker": broker,
        "cwd": _place(cwd, broker),
        "caller_cwd": None if cwd else _here(),
        **({"place": place} if place is not None else {}),
        **({"notify": True} if notify else {}),
        "mode": _checked_mode(mode),
        "model": model,
        "timeout_s": _seconds(timeout),
        "labels": _labels(label),
        "ttl_s": _seconds(ttl),
        "stdin": stdin,
        "requested_by": person(),
        **_limits(memory, cpus),
        **({"keep_awake": True} if keep_awake else {}),
        **({} if max_turns is None else {"max_turns": max_turns}),
        **({} if on_limit is None else {"on_limit": on_limit}),
        "tty": tty,
        "priority": priority,
        "retries": retries,
        "not_before": _moment(at),
        "every": every,
        **({"collect": list(collect)} if collect else {}),
        **_after([*after, *after_success], after_any),
    }


def named(name: str, agent: str, idempotency_key: str | None) -> tuple[str, str]:
    """The request's operation id and the spawn's name: as typed, or made up."""
    refuse_blank(idempotency_key=idempotency_key)
    operation = idempotency_key or new_operation()
    if name == "-":
        from relay.api import made_up

        name = made_up.name_of(agent, operation)
    return operation, name


def change(
    agent: str,
    words: Sequence[str],
    cwd: str | None,
    mode: str | None,
    model: str | None,
    timeout: str | None,
    label: Sequence[str],
    ttl: str | None,
    priority: int | None,
    after: Sequence[str],
    after_success: Sequence[str],
    after_any: Sequence[str],
    at: str | None,
    retries: int | None,
) -> SpawnChange:
    """The body of `edit`: what was not typed is not in it.

    Raises:
        Misuse: something in it cannot be.
    """
    refuse_blank(cwd=cwd, model=model)
    refuse_passed(at)
    made: dict[str, Any] = dict(_work(agent, words)) if words else {}
    if agent != "exec":
        made.pop("argv", None)
    typed: dict[str, Any] = {"cwd": cwd, "mode": _checked_mode(mode), "model": model, "priority": priority}
    typed |= {"retries": retries, "labels": _labels(label) or None}
    typed |= {"timeout_s": _seconds(timeout), "ttl_s": _seconds(ttl), "not_before": _moment(at)}
    made |= {key: value for key, value in typed.items() if value is not None}
    made |= {"not_before": None} if at is not None and typed["not_before"] is None else {}
    made |= _after([*after, *after_success], after_any)
    changed: SpawnChange = made  # type: ignore[assignment]
    return changed


def refuse_passed(at: str | None, idempotency_key: str | None = None) -> None:
    """Refuse a date that has passed; with a key that was typed it is only told.

    Raises:
        Misuse: `bad_time`.
    """
    then = _moment(at)
    if at is None or then is None:
        return
    from relay.cli.moments import has_passed, passed

    if has_passed(then) and idempotency_key is None:
        raise passed(at, then)
    if has_passed(then):  # what was made in time is given back, however late it is asked for again
        speech.note(f"{at[:40]} has passed: what this key has not made before starts at once")


def _moment(at: str | None) -> int | None:
    if at is None:
        return None
    from relay.cli.moments import NOW, moment

    return None if at == NOW else moment(at)


def _after(success: Sequence[str], anyhow: Sequence[str]) -> SpawnOrder:
    """What it comes after; `none` for nothing any more."""
    if not success and not anyhow:
        return {}
    return {"after": [ref for ref in success if ref != "none"], "after_any": [ref for ref in anyhow if ref != "none"]}


def _misuse(message: str, why: str, hint: str, code: str = "bad_task") -> Misuse:
    from relay.core.errors import Code, Misuse

    return Misuse(message, code=Code(code), why=why, hint=hint)


def _work(agent: str, words: Sequence[str]) -> SpawnOrder:
    if agent == "exec":
        if not words:
            hint = "relay spawn NAME exec -- PROGRAM ARGUMENTS"
            raise _misuse("exec needs the program to run", "there are no words after --", hint)
        return {"argv": [_utf8(word) for word in words], "task": " ".join(words)}
    if len(words) != 1:
        what = "there is no task" if not words else f"the task is in {len(words)} words"
        hint = f'relay spawn NAME {agent} "TASK"   or, for a program with its words: relay spawn NAME exec -- WORDS'
        raise _misuse(what, "the task is one word: put it in quotes", hint)
    return {"task": task(words[0]), "argv": []}


def task(word: str) -> str:
    """The text that a word stands for: itself, standard input for `-`, a file for `@FILE`.

    Raises:
        Misuse: it cannot be read, or is no text.
    """
    if word == STDIN and sys.stdin is None:
        raise _misuse("there is no task", "standard input was closed by who started the command", "the task in quotes")
    if word == STDIN:
        return _read(0)
    return _read(os.path.expanduser(word[1:])) if word.startswith(FILE) else _utf8(word)


def _read(source: str | int) -> str:
    try:
        with open(source, "rb", closefd=source != 0) as file:
            data = file.read(MAX_TASK + 1)
        if len(data) > MAX_TASK:
            raise _misuse("the task is too long", f"it may have {MAX_TASK} bytes", "put it in a file over there")
        return data.decode()
    except UnicodeDecodeError as fault:
        raise _misuse("the task is not UTF-8 text", str(fault), "convert it first") from fault
    except OSError as fault:
        hint = "check the path; a task that begins with @ needs a space before it"
        raise _misuse(f"the task's file cannot be read: {source}", fault.strerror or "", hint) from fault


def _utf8(word: str) -> str:
    try:
        word.encode()
    except UnicodeEncodeError as fault:
        hint = "put them into a file on the machine that runs it, and name that"
        raise _misuse("the task is not UTF-8 text", "the command line has other bytes in it", hint) from fault
    return word


def _here() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None  # the folder was removed under us


def _place(cwd: str | None, broker: str | None) -> str | None:
    """A folder of this machine becomes absolute; one of another machine is that machine's to resolve."""
    return cwd if cwd is None or broker is not None else folder_here(cwd)


def folder_here(cwd: str) -> str:
    """A folder of this machine as a whole path, from where the command was typed; `new` stays what it is."""
    return cwd if cwd == FRESH else os.path.abspath(os.path.expanduser(cwd))


def _checked_mode(mode: str | None) -> str | None:
    if mode is None or mode in MODES:
        return mode
    raise _misuse(f"there is no mode {mode[:40]!r}", f"the modes are {', '.join(MODES)}", "relay spawn --help", "usage")


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    from relay.api.durations import parse

    return parse(text)


def _limits(memory: str | None, cpus: str | None) -> SpawnOrder:
    limits: SpawnOrder = {}
    if memory is not None:
        limits["memory"] = _size(memory)
    if cpus is not None:
        limits["cpus"] = _processors(cpus)
    return limits


def _size(text: str) -> int:
    from relay.api.sizes import parse
    from relay.core.errors import Misuse

    try:
        return parse(text)
    except Misuse as fault:
        raise _misuse(fault.message, f"{fault.why}, up to 1024TiB", "--memory 2GiB", str(fault.code)) from None


def _processors(text: str) -> float:
    from relay.core.wishes import MAX_CPUS, MIN_CPUS

    whole, _, part = text.partition(".")
    plain = all(each.isascii() and each.isdigit() and len(each) <= 6 for each in (whole, part or "0"))
    if plain and MIN_CPUS <= (count := float(text)) <= MAX_CPUS:
        return count
    why = f"it lies between {MIN_CPUS} and {MAX_CPUS:.0f}, such as 0.5 or 2"
    raise _misuse(f"{text[:40]!r} is no number of processors", why, "--cpus 1.5", "usage")


def _labels(texts: Sequence[str]) -> dict[str, str]:
    labels = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise _misuse(f"{text[:60]!r} is no label", "a label is written KEY=VALUE", "--label ticket=42", "usage")
        labels[key] = value
    return labels


def reads_stdin(words: Sequence[str]) -> bool:
    """Whether the task comes from a person's keyboard, who should then be told so."""
    return list(words) == [STDIN] and sys.stdin is not None and sys.stdin.isatty()
