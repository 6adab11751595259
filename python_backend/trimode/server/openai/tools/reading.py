"""Reads the tools of a request, in the shapes that OpenAI's and Anthropic's clients give them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ....errors import Described
from ..shared.errors import refused
from ..shared.kinds import boolean, listing, text
from .wanted import Tool

MAX_TOOLS = 128
"""Tools of one request; OpenAI's limit."""
MAX_TOOLS_CHARACTERS = 65_536
"""Characters of all tools as JSON, as the caller wrote them. The grammar that they make has a bound of its own."""
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""OpenAI's rule for the names of functions; Anthropic's has the same characters."""


@dataclass(frozen=True)
class Shape:
    """How one endpoint's clients write tools and calls.

    Attributes:
        types: of a tool that is served; None where the key may be left out.
        inside: the key of the object that holds the function; "" where the tool or the call itself does.
        schema: the key of the arguments' schema.
        idle: keys that may be there, and change nothing here.
        id, arguments: the keys of a call's id and arguments.
    """

    types: tuple[str | None, ...]
    inside: str = ""
    schema: str = "parameters"
    idle: tuple[str, ...] = ()
    id: str = "id"
    arguments: str = "arguments"


CHAT = Shape(("function",), inside="function")
RESPONSES = Shape(("function",), id="call_id")
MESSAGES = Shape((None, "custom"), schema="input_schema", arguments="input",
                 idle=("cache_control", "eager_input_streaming", "input_examples", "allowed_callers"))  # fmt: skip


def read_tools(value: object, shape: Shape) -> tuple[Tool, ...]:
    """Return the tools of a request.

    Raises:
        FaceError: one is no function, or there are too many.
    """
    try:
        return _tools(listing("tools", value), shape)
    except RecursionError as exc:
        raise refused("tools", "must not nest so deep", Described("more")) from exc


def named(field: str, name: object, tools: tuple[Tool, ...]) -> str:
    """Return the name of the function that is to be called, which stands in `field`.

    Raises:
        FaceError: no tool has it.
    """
    if not isinstance(name, str) or name not in {one.name for one in tools}:
        raise refused(field, "must be the name of one of tools", name)
    return name


def function_name(field: str, value: object) -> str:
    """Take the name of a function.

    Raises:
        FaceError: it is none.
    """
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise refused(field, "must be 1 to 64 letters, digits, _ and -", value)
    return value


def _tools(value: list[Any], shape: Shape) -> tuple[Tool, ...]:
    if len(value) > MAX_TOOLS:
        raise refused("tools", f"may hold at most {MAX_TOOLS} tools", Described(f"{len(value)} tools"))
    if (size := len(json.dumps(value, ensure_ascii=False))) > MAX_TOOLS_CHARACTERS:
        limit = f"must be at most {MAX_TOOLS_CHARACTERS} characters of JSON"
        raise refused("tools", limit, Described(f"{size} characters"))
    found: dict[str, Tool] = {}
    for at, item in enumerate(value):
        one = _tool(f"tools[{at}]", item, shape)
        if one.name in found:
            field = f"tools[{at}].{shape.inside}.name" if shape.inside else f"tools[{at}].name"
            raise refused(field, "must differ from those before it", one.name, "given_twice")
        found[one.name] = one
    return tuple(found.values())


def _tool(field: str, item: object, shape: Shape) -> Tool:
    if not isinstance(item, dict):
        raise refused(field, "must be an object", item, "wrong_type")
    if item.get("type") not in shape.types:
        raise refused(f"{field}.type", f"must be {shape.types[-1]}", item.get("type"), "not_applicable")
    function: Any = item
    if shape.inside:
        _no_others(field, item, "type", shape.inside)
        field, function = f"{field}.{shape.inside}", item.get(shape.inside)
        if not isinstance(function, dict):
            raise refused(field, "must be an object", function, "wrong_type")
    kind = () if shape.inside else ("type",)
    _no_others(field, function, *kind, "name", "description", shape.schema, "strict", *shape.idle)
    name = function_name(f"{field}.name", function.get("name"))
    strict = boolean(f"{field}.strict", function.get("strict") or False)
    description = function.get("description")
    said = "" if description is None else text(f"{field}.description", description)
    return Tool(name, said, _parameters(f"{field}.{shape.schema}", function.get(shape.schema)), strict)


def _no_others(field: str, value: Mapping[str, Any], *known: str) -> None:
    for key in value:
        if key not in known and value[key] is not None:
            raise refused(f"{field}.{key}"[:80], "is not a part of a tool", value[key], "unknown_field")


def _parameters(field: str, value: object) -> dict[str, Any]:
    if value is None or value == {}:
        return {"type": "object", "properties": {}}
    if not isinstance(value, dict):
        raise refused(field, "must be a JSON schema, an object", value, "wrong_type")
    if value.get("type", "object") != "object":
        raise refused(f"{field}.type", "must be object", value["type"])
    text(field, json.dumps(value, ensure_ascii=False))
    return {"type": "object", **{key: one for key, one in value.items() if key != "$schema"}}
