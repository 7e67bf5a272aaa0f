"""How a verb is declared: a typer command without a body, bound to the function that does the work.

Typer only parses: what a command returns is a `Parsed`, as the fast parser returns it, and `main` calls the
verb. So both ways in do the same.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

import typer

from relay.cli.parsing import FLAG, NUMBER, TEXT, TEXTS, Parsed

if TYPE_CHECKING:
    from collections.abc import Callable

# typer may carry click within itself or import it; either way this is the base of its usage errors
UsageFault: Any = typer.BadParameter.__mro__[1]
Json = Annotated[bool, typer.Option("--json", help="Print JSON: one document, or one object a line.")]
HomeFolder = Annotated[str | None, typer.Option("--home", metavar="DIR", help="The broker's folder.")]

MOST = 10**15 - 1
"""The largest number that a broker reads where no other bound is set."""

TARGETS: dict[str, str] = {}
SECTIONS: dict[str, str] = {}
EXAMPLES: dict[str, tuple[str, ...]] = {}
KINDS: dict[str, dict[str, str]] = {}


def group(name: str, about: str, root: typer.Typer) -> typer.Typer:
    """A group of verbs under one word, such as `trust`."""
    made = typer.Typer(name=name, help=about, rich_markup_mode=None, add_completion=False, no_args_is_help=False)
    made.callback()(_common_only)
    root.add_typer(made, name=name)
    return made


def verb_with_more(
    root: typer.Typer, name: str, target: str, section: str, examples: tuple[str, ...], declared: Callable[..., None]
) -> typer.Typer:
    """A verb that is also the first word of others, such as `outbox`; the group for those.

    Args:
        root: the application.
        name: the word.
        target, section, examples: as for `verb`.
        declared: its options, and as its docstring its help.
    """
    about = inspect.getdoc(declared)
    made = typer.Typer(name=name, help=about, rich_markup_mode=None, add_completion=False, no_args_is_help=False)
    TARGETS[name], SECTIONS[name], EXAMPLES[name] = target, section, examples
    made.callback(invoke_without_command=True)(_parsing_command(name, declared))
    root.add_typer(made, name=name)
    return made


def _common_only(context: typer.Context, json: Json = False, home: HomeFolder = None) -> None:
    keep_common(context, json, home)


def keep_common(context: typer.Context, json: bool, home: str | None) -> None:
    """Remember `--json` and `--home` given before the verb."""
    known = context.ensure_object(dict)
    known["json"] = json or known.get("json", False)
    known["home"] = home if home is not None else known.get("home")


def verb(
    app: typer.Typer, key: str, target: str, section: str, examples: tuple[str, ...]
) -> Callable[[Callable[..., None]], Callable[..., Parsed]]:
    """Declare a verb.

    Args:
        app: the root or a group.
        key: the words that call it, such as `trust allow`.
        target: `module:function` under `relay.cli.verbs`.
        section: the heading it stands under in `relay --help`.
        examples: command lines; a test parses each of them.
    """

    def declare(declared: Callable[..., None]) -> Callable[..., Parsed]:
        TARGETS[key] = target
        SECTIONS[key] = section
        EXAMPLES[key] = examples
        command = _parsing_command(key, declared)
        app.command(key.split()[-1], help=inspect.getdoc(declared))(command)
        return command

    return declare


def _parsing_command(key: str, declared: Callable[..., None]) -> Callable[..., Parsed]:
    def command(context: typer.Context, **values: Any) -> Parsed:
        keep_common(context, values.pop("json"), values.pop("home"))
        if context.invoked_subcommand:
            _refuse_own_options(context, values)
        lists = {name: list(values[name] or ()) for name in values if KINDS[key][name] == TEXTS}
        return Parsed(key, values | lists | context.obj)

    signature = inspect.signature(declared, eval_str=True)
    extra = {"context": (typer.Context, inspect.Parameter.empty), "json": (Json, False), "home": (HomeFolder, None)}
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in extra.items()
    ]
    own = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in signature.parameters.values()]
    KINDS[key] = {each.name: _kind(each.annotation) for each in [*own, *added]}
    whole = signature.replace(parameters=[*own, *added], return_annotation=None)
    command.__signature__ = whole  # type: ignore[attr-defined]
    command.__annotations__ = {name: each.annotation for name, each in whole.parameters.items()}
    return command


def _refuse_own_options(context: typer.Context, values: dict[str, Any]) -> None:
    """What belongs to the first word alone, as in `queue --status held pause`, must not be dropped without a word."""
    given = [name for name, value in values.items() if value]
    if given:
        flag = f"--{given[0].replace('_', '-')}"
        raise UsageFault(f"{flag} goes with {context.command_path} alone", ctx=context)


def _kind(annotation: Any) -> str:
    plain = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    named = [each for each in get_args(plain) if each is not type(None)] if get_origin(plain) is not list else []
    base = named[0] if named else plain
    if get_origin(base) is list:
        return TEXTS
    return {bool: FLAG, int: NUMBER}.get(base, TEXT)
