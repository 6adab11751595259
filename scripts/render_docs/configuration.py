"""The page of what an operator can set, from config.py and the options of trimode-serve."""

from __future__ import annotations

import argparse
from dataclasses import fields
from enum import StrEnum
from functools import partial
from pathlib import Path

from trimode.api.fields import Mode
from trimode.api.reveals import RULE_FILES
from trimode.config import AUTO, ENVIRONMENT, ServerConfig, Setting, settings
from trimode.server.launch.environment import variables
from trimode.server.launch.options import parser
from trimode.server.launch.triton_options import OWNED, OWNED_OF_PYTHON

from .cli import options_table, usage
from .markdown import NOTHING, code, codes, number, paragraphs, prose, table

INTRODUCTION = """
# Configuration

Three things set how the server runs. The options of `trimode-serve` set addresses, ports and limits of the process.
The file `model_repository/nemotron_diffusion/model.yaml` sets how the model uses the machine. Every option and every
key has a variable of the environment, which wins over the file; an option wins over its variable. What the engine is
(its capacity, precision and token ids) stands in the bundle's `manifest.json` and cannot be set.
"""

KEYS = """
Every key may be left out; an unknown key or a value out of range keeps the model from loading, with an error that says
what was expected. So does a variable that begins with `TRIMODE_` and is none of this page; the error names the nearest.
A variable is read when the model loads. A boolean is `true` or `false`, or 1 or 0.
"""

OPTIONS = """
A variable takes what its option takes: values of an option that may be given several times are separated by commas, and
those of the command line come after them. One without a value takes `true` or `false`. `TRIMODE_PLAYGROUND=false` is
`--no-playground`.
"""

TRITONS = """
What comes after `--` goes to tritonserver, as in `trimode-serve -- --log-verbose=1 --id=blue`;
`TRIMODE_TRITON_OPTIONS` holds such options too, split as a shell splits them. These are refused, since `trimode-serve`
sets them or they would open a door beside it:
"""

OTHER_VARIABLES = {
    "TRIMODE_TRITON_OPTIONS": ("the server", "Options of tritonserver, before those after `--`."),
    RULE_FILES: (
        "the server",
        "Python files with reveal rules of your own, separated by colons; the name of a file is the name of its rule.",
    ),
    "TRIMODE_URL": (
        "the client, `trimode`",
        "Address of the server where none is given: host:port, or a URL of grpc, grpcs, http or https.",
    ),
    "TRIMODE_API_KEY": ("the client, `trimode`", "Sent as `Authorization: Bearer …` where no other key is given."),
    "NO_COLOR": ("`trimode`", "If it is set, nothing is printed in colour."),
}


def page() -> str:
    """Return the page."""
    serve = parser()
    return paragraphs(
        INTRODUCTION,
        "## Keys of model.yaml",
        KEYS,
        table(("key", "variable", "type", "range", "default", "meaning"), _rows()),
        "## Options of trimode-serve",
        f"`{usage(serve)}`, which is also `python -m trimode.server`.",
        prose(OPTIONS),
        options_table(serve, partial(_variable_of, {id(action): name for name, action in variables(serve).items()})),
        "## Options of tritonserver",
        prose(TRITONS),
        table(("option of tritonserver", "instead"), _owned()),
        "## Other environment variables",
        table(("variable", "read by", "meaning"), [(code(name), *row) for name, row in OTHER_VARIABLES.items()]),
    )


def _variable_of(names: dict[int, str], action: argparse.Action) -> str:
    given = {**{key: name for name, key in ENVIRONMENT.items()}, "reveal_rule": RULE_FILES}.get(action.dest)
    found = names.get(id(action), given)
    return NOTHING if found is None else code(found)


def _owned() -> list[tuple[str, str]]:
    instead: dict[str, list[str]] = {}
    for name, text in OWNED.items():
        instead.setdefault(text, []).append(f"--{name}")
    instead["trimode-serve names its files and waits by them"] = [
        f"--backend-config=python,{name}" for name in OWNED_OF_PYTHON
    ]
    return [(codes(names), text) for text, names in instead.items()]


def _rows() -> list[tuple[str, ...]]:
    defaults = {one.name: one.default for one in fields(ServerConfig)}
    variable = {key: name for name, key in ENVIRONMENT.items()}
    return [
        (
            code(key),
            code(variable[key]),
            _kind(defaults[key]) + f" or `{AUTO}`" * setting.auto,
            _limits(defaults[key], setting),
            code(str(defaults[key]).lower() if isinstance(defaults[key], bool) else defaults[key]),
            setting.help,
        )
        for key, setting in settings().items()
    ]


def _kind(default: object) -> str:
    match default:
        case bool():
            return "boolean"
        case int():
            return "integer"
        case Path():
            return "path"
        case StrEnum() | str():
            return "string"
    raise SystemExit(f"no word for the type of {default!r}")


def _limits(default: object, setting: Setting) -> str:
    if isinstance(default, Mode):
        return codes(Mode)
    if setting.low is None or setting.high is None:
        return NOTHING
    return f"{number(setting.low)} to {number(setting.high)}"
