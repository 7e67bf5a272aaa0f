"""Limits of memory and processors: the task becomes the command inside a scope of the user's systemd.

`systemd-run --user --scope` puts itself into a fresh control group and becomes what it is given, so that the task's
process stays the shim's child throughout. What it is given is this file as a program: it looks whether the limits are
really there (a manager without the controllers passes over them in silence), says so on the failure pipe, and becomes
the command with the environment that was asked for.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from .spec import Spec

CONFINED = b"k"
"""On the failure pipe: the limits are there. An end of file without this word means that there is no scope."""
UNLIMITED = b"l"
"""On the failure pipe, in front of the number of the respect that nothing limits; alone, where there is no scope."""
RESPECTS = ("memory", "cpus")
_HELD = 1.01
"""Managers round: a page more of memory, a hundredth more of a processor, is still the limit that was asked for."""


def fault_of(spec: Spec) -> str | None:
    """Why limits cannot be asked for on this machine, None where they can."""
    return fault_in(spec.env, _runtime(spec))


def fault_in(env: dict[str, str], runtime: str) -> str | None:
    """As `fault_of`, for a task's environment and the user's runtime folder."""
    if sys.platform != "linux":
        return "this system has no control groups"
    if _systemd_run(env) is None:
        return "there is no systemd-run here"
    if not any(os.path.exists(f"{runtime}/{name}") for name in ("systemd/private", "bus")):
        return f"there is no systemd of this user here (nothing in {runtime})"
    return None


def become(spec: Spec, fail: int, mark: str, paths: list[str], env: dict[str, str]) -> NoReturn:
    """In the task's process: go on inside a scope. Raises OSError."""
    plan = os.memfd_create("plan", 0)
    text = {"fail": fail, "paths": paths, "argv": spec.argv, "env": env, "limits": spec.limits}
    os.write(plan, json.dumps(text).encode("utf-8", "surrogateescape"))
    os.set_inheritable(fail, True)
    program = _systemd_run(spec.env)
    assert program and spec.limits
    stage = [sys.executable, "-I", "-S", os.path.abspath(__file__), str(plan)]
    interim = {"PATH": os.defpath, "XDG_RUNTIME_DIR": _runtime(spec), mark: spec.name}
    os.execve(program, ["systemd-run", *_options(spec), "--", *stage], interim)  # noqa: S606 - no shell


def why_unlimited(report: bytes) -> str:
    """The words for a report that begins with `UNLIMITED`."""
    if report == UNLIMITED:
        return "there is no scope, or the limit leaves no room to start in it; what systemd-run said is in the log"
    return f"the systemd of this user keeps no limit of {RESPECTS[int(report[1:])]} here"


def _options(spec: Spec) -> list[str]:
    limits = spec.limits or {}
    options = ["--user", "--scope", "--quiet", "--collect", f"--unit=relay-{spec.name}"]
    if "memory" in limits:
        # Without the second a machine with swap would page instead, and the limit would be none.
        options += ["-p", f"MemoryMax={limits['memory']}", "-p", "MemorySwapMax=0"]
    if "cpus" in limits:
        options += ["-p", f"CPUQuota={max(1, round(float(str(limits['cpus'])) * 100))}%"]
    return options


def _runtime(spec: Spec) -> str:
    return str((spec.limits or {}).get("runtime") or f"/run/user/{os.getuid()}")


def _systemd_run(env: dict[str, str]) -> str | None:
    found = (f"{folder}/systemd-run" for folder in env.get("PATH", os.defpath).split(":") if folder)
    return next((path for path in found if os.access(path, os.X_OK)), None)


def missing_limit(limits: dict[str, object]) -> int | None:
    """The number in `RESPECTS` of a limit that does not hold for this process; None where all do."""
    cgroups = import_module("shim.cgroups")
    measured = (cgroups.memory_limit(os.getpid()), cgroups.cpu_limit(os.getpid()))
    for number, (respect, found) in enumerate(zip(RESPECTS, measured, strict=True)):
        if respect in limits and not (found and found <= float(str(limits[respect])) * _HELD):
            return number
    return None


def _main(plan: int) -> None:
    with open(plan, "rb") as file:
        file.seek(0)
        told = json.loads(file.read())
    fail = int(told["fail"])
    os.set_inheritable(fail, False)
    missing = missing_limit(told["limits"])
    if missing is not None:
        os.write(fail, UNLIMITED + str(missing).encode())
        return
    os.write(fail, CONFINED)
    task = import_module("shim.task")
    try:
        task.execute(told["paths"], told["argv"], told["env"])
    except OSError as fault:
        os.write(fail, task.report_of(fault))


if __name__ == "__main__":
    # Appended, not inserted: a file of ours must never shadow a standard module.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    _main(int(sys.argv[1]))
    os._exit(127)
