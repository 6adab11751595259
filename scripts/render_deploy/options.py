"""Options of a command line, and keys of model.yaml, as JSON schemas: what a chart's user may set of them."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from enum import Enum
from typing import Any

from trimode.config import AUTO, MANY, ServerConfig, settings
from trimode.server.launch import option_types

Schema = dict[str, Any]

KINDS: dict[Any, Schema] = {
    None: {"type": "string", "minLength": 1},
    str: {"type": "string", "minLength": 1},
    int: {"type": "integer", "minimum": 0},
    option_types.count: {"type": "integer", "minimum": 1},
    option_types.interval: {"type": "integer", "minimum": 0, "maximum": MANY},
    option_types.seconds: {"type": "number", "exclusiveMinimum": 0, "maximum": option_types.LONGEST_SECONDS},
    option_types.mebibytes: {"type": "number", "exclusiveMinimum": 0, "maximum": option_types.LARGEST_MIB},
    option_types.total_mebibytes: {"type": "number", "exclusiveMinimum": 0, "maximum": option_types.LARGEST_TOTAL_MIB},
}
"""By what an option's text is read with: which values it takes."""
OTHER: Schema = {"type": ["string", "number"]}
"""The values of an option that is read with something else; the program checks them."""


def of_parser(parser: argparse.ArgumentParser, without: Collection[str]) -> Schema:
    """Return the schema of a mapping of the parser's options to their values, those of `without` left out."""
    found: Schema = {}
    for action in parser._actions:
        name = action.option_strings[-1].removeprefix("--") if action.option_strings else ""
        if name and name not in without and not isinstance(action, argparse._HelpAction | argparse._VersionAction):
            found[name] = {"description": (action.help or "") % vars(action), **_of_action(action)}
    return mapping(found)


def of_settings(without: Collection[str]) -> Schema:
    """Return the schema of model.yaml, the keys of `without` left out."""
    found: Schema = {}
    for name, setting in settings().items():
        default = getattr(ServerConfig(), name)
        kind: Schema = {"type": "integer", "minimum": setting.low, "maximum": setting.high}
        if isinstance(default, bool):
            kind = {"type": "boolean"}
        elif isinstance(default, Enum):
            kind = {"enum": [one.value for one in type(default)]}
        elif isinstance(default, str):
            kind = {"type": "string"}
        if setting.auto:
            kind = {"anyOf": [kind, {"const": AUTO}]}
        if name not in without:
            found[name] = {"description": setting.help, **kind}
    return mapping(found)


def mapping(properties: Schema) -> Schema:
    """Return the schema of a mapping with these keys and no others."""
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _of_action(action: argparse.Action) -> Schema:
    if action.nargs == 0:
        return {"type": "boolean"}
    kind = {"enum": list(action.choices)} if action.choices else KINDS.get(action.type, OTHER)
    return {"type": "array", "items": kind} if isinstance(action, argparse._AppendAction) else kind
