"""What a function takes, as JSON Schema, by its annotations."""

from __future__ import annotations

import enum
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

from relay.core.errors import Code, Misuse

_PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    type(None): {"type": "null"},
    dict: {"type": "object"},
    list: {"type": "array"},
    Any: {},
    object: {},
}
_LISTS = (list, Sequence)
_TABLES = (dict, Mapping)
_KINDS = inspect.Parameter
_BY_NAME = (_KINDS.POSITIONAL_OR_KEYWORD, _KINDS.KEYWORD_ONLY)


class Unspelled(Exception):
    """An annotation has no form in JSON Schema."""


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """The function's parameters, with annotations as the types that they name.

    Raises:
        Misuse: one of them names nothing.
    """
    try:
        return inspect.signature(function, eval_str=True)
    except (NameError, SyntaxError, AttributeError, TypeError) as fault:
        raise unusable(function.__name__, f"its annotations cannot be read: {fault}", "schema={…}") from None


def schema_of(name: str, parameters: Sequence[inspect.Parameter]) -> dict[str, Any]:
    """The JSON Schema of the arguments.

    Args:
        name: of the runner, for errors.
        parameters: those that a caller gives.

    Raises:
        Misuse: one of them cannot be given by name, or its annotation has no form in JSON.
    """
    properties, required = {}, []
    is_open = False
    for each in parameters:
        if each.kind is _KINDS.VAR_KEYWORD:
            is_open = True
            continue
        if each.kind not in _BY_NAME:
            raise unusable(name, f"{each.name!r} cannot be given by name", "take parameters that have names")
        properties[each.name] = _property(name, each)
        if each.default is _KINDS.empty:
            required.append(each.name)
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    return schema | ({"required": required} if required else {}) | {"additionalProperties": is_open}


def _property(name: str, parameter: inspect.Parameter) -> dict[str, Any]:
    try:
        spelled = {} if parameter.annotation is _KINDS.empty else spelled_type(parameter.annotation)
    except Unspelled as fault:
        why = f"the type of {parameter.name!r} is {fault}, and JSON has no such thing"
        raise unusable(name, why, "schema={…}, or str, int, float, bool, list, dict, Literal, Optional") from None
    default = parameter.default
    told = default is not _KINDS.empty and isinstance(default, (str, int, float)) and not isinstance(default, enum.Enum)
    return spelled | ({"default": default} if told else {})


def spelled_type(annotation: Any) -> dict[str, Any]:
    """The JSON Schema of a type.

    Raises:
        Unspelled: it has none.
    """
    if isinstance(annotation, typing.Hashable) and annotation in _PLAIN:
        return dict(_PLAIN[annotation])
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated:
        described = next((each for each in parts[1:] if isinstance(each, str)), None)
        return spelled_type(parts[0]) | ({"description": described} if described else {})
    if origin is Literal:
        return {"enum": list(parts)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [spelled_type(each) for each in parts]}
    if origin in _LISTS:
        return {"type": "array", "items": spelled_type(parts[0])}
    if origin in _TABLES and parts[0] is str:
        return {"type": "object", "additionalProperties": spelled_type(parts[1])}
    raise Unspelled(getattr(annotation, "__name__", None) or str(annotation))


def checked_schema(name: str, schema: Any, parameters: Sequence[inspect.Parameter]) -> dict[str, Any]:
    """A schema that was given, if the function takes what it names.

    Raises:
        Misuse: it is no schema of an object, or the function does not take what it names.
    """
    if not isinstance(schema, Mapping) or schema.get("type") != "object":
        raise unusable(name, "its schema is none of an object", 'schema={"type": "object", "properties": {…}}')
    is_open = any(each.kind is _KINDS.VAR_KEYWORD for each in parameters)
    taken = {each.name for each in parameters if each.kind in _BY_NAME}
    needed = {each.name for each in parameters if each.kind in _BY_NAME and each.default is _KINDS.empty}
    named, required = set(schema.get("properties", ())), set(schema.get("required", ()))
    if unknown := (named | required) - taken if not is_open else set():
        raise unusable(name, f"its schema names {sorted(unknown)[0]!r}, which the function does not take", "name=…")
    if missing := needed - required:
        why = f"the function needs {sorted(missing)[0]!r}, which its schema does not require"
        raise unusable(name, why, "require it, or give it a default")
    return dict(schema)


def unusable(name: str, why: str, hint: str) -> Misuse:
    """The error for what cannot be a runner."""
    return Misuse(f"{name[:64]!r} cannot be a runner", code=Code.USAGE, why=why, hint=hint)
