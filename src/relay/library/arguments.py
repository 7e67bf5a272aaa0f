"""Checks the arguments of calls against the schemas of runners."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from relay.library.schemas import unusable

if TYPE_CHECKING:
    from relay.library.runners import Runner

MOST_WORDS = 300
Check = Callable[[Any], "str | None"]
"""What is wrong with arguments, in a sentence; None for nothing."""


def checks_of(runners: Mapping[str, Runner]) -> dict[str, Check]:
    """A check for each runner, by name. Loads the package that checks, which takes a tenth of a second.

    Raises:
        Misuse: a schema is none.
    """
    return {name: _check_of(name, each.schema) for name, each in runners.items()}


def _check_of(name: str, schema: Mapping[str, Any]) -> Check:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError, best_match

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as fault:
        raise unusable(name, f"its schema is none: {fault.message[:MOST_WORDS]}", "see json-schema.org") from None
    validator = Draft202012Validator(schema)

    def check(arguments: Any) -> str | None:
        if not isinstance(arguments, dict):
            return "they are no object"
        error = best_match(validator.iter_errors(arguments))
        if error is None:
            return None
        where = ".".join(map(str, error.absolute_path))
        return f"{where}: {error.message[:MOST_WORDS]}" if where else error.message[:MOST_WORDS]

    return check
