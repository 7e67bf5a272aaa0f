"""Every error that a person may be shown says what to do next, in the line that raises it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

_SOURCE = Path(__file__).parents[2] / "src" / "relay"
# PeerFault is not among them: a person is never told to mend what a stranger sent
_SHOWN = {"Misuse", "LocalFault", "Refused", "Unreachable"}


def _last_name(function: ast.expr) -> str:
    """`Refused` of both `Refused` and `errors.Refused`."""
    match function:
        case ast.Name(name) | ast.Attribute(attr=name):
            return name
    return ""


def _calls() -> Iterator[tuple[str, ast.Call]]:
    trees = {path: ast.parse(path.read_text()) for path in sorted(_SOURCE.rglob("*.py"))}
    shown = set(_SHOWN)
    for tree in trees.values():
        classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        shown |= {each.name for each in classes for base in each.bases if ast.unparse(base) in _SHOWN}
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _last_name(node.func) in shown:
                yield f"{path.relative_to(_SOURCE)}:{node.lineno}", node


def _has_hint(call: ast.Call) -> bool:
    given = [each.value for each in call.keywords if each.arg == "hint"]
    return any(not isinstance(each, ast.Constant) or bool(each.value) for each in given)


def test_every_error_of_a_person_has_a_try() -> None:
    calls = [(where, call) for where, call in _calls() if not where.startswith("testing/")]
    assert len(calls) > 200
    # `BRANCH(message, **…)` made of another error's own words brings its hint along
    bare = [where for where, call in calls if not _has_hint(call) and all(each.arg for each in call.keywords)]
    assert not bare
