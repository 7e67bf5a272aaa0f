"""All that a held request asks for beyond its task, as lines for the person who says yes or no to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from relay.api import sizes
from relay.api.durations import typed
from relay.core.moments import rfc3339
from relay.core.wishes import LIMIT_WAITS, After, Wishes, first_bad_wish, wishes_from_content
from relay.core.workplaces import Workplace

MAX_WISHES = 64
MOST_SHOWN = 300  # characters of a wish that this version does not know


def are_terms(value: object) -> bool:
    """Whether this is what another broker says of a request's wishes: those of a later version may be among them."""
    return type(value) is dict and len(value) <= MAX_WISHES and all(type(key) is str for key in value)


def terms(model: str | None, timeout_s: float | None, wishes: dict[str, Any]) -> list[str]:
    """A line for each thing that is asked for beyond the task.

    Args:
        model: the agent's; None for its own choice.
        timeout_s: seconds after which it is ended, or None.
        wishes: as `Wishes.to_content` has them; one that is not known here is shown as it is.
    """
    known = {name: value for name, value in wishes.items() if first_bad_wish({name: value}) is None}
    read = wishes_from_content(known)
    found = [f"model {model}"] if model else []
    found += [f"ended after {typed(timeout_s)}"] if timeout_s is not None else []
    found += [line for name, words in _WORDS.items() if name in known for line in words(read)]
    return found + [f"{name}: {json.dumps(value)[:MOST_SHOWN]}" for name, value in wishes.items() if name not in known]


def _place(wishes: Wishes) -> list[str]:
    place = wishes.place
    if place is None:
        return []
    where = f", in its folder {place.sub}" if place.sub else ""
    pushed = [f"its branch is pushed to {place.pushed_to}"] if place.push else []
    return [f"works in {_tree(place)}{where}", *pushed]


def _tree(place: Workplace) -> str:
    if place.tree is not None:
        return f"a {'folder' if place.is_folder else 'working tree'} that it sends along"
    return f"a fresh worktree of {place.repo}{f'@{place.ref}' if place.ref else ''}"


def _after(each: After) -> str:
    return f"after {each.spawn}, {'once that is completed' if each.condition == 'success' else 'however that ends'}"


_WORDS: dict[str, Callable[[Wishes], list[str]]] = {
    "place": _place,
    "collect": lambda wishes: [f"sends back the files {' '.join(map(repr, wishes.collect))}"],
    "retries": lambda wishes: [f"tried again up to {wishes.retries} times"],
    "not_before": lambda wishes: [f"not before {rfc3339(wishes.not_before or 0)}"],
    "after": lambda wishes: list(map(_after, wishes.after)),
    "memory": lambda wishes: [f"memory up to {sizes.spoken(wishes.memory or 0)}"],
    "cpus": lambda wishes: [f"processors up to {wishes.cpus:g}"],
    "tty": lambda wishes: ["on a terminal of its own"],
    "stdin": lambda wishes: ["its standard input stays open"],
    "keep_awake": lambda wishes: ["keeps the machine awake"],
    "max_turns": lambda wishes: [f"at most {wishes.max_turns} turns"],
    "on_limit": lambda wishes: ["waits where a usage limit is reached"] if wishes.on_limit == LIMIT_WAITS else [],
    "priority": lambda wishes: [f"priority {wishes.priority}"],
}
