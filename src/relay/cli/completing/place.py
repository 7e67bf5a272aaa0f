"""Finds out what is being typed: a verb, an option, or the value of which word or option. Imports nothing.

What is typed is no line yet, so that `parsing` cannot read it; this goes along the words and forgives everything.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.cli.surface import Entry

VERB, OPTION, VALUE, NOTHING = "verb", "option", "value", "nothing"
FLAG = "flag"
COMMON = {"--json": FLAG, "--home": "home", "--help": FLAG, "-h": FLAG}


class Place:
    """Where in a line somebody is.

    Attributes:
        sort: `verb`, `option`, `value` or `nothing`.
        verb: as far as it is typed.
        name: for `value`: of which word or option.
        typed: the beginning that a candidate must have.
        before: what stands before it in the same word, such as `--broker=`.
        home: the value of `--home` so far, or None.
        given: how many words of the verb stand before it.
    """

    __slots__ = ("before", "given", "home", "name", "sort", "typed", "verb")

    def __init__(self) -> None:
        self.sort, self.verb, self.name, self.typed, self.before = VERB, "", "", "", ""
        self.home: str | None = None
        self.given = 0


def find(words: list[str], table: dict[str, Entry]) -> Place:
    """Where the last word stands.

    Args:
        words: what follows `relay`; the last one is being typed, and may be empty.
        table: `relay.cli.surface.TABLE`.
    """
    place, given, awaited, plain = Place(), 0, "", False
    *earlier, place.typed = words or [""]
    for word in earlier:
        if awaited:
            place.home = word if awaited == "home" else place.home
            awaited = ""
        elif plain:
            given += 1
        elif word == "--":
            plain = True
        elif word.startswith("-") and len(word) > 1:
            awaited = _awaits(word, place, table)
        elif f"{place.verb} {word}".strip() in _begun(table) and not given:
            place.verb = f"{place.verb} {word}".strip()
        else:
            given += 1
    return _settled(place, table, given, awaited, plain)


def _begun(table: dict[str, Entry]) -> set[str]:
    return {*table, *(key.split()[0] for key in table)}


def _awaits(word: str, place: Place, table: dict[str, Entry]) -> str:
    """The name of the value that an option takes from the next word; empty for none."""
    flag, equals, value = word.partition("=")
    name = _takes(flag, place.verb, table)
    if name == "home" and equals:
        place.home = value
    return "" if equals else name


def _takes(flag: str, verb: str, table: dict[str, Entry]) -> str:
    known = {key: FLAG if kind == FLAG else name for key, (name, kind, _) in options(verb, table).items()}
    name = (COMMON | known).get(flag, FLAG)
    return "" if name == FLAG else name


def options(verb: str, table: dict[str, Entry]) -> dict[str, tuple[str, str, object]]:
    """The options of a verb; none where it is not typed yet."""
    return table[verb]["options"] if verb in table else {}


def _settled(place: Place, table: dict[str, Entry], given: int, awaited: str, plain: bool) -> Place:
    flag, equals, value = place.typed.partition("=")
    place.given = given
    if awaited:
        place.sort, place.name = VALUE, awaited
    elif place.typed.startswith("-") and not plain:
        place.sort = OPTION
        if equals:
            place.sort, place.name, place.typed = VALUE, _takes(flag, place.verb, table), value
            place.before = f"{flag}="
    elif place.verb not in table or (not given and _has_inner(place.verb, table)):
        place.sort = NOTHING if given else VERB
    else:
        place.name = _word(table[place.verb]["words"], given)
        place.sort = VALUE if place.name else NOTHING
    return place


def _has_inner(verb: str, table: dict[str, Entry]) -> bool:
    return any(key.startswith(verb + " ") for key in table)


def _word(declared: list[tuple[str, bool, bool]], given: int) -> str:
    if given < len(declared):
        return declared[given][0]
    return declared[-1][0] if declared and declared[-1][2] else ""
