"""The page of command lines, from the argparse parsers of the programs."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import trimode_client.cli.main as client
import trimode_convert.cli as converter
import trimode_convert.recipe as recipe
from trimode.server import cli as server

from .markdown import code, codes, paragraphs, plain, prose, table

ROOT = Path(__file__).resolve().parents[2]
FIELD_OF = {"images": "image_bytes_input"}
"""Fields of the request, by knobs that have another name."""

INTRODUCTION = """
# Command lines

| program | does |
| --- | --- |
| [`trimode`](#trimode) | asks a server |
| [`trimode-serve`](#trimode-serve) | serves an engine bundle |
| [`python -m trimode_convert`](#trimode_convert) | turns a checkpoint into an engine bundle |
| [`python -m trimode_convert.recipe`](#trimode_convertrecipe) | does that as a recipe under `build/` says |

`make` makes the virtual environment in `.venv`; the programs are then in `.venv/bin`. Each program explains itself with
`--help`.
"""


class _FoundError(Exception):
    """Carries the parser that a program made for itself."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser


def page() -> str:
    """Return the page."""
    top = client.parser()
    commands = _commands(top)
    summaries = {choice.dest: choice.help or "" for choice in _subparsers(top)._choices_actions}
    knobs = {name: _group(parser, "knobs") for name, parser in commands.items()}
    parts = [
        INTRODUCTION,
        "## trimode",
        _sentence(top.description),
        f"Usage: `{usage(top)}`.",
        _exit_codes(client),
        table(
            ("command", "does"),
            [(f"[{code(name)}](#trimode-{name})", text) for name, text in summaries.items()],
        ),
        prose(
            "Every command has the [options of the server](#options-of-the-server); all except `health` have "
            "[knobs](#knobs)."
        ),
    ]
    for name, parser in commands.items():
        shared = {id(action) for action in (*_group(parser, "server"), *knobs[name])}
        own = [action for action in _shown(parser) if id(action) not in shared]
        description = _sentence(parser.description or summaries[name])
        parts += [f"### trimode {name}", description, f"Usage: `{usage(parser)}`.", _table(own)]
    parts += ["### Options of the server", _table(_group(commands["generate"], "server")), "### Knobs", _knobs(knobs)]
    programs = ((server.parser(), server), (converter.parser(), converter), (_parser_of(recipe.main), recipe))
    for parser, module in programs:
        parts += [
            f"## {parser.prog.removeprefix('python -m ')}",
            _sentence(parser.description),
            f"Usage: `{usage(parser)}`.",
        ]
        parts += [_exit_codes(module), options_table(parser)]
    return paragraphs(*parts)


def usage(parser: argparse.ArgumentParser) -> str:
    """Return the usage in one line: what must be given; anything else is in `[options]`."""
    words = [parser.prog]
    actions = _shown(parser)
    if any(action.option_strings and not action.required for action in actions):
        words.append("[options]")
    words += [f"{action.option_strings[-1]} {_value(action)}" for action in actions if _must_name(action)]
    for action in parser._actions:  # argparse has no public way to ask for them
        if not action.option_strings:
            words.append(f"[{_value(action)}]" if action.nargs == "?" else _value(action))
    return " ".join(words)


def options_table(parser: argparse.ArgumentParser, variable: Callable[[argparse.Action], str] | None = None) -> str:
    """Return the table of a program's arguments and options, without --help; `variable` fills a column of its own."""
    if variable is None:
        return _table(_shown(parser))
    rows = [(_flags(action), variable(action), plain(_help(action))) for action in _shown(parser)]
    return table(("option", "variable", "meaning"), rows)


def _table(actions: Iterable[argparse.Action]) -> str:
    rows = [(_flags(action), plain(_help(action))) for action in actions]
    return table(("argument or option", "meaning"), rows) if rows else ""


def _knobs(knobs: dict[str, list[argparse.Action]]) -> str:
    """Return the table of knobs: the option, the field that it sets, and the commands that have it."""
    having: dict[str, list[str]] = {}
    first: dict[str, argparse.Action] = {}
    for command, actions in knobs.items():
        for action in actions:
            having.setdefault(action.dest, []).append(command)
            first.setdefault(action.dest, action)
    every = sorted(name for name, actions in knobs.items() if actions)
    rows = [
        (
            _flags(first[name]),
            f"[{code(name)}](parameters.md#{FIELD_OF.get(name, name)})",
            "all" if sorted(commands) == every else ", ".join(commands),
        )
        for name, commands in having.items()
    ]
    return paragraphs(
        prose(
            "Knobs are fields of the request; the server has a default for each that is left out. "
            f"*All* means {_and(every)}. `--stop`, `--length` and `--span` may be given several times."
        ),
        table(("option", "field", "commands"), rows),
    )


def _subparsers(parser: argparse.ArgumentParser) -> argparse._SubParsersAction[argparse.ArgumentParser]:
    return next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    return dict(_subparsers(parser).choices)


def _group(parser: argparse.ArgumentParser, title: str) -> list[argparse.Action]:
    return [action for group in parser._action_groups if group.title == title for action in group._group_actions]


def _shown(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return the arguments and options of a parser, without --help and without its commands."""
    hidden = (argparse._HelpAction, argparse._SubParsersAction)
    return [action for action in parser._actions if not isinstance(action, hidden)]


def _must_name(action: argparse.Action) -> bool:
    return bool(action.option_strings) and action.required


def _flags(action: argparse.Action) -> str:
    """Return an argument's name, or an option's names with its value."""
    if not action.option_strings:
        return code(_value(action))
    value = "" if action.nargs == 0 else f" {_value(action)}"
    return codes(f"{flag}{value}" for flag in action.option_strings)


def _value(action: argparse.Action) -> str:
    if action.choices and not isinstance(action, argparse._SubParsersAction):
        return "|".join(str(choice) for choice in action.choices)
    return action.metavar if isinstance(action.metavar, str) else action.dest.upper()


def _help(action: argparse.Action) -> str:
    """Return the help of an action with its default filled in; a place in this checkout becomes a relative path."""
    values = {**vars(action), "prog": ""}
    text = (action.help or "") % values
    return text.replace(f"{ROOT}/", "")


def _parser_of(main: Callable[[list[str]], object]) -> argparse.ArgumentParser:
    """Return the parser that a program's `main` makes inside, taken when it begins to parse."""

    def found(parser: argparse.ArgumentParser, arguments: object = None, namespace: object = None) -> None:
        raise _FoundError(parser)

    with patch.object(argparse.ArgumentParser, "parse_args", found):
        try:
            main([])
        except _FoundError as exc:
            return exc.parser
    raise SystemExit(f"{main} parses no arguments")


def _exit_codes(module: ModuleType) -> str:
    """Return the sentence of a module's docstring that begins with "Exit codes:", or nothing."""
    _, found, after = (module.__doc__ or "").partition("Exit codes: ")
    return prose(f"Exit codes: {after.partition('.')[0]}.") if found else ""


def _sentence(text: str | None) -> str:
    words = (text or "").strip().removesuffix(".")
    return prose(plain(f"{words[:1].upper()}{words[1:]}."))


def _and(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"
