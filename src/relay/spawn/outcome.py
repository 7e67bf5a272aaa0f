"""From an attempt's exit record and its agent's own words to the state it ends in.

Failure is never dressed as success: `completed` takes exit code 0 *and* the agent's finding, and the record
is written only when the process tree has ended.
"""

from __future__ import annotations

from dataclasses import asdict, field, replace
from errno import EISDIR, ELOOP, ENOEXEC, ETXTBSY
from signal import Signals
from typing import Any

from relay.core.errors import Code, LocalFault, RelayError
from relay.core.spawning import MAX_SUMMARY, MAX_TAIL
from relay.core.states import State
from relay.core.tails import Tail
from relay.core.values import frozen
from relay.core.workplaces import KEY
from relay.spawn.agents.agent import Finding
from relay.spawn.attempt import ExitRecord, LaunchError
from relay.store.query import values_of

_recorded = values_of(ExitRecord)


@frozen
class Outcome:
    """How an attempt ended.

    Attributes:
        state: a terminal state.
        reason: one line for people.
        exit_code, signal: of the task.
        started, ended: milliseconds since 1970, as the shim saw them.
        result: what `relay result` shows.
        error: why it is no success, or None.
        resets: milliseconds since 1970: when the usage limit that ended it is lifted, or None.
    """

    state: State
    reason: str
    exit_code: int | None = None
    signal: int | None = None
    started: int | None = None
    ended: int | None = None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    resets: int | None = None


@frozen
class _Verdict:
    state: State
    reason: str
    code: Code | None = None
    hint: str = ""
    finding: Finding = field(default_factory=lambda: Finding(State.COMPLETED))


_LONGER = "relay logs {id}, then spawn it anew with more --timeout"
_MEMORY = "relay logs {id}, then spawn it anew with a higher --memory, or without one where more is free"
_LEFT = ("session", "branch", "diffstat", KEY)
_MENDS = {
    EISDIR: "name the program itself",
    ELOOP: "mend that link, on the machine that runs it",
    ENOEXEC: "begin it with a line such as #!/bin/sh, or build it for the machine that runs it",
    ETXTBSY: "spawn it again when nobody writes to it any more",
}
"""What mends a program that is there and cannot be run, where the error's number tells."""
_START_FAULTS: dict[str, tuple[Code, str]] = {
    "not_found": (Code.MISSING_BINARY, "install it there, or add its folder to PATH where that broker is started"),
    "not_executable": (Code.NOT_EXECUTABLE, "chmod +x it, on the machine that runs it"),
    "noexec": (Code.NOT_EXECUTABLE, "put it on another file system, or start it by its interpreter"),
    "bad_interpreter": (Code.NOT_EXECUTABLE, "install there what that line names, or mend the line"),
    "bad_cwd": (Code.NO_DIRECTORY, "choose a directory that it can enter there: --cwd DIR"),
    "no_limits": (Code.NO_LIMITS, "spawn it without --memory and --cpus, or on a machine whose user has a systemd"),
    "too_long": (Code.BAD_TASK, "put the text into a file on the target and name the file in the task"),
}


def _signal_name(number: int) -> str:
    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"


def _start_fault(error: LaunchError) -> _Verdict:
    if error.kind == "shim_fault":
        return _Verdict(State.LOST, f"its supervision failed: {error.text}", Code.TASK_LOST, "relay logs {id}")
    hint = "relay doctor, on the machine that was to run it"
    code, hint = _START_FAULTS.get(error.kind, (Code.LAUNCH_FAILED, hint))
    if code is Code.NOT_EXECUTABLE:
        hint = _MENDS.get(error.errno or 0, hint)
    why = f"its limits cannot be kept: {error.text}" if code is Code.NO_LIMITS else error.text
    return _Verdict(State.FAILED, why, code, hint)


def _own_end(exit_code: int, finding: Finding) -> _Verdict:
    if finding.state is State.COMPLETED and exit_code == 0:
        return _Verdict(State.COMPLETED, "", finding=finding)
    why = finding.why or f"the task ended with exit code {exit_code}"
    state = State.LOST if finding.state is State.LOST else State.FAILED
    return _Verdict(state, why, finding.code or Code.EXIT_NONZERO, finding.hint or "relay logs {id}", finding)


def _judge(record: ExitRecord, finding: Finding, timeout_s: float | None, by: str) -> _Verdict:
    if record.stopped:
        return _Verdict(State.CANCELLED, f"stopped by {by or 'request'}", finding=finding)
    if record.error is not None:
        return _start_fault(record.error)
    if record.timed_out:
        why = f"it ran longer than its timeout of {timeout_s:g} s" if timeout_s else "it ran longer than its timeout"
        why += f"; last: {finding.waited_for}" if finding.waited_for else ""
        return _Verdict(State.TIMED_OUT, why, Code.TASK_TIMED_OUT, _LONGER, finding)
    if record.oom:
        why = "memory ran out, and the kernel ended it"
        return _Verdict(State.FAILED, why, Code.OUT_OF_MEMORY, _MEMORY, finding)
    if record.signal:
        why = f"it was ended by {_signal_name(record.signal)}"
        return _Verdict(State.FAILED, why, Code.KILLED_BY_SIGNAL, "relay logs {id}", finding)
    if record.exit_code is None:
        if record.survivors:
            hint = "end it on the machine that runs it, as the user that it became; then: relay logs {id}"
            return _Verdict(State.LOST, "it takes no signal, and could not be ended", Code.TASK_LOST, hint)
        return _Verdict(State.LOST, "its exit record names no end", Code.TASK_LOST, "relay logs {id}")
    return _own_end(record.exit_code, finding)


def _error(verdict: _Verdict, spawn: str) -> dict[str, Any] | None:
    if verdict.code is None:
        return None
    return {
        "code": str(verdict.code),
        "message": verdict.reason,
        "why": "",
        "hint": verdict.hint.replace("{id}", spawn),
    }


def _notes(record: ExitRecord, finding: Finding) -> list[str]:
    """What a person should know of its run beside its end."""
    notes = list(finding.notes)
    if record.log_dropped:
        notes.append(f"{record.log_dropped} bytes of its output are no longer kept: there was more than log_limit")
    if record.log_lost:
        notes.append(f"{record.log_lost} bytes of its output could not be written ({record.log_error})")
    if record.survivors:
        notes.append(f"{record.survivors} of its processes could not be ended: stuck in the kernel, or of another user")
    if record.not_awake:
        notes.append(f"the machine was not kept awake: {record.not_awake}")
    return notes


def _result(
    verdict: _Verdict, tail: str, lost_bytes: int = 0, survivors: int = 0, notes: list[str] | None = None
) -> dict[str, Any]:
    finding = verdict.finding
    done = "awaiting_approval" if finding.awaits else "done"
    return {
        "status": str(verdict.state),
        "outcome": done if verdict.state is State.COMPLETED else "error",
        "summary": (finding.summary or verdict.reason or _last_line(tail))[:MAX_SUMMARY],
        "output_tail": tail[-MAX_TAIL:],
        "output_before_bytes": 0,
        "usage": finding.usage,
        "session": finding.session,
        "model": finding.model,
        "branch": None,
        "diffstat": None,
        "output_lost_bytes": lost_bytes,
        "processes_left": survivors,
        "notes": notes or [],
    }


def _last_line(tail: str) -> str:
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def outcome_of(
    spawn: str, record: ExitRecord, finding: Finding, tail: str, timeout_s: float | None, stopped_by: str = ""
) -> Outcome:
    """The outcome of an attempt that left an exit record.

    Args:
        spawn: the spawn's id, for the hints.
        record: what the shim wrote.
        finding: what the agent's output said.
        tail: the end of the output, as text.
        timeout_s: what its timeout was, for the words.
        stopped_by: who asked for its end, where the record says so.
    """
    verdict = _judge(record, finding, timeout_s, stopped_by)
    return Outcome(
        verdict.state,
        verdict.reason,
        record.exit_code,
        record.signal,
        record.started_at,
        record.ended_at,
        _result(verdict, tail, record.log_dropped + record.log_lost, record.survivors, _notes(record, finding)),
        _error(verdict, spawn),
        verdict.finding.resets,
    )


def recorded(record: ExitRecord) -> dict[str, Any]:
    """An exit record as it is kept, in what JSON can spell."""
    values = _recorded(record)
    return values if record.error is None else values | {"error": asdict(record.error)}


def with_more_before(outcome: Outcome, tail: Tail, record: dict[str, Any] | None) -> Outcome:
    """The outcome that says how much output stood before the text in its result.

    Args:
        outcome: how the attempt ended.
        tail: the longer end of its output.
        record: its exit record, as it is kept; without one that counts the output, the log's own bytes count along.
    """
    longer = sum(len(each.data) for each in tail.pieces)
    written = (record or {}).get("log_written")
    whole = tail.missing + longer if record is None or written is None else written + record["log_lost"]
    before = max(0, whole - min(longer, MAX_TAIL))
    return replace(outcome, result=(outcome.result or {}) | {"output_before_bytes": before})


def lost(spawn: str, tail: str, now: int, survivors: int = 0, session: str | None = None) -> Outcome:
    """The outcome of an attempt that left none: it was started, and nobody saw its end.

    Args:
        spawn: the spawn's id.
        tail: the end of the output, as text.
        now: milliseconds since 1970.
        survivors: processes of it that could not be ended.
        session: the agent's, if it named it.
    """
    why = "its supervisor was killed, so its end was not seen; it may have acted"
    hint = "relay logs {id}, then spawn it again if that is safe"
    finding = Finding(State.FAILED, session=session)
    verdict = _Verdict(State.LOST, why, Code.TASK_LOST, hint, finding)
    result = _result(verdict, tail, survivors=survivors)
    return Outcome(State.LOST, why, ended=now, result=result, error=_error(verdict, spawn))


def left_of(result: dict[str, Any] | None) -> dict[str, Any]:
    """What of an attempt's result is still there, whatever becomes of the attempts after it."""
    return {name: result[name] for name in _LEFT if result.get(name)} if result else {}


def with_left(
    result: dict[str, Any] | None, left: dict[str, Any] | None, state: State, reason: str
) -> dict[str, Any] | None:
    """A result with what earlier attempts left: what no further attempt has come to touch, and the session.

    Args:
        result: of the last attempt; None where none ran since.
        left: as `left_of` told it; None for nothing.
        state: in which the spawn ends, and `reason`.
    """
    if not left:
        return result
    if result is None:
        return _result(_Verdict(state, reason), "") | {"summary": ""} | left  # its reason says the rest
    return result if result.get("session") else result | {"session": left.get("session")}


def not_started(spawn: str, fault: RelayError, now: int) -> Outcome:
    """The outcome of an attempt that could not be launched."""
    hint = fault.hint or "relay doctor, on the machine that was to run it"
    verdict = _Verdict(State.FAILED, f"{fault.message}{f': {fault.why}' if fault.why else ''}", fault.code, hint)
    return Outcome(State.FAILED, verdict.reason, ended=now, result=_result(verdict, ""), error=_error(verdict, spawn))


def never_began(spawn: str, attempts: int, now: int) -> Outcome:
    """The outcome of a spawn of which so many attempts of late were cut off before they began."""
    fault = LocalFault(
        "it could not be started",
        code=Code.LAUNCH_FAILED,
        why=f"{attempts} attempts failed",
        hint=f"on that machine: relay doctor; then: relay retry {spawn}",
    )
    return not_started(spawn, fault, now)
