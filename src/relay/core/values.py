"""Values: what `dataclass(frozen=True, slots=True)` makes, made for less.

The library's decorator compiles up to six methods for each class, each by itself: a third of a broker's start. Here
what compares, hashes and shows is shared by all classes, and `__init__` is compiled when a class is first used, which
most are not in a start. All else is the library's: `field`, `fields`, `replace`, `asdict`, `__post_init__`, `match`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

_Kind = TypeVar("_Kind", bound=type)
_MISSING = dataclasses.MISSING


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def frozen(kind: _Kind) -> _Kind:
    """The class as a frozen value with slots; as `dataclass(frozen=True, slots=True)`."""
    if any(dataclasses.is_dataclass(base) for base in kind.__mro__[1:]):
        of_a_value: Any = dataclasses.dataclass(frozen=True, slots=True)
        inherited: _Kind = of_a_value(kind)
        return inherited
    own = dict(kind.__dict__)
    kind.__doc__ = kind.__doc__ or kind.__name__  # or the library writes the signature there
    made: Any = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True)(kind)
    params, fields = made.__dataclass_params__, made.__dataclass_fields__.values()
    params.init = params.repr = params.eq = params.frozen = True
    words = _comparing([each.name for each in fields if each.compare])
    methods: dict[str, Callable[..., Any]] = {
        "__init__": _first(made),
        "__repr__": _shown,
        "__eq__": lambda self, other: (
            words(self) == words(other) if other.__class__ is self.__class__ else NotImplemented
        ),
        "__hash__": lambda self: hash(words(self)),
    }
    for name, method in methods.items():
        if own.get(name) is None:  # who defines how to compare has None for the hash
            setattr(made, name, method)
    made.__setattr__, made.__delattr__ = _fixed, _fixed
    made.__getstate__, made.__setstate__ = _state, _restore
    value: _Kind = made
    return value


def _comparing(names: list[str]) -> Callable[[Any], Any]:
    """What two values of a class have to agree in."""
    return attrgetter(*names) if names else lambda self: ()


def _shown(self: Any) -> str:
    names = [each.name for each in dataclasses.fields(self) if each.repr]
    return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"


def _fixed(self: Any, name: str, *to: Any) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot {'assign to' if to else 'delete'} field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, each.name) for each in dataclasses.fields(self)]


def _restore(self: Any, state: list[Any]) -> None:
    for each, found in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, each.name, found)


def _first(made: Any) -> Callable[..., None]:
    """The `__init__` of a class of which there is none yet: makes the real one."""

    def __init__(self: Any, *args: Any, **named: Any) -> None:
        made.__init__ = init = _compiled(made)
        init(self, *args, **named)

    return __init__


def _compiled(made: Any) -> Callable[..., None]:
    """A class's own `__init__`; slots are filled by their descriptors, as the class lets nobody assign."""
    scope: dict[str, Any] = {"_missing": _MISSING}
    arguments, lines = [], []
    for each in dataclasses.fields(made):
        name = each.name
        scope |= {f"_put_{name}": getattr(made, name).__set__, f"_make_{name}": each.default_factory}
        scope[f"_usual_{name}"] = each.default
        given = name
        if each.default_factory is not _MISSING:
            given = f"_make_{name}() if {name} is _missing else {name}" if each.init else f"_make_{name}()"
            arguments += [f"{name}=_missing"] if each.init else []
        elif each.default is not _MISSING:
            arguments += [f"{name}=_usual_{name}"] if each.init else []
            given = name if each.init else f"_usual_{name}"
        elif each.init:
            arguments.append(name)
        else:
            continue
        lines.append(f"_put_{name}(self, {given})")
    lines += ["self.__post_init__()"] if hasattr(made, "__post_init__") else []
    text = f"def __init__(self, {', '.join(arguments)}):\n " + "\n ".join(lines or ["pass"])
    exec(text, scope)  # noqa: S102 - names of fields, as the library does it
    init: Callable[..., None] = scope["__init__"]
    init.__qualname__ = f"{made.__qualname__}.__init__"
    return init
