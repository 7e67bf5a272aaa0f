"""What a task finds in its environment: an allowlist of the broker's own, nothing else."""

from __future__ import annotations

from collections.abc import Mapping

ALWAYS = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER")
NO_TERMINAL, TERMINAL = ("", "dumb"), "xterm-256color"
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
# what would make an agent take itself for the child of another one (measured with claude 2.1)
NEVER_EXACT = frozenset({"CLAUDECODE", "RELAY_HOME", "RELAY_TOKEN"})
NEVER_PREFIX = ("CLAUDE_CODE_", "RELAY_")


def is_forbidden(name: str) -> bool:
    """Whether a variable never reaches a task from the broker's environment."""
    return name in NEVER_EXACT or name.startswith(NEVER_PREFIX)


def task_environment(
    own: Mapping[str, str], allowed: tuple[str, ...], additions: Mapping[str, str], spawn: str
) -> dict[str, str]:
    """The environment of one task.

    Args:
        own: the broker's environment.
        allowed: further names from `env` in config.toml.
        additions: the agent's own variables.
        spawn: the spawn's id, which the task finds as RELAY_SPAWN.
    """
    kept = {name: own[name] for name in (*ALWAYS, *allowed) if name in own and not is_forbidden(name)}
    kept.setdefault("PATH", DEFAULT_PATH)
    return kept | dict(additions) | {"RELAY_SPAWN": spawn}


def on_terminal(environment: dict[str, str]) -> dict[str, str]:
    """The same for a task on a terminal: it is told of which kind, also where a service manager started its broker."""
    if environment.get("TERM", "") not in NO_TERMINAL:
        return environment
    return environment | {"TERM": TERMINAL}
