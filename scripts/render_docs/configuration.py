"""The page of what an operator can set, from config.py and the options of trimode-serve."""

from __future__ import annotations

from dataclasses import fields
from enum import StrEnum
from pathlib import Path

from trimode.api.fields import Mode
from trimode.api.reveals import RULE_FILES
from trimode.config import ServerConfig, Setting, settings
from trimode.server.launch.options import parser

from .cli import options_table, usage
from .markdown import NOTHING, code, codes, number, paragraphs, table

INTRODUCTION = """
# Configuration

Three things set how the server runs. The options of `trimode-serve` set addresses, ports and limits of the process.
The file `model_repository/nemotron_diffusion/model.yaml` sets how the model uses the machine. Environment variables
win over that file. What the engine is (its capacity, precision and token ids) stands in the bundle's `manifest.json`
and cannot be set.
"""

KEYS = """
Every key may be left out; an unknown key or a value out of range keeps the model from loading, with an error that says
what was expected. So does a variable that begins with `TRIMODE_` and is none of these. A variable is read when the
model loads.
"""

OTHER_VARIABLES = {
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
        options_table(serve),
        "## Other environment variables",
        table(("variable", "read by", "meaning"), [(code(name), *row) for name, row in OTHER_VARIABLES.items()]),
    )


def _rows() -> list[tuple[str, ...]]:
    defaults = {one.name: one.default for one in fields(ServerConfig)}
    return [
        (
            code(key),
            code(setting.environment) if setting.environment else NOTHING,
            _kind(defaults[key]),
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
        case StrEnum():
            return "string"
    raise SystemExit(f"no word for the type of {default!r}")


def _limits(default: object, setting: Setting) -> str:
    if isinstance(default, Mode):
        return codes(Mode)
    if setting.low is None or setting.high is None:
        return NOTHING
    return f"{number(setting.low)} to {number(setting.high)}"
