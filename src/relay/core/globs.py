"""Patterns of files below a folder: `dist/*.whl`, `**/report.xml`, `out/**`.

A pattern is matched name by name on the way down, so that a walk enters only the folders in which something can
match. `*`, `?` and `[...]` match within one name, `**` any number of folders, and at the end of a pattern all files
below. As in a shell, none of them matches a name that begins with a dot; a pattern that writes the dot does.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

ANY_DEPTH = "**"
States = frozenset[tuple[int, int]]


class Globs:
    """A few patterns.

    Args:
        patterns: relative, with `/` between names.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = [_names(each) for each in patterns]

    @property
    def start(self) -> States:
        """Where every pattern stands at the folder itself."""
        return self._spread({(which, 0) for which in range(len(self._patterns))})

    def step(self, states: States, name: str) -> States:
        """Where the patterns stand behind one more name; empty where nothing below it can match.

        Args:
            states: where they stood.
            name: of a file or folder there.
        """
        after: set[tuple[int, int]] = set()
        for which, at in states:
            if at == len(self._patterns[which]):
                continue
            wanted = self._patterns[which][at]
            if wanted == ANY_DEPTH:
                after |= set() if name.startswith(".") else {(which, at)}
            elif _matches(name, wanted):
                after.add((which, at + 1))
        return self._spread(after)

    def is_match(self, states: States) -> bool:
        """Whether what the names so far lead to is asked for."""
        return bool(self.matching(states))

    def matching(self, states: States) -> set[int]:
        """Which patterns, by their place, ask for what the names so far lead to."""
        return {which for which, at in states if at == len(self._patterns[which])}

    def goes_on(self, states: States) -> bool:
        """Whether anything below it may be asked for."""
        return any(at < len(self._patterns[which]) for which, at in states)

    def _spread(self, states: set[tuple[int, int]]) -> States:
        """With the places that `**` reaches by matching no folder at all."""
        found, todo = set(states), list(states)
        while todo:
            which, at = todo.pop()
            names = self._patterns[which]
            if at < len(names) and names[at] == ANY_DEPTH and (which, at + 1) not in found:
                found.add((which, at + 1))
                todo.append((which, at + 1))
        return frozenset(found)


def _names(pattern: str) -> list[str]:
    names = [name for name in pattern.split("/") if name not in ("", ".")]
    return [*names, "*"] if names and names[-1] == ANY_DEPTH else names


def _matches(name: str, wanted: str) -> bool:
    return fnmatchcase(name, wanted) and (not name.startswith(".") or wanted.startswith("."))
