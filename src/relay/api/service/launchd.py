"""The property list of a launchd agent, written and read (launchd.plist(5))."""

from __future__ import annotations

import os
import plistlib
from typing import Any
from xml.parsers.expat import ExpatError

from relay.api.service.definition import Definition, defined_by, short_name

THROTTLE_S = 10
LOG_NAME = "service.log"


def label(home: str) -> str:
    """`local.relay` for the usual home, `local.relay.NAME-HASH` for another."""
    return ".".join(filter(None, ("local.relay", short_name(home))))


def log_path(home: str) -> str:
    """Where launchd puts what the broker prints; the broker's own log is another file."""
    return os.path.join(home, LOG_NAME)


def fault(definition: Definition) -> str:
    """Why no property list can carry this definition, or an empty text."""
    try:
        kept = read_plist(plist(definition)) == definition
    except (ValueError, OverflowError):
        kept = False
    return "" if kept else "a path in it has a character that no property list can carry"


def plist(definition: Definition) -> bytes:
    """The whole property list, as XML.

    Raises:
        ValueError: a text in it cannot be written as XML.
    """
    return plistlib.dumps(_document(definition), sort_keys=False)


def _document(definition: Definition) -> dict[str, Any]:
    log = log_path(definition.home)
    return {
        "Label": label(definition.home),
        "ProgramArguments": list(definition.words),
        "EnvironmentVariables": {"PATH": definition.path},
        "RunAtLoad": True,
        # started again after a crash or an error, and not after `relay down`
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": THROTTLE_S,
        # what the broker runs is not ended with it
        "AbandonProcessGroup": True,
        "StandardOutPath": log,
        "StandardErrorPath": log,
    }


def read_plist(data: bytes) -> Definition | None:
    """The definition that `plist` wrote down, or None for a file of another hand.

    Args:
        data: the file's.
    """
    try:
        document = plistlib.loads(data, fmt=plistlib.FMT_XML)
    except (ValueError, AttributeError, LookupError, ExpatError, RecursionError):
        return None  # plistlib lets through what its parsers raise
    if not isinstance(document, dict):
        return None
    words, variables = document.get("ProgramArguments"), document.get("EnvironmentVariables")
    if not _are_texts(words) or not isinstance(variables, dict) or not isinstance(variables.get("PATH"), str):
        return None
    return defined_by(tuple(words), variables["PATH"])  # type: ignore[arg-type]


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
