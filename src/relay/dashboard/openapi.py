"""The OpenAPI document of the control API, made of its catalogue."""

from __future__ import annotations

import re
from typing import Any

from relay import __version__
from relay.api.raw_lines import MEDIA_TYPE
from relay.broker.control.catalogue import CATALOGUE, KINDS, PREFIX, TITLE, Described
from relay.core.errors import Code

ERROR = {"$ref": "#/components/schemas/Error"}
OPERATION = {"type": "string", "pattern": "^[A-Za-z0-9._:/+=-]{1,128}$"}
_PARAMETER = re.compile(r"\{(\w+)\}")


def document() -> dict[str, Any]:
    """All routes, with the scope that each needs; those that are not for devices say so."""
    paths: dict[str, dict[str, Any]] = {}
    for route in CATALOGUE:
        paths.setdefault(f"{PREFIX}{route.path}", {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": __version__},
        "paths": paths,
        "components": {
            "schemas": {"Error": _error()},
            "securitySchemes": {"device": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Described) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": f"{route.method.lower()}-{re.sub(r'[{}]', '', route.path).replace('/', '-')}",
        "summary": route.about,
        "parameters": [_in_path(name) for name in _PARAMETER.findall(route.path)],
        "responses": {
            "2XX": {"description": "It is so, or done", "content": {each: {} for each in _media_types(route)}},
            "default": {"description": "Why not", "content": {"application/json": {"schema": ERROR}}},
        },
        "x-scope": route.scope,
        "security": [{"device": [route.scope]}] if route.scope else [],
    }
    if route.method == "GET":
        made["parameters"] += [_in_query(field) for field in route.fields]
    else:
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": _body(route)}}}
    return made


def _media_types(route: Described) -> list[str]:
    if not route.lines:
        return ["application/json"]
    return ["application/x-ndjson", *([MEDIA_TYPE] if "bytes:flag" in route.fields else [])]


def _body(route: Described) -> dict[str, Any]:
    named = [_field(field) for field in route.fields]
    return {
        "type": "object",
        "properties": {"operation": OPERATION, **{name: schema for name, schema, _ in named}},
        "required": ["operation", *(name for name, _, is_required in named if is_required)],
    }


def _field(text: str) -> tuple[str, dict[str, Any], bool]:
    name, _, kind = text.partition(":")
    schema = KINDS[kind.rstrip("!?")]
    return name, {"anyOf": [schema, {"type": "null"}]} if kind.endswith("?") else schema, kind.endswith("!")


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _in_query(text: str) -> dict[str, Any]:
    name, schema, is_required = _field(text)
    # a flag of a query is written 0 or 1
    plain = {"enum": [0, 1]} if schema is KINDS["flag"] else schema
    return {"name": name, "in": "query", "required": is_required, "schema": plain}


def _error() -> dict[str, Any]:
    texts = {name: {"type": "string"} for name in ("message", "why", "hint")}
    error = {
        "type": "object",
        "properties": {"code": {"enum": [str(code) for code in Code]}, **texts},
        "required": ["code", *texts],
    }
    return {"type": "object", "properties": {"error": error}, "required": ["error"]}
