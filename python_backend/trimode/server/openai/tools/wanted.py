"""What a chat says of its tools: which there are, whether one is to be called, and what the model reads of them.

Knows the fields of OpenAI's clients and the schema of calls. Knows nothing of messages and answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ....api.guide import MAX_GUIDE_CHARACTERS
from ....errors import Described
from ..shared.errors import refused
from ..shared.fields import Given
from ..shared.kinds import boolean, listing, text

MAX_TOOLS = 128
"""Tools of one request; OpenAI's limit."""
MAX_TOOLS_CHARACTERS = MAX_GUIDE_CHARACTERS
"""Characters of all tools as JSON: their schemas make one grammar, which may have so many."""
MAX_CALLS = 8
"""Calls of one answer. A model that was not trained for tools would go on with them until its tokens are spent."""
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""OpenAI's rule for the names of functions."""
INSTRUCTION = (
    "You may call these functions. To call some, answer with nothing but a JSON array of calls, each of them "
    '{"name": NAME, "arguments": OBJECT}.\n'
)
"""Stands before the list of functions."""
_MAPS = ("properties", "patternProperties", "$defs", "definitions")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_ONE = ("items", "additionalProperties")


@dataclass(frozen=True)
class Tool:
    """A function; `parameters` is the schema of its arguments, an object."""

    name: str
    description: str
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Tools:
    """The tools of a request.

    Attributes:
        tools: all of them.
        choice: "auto", the model decides; "required", the answer is made of calls.
        callable: the names of those that may be called.
        most_calls: of one answer.
    """

    tools: tuple[Tool, ...]
    choice: Literal["auto", "required"]
    callable: tuple[str, ...]
    most_calls: int

    def prompt(self) -> str:
        """Return what the model reads of them."""
        said = [
            {"name": one.name, **({"description": one.description} if one.description else {}),
             "parameters": one.parameters}
            for one in self.tools
        ]  # fmt: skip
        return INSTRUCTION + json.dumps(said, ensure_ascii=False)

    def schema(self) -> str:
        """Return the JSON schema of the calls of one answer; a path in it has the name of the function."""
        chosen = [one for one in self.tools if one.name in self.callable]
        return json.dumps(
            {
                "type": "array",
                "minItems": 1,
                "maxItems": self.most_calls,
                "items": {"anyOf": [_call(one.name) for one in chosen]},
                "$defs": {one.name: _moved(_closed(one.parameters), f"#/$defs/{one.name}") for one in chosen},
            }
        )


def tools_of(given: Given) -> Tools | None:
    """Return what a request says of tools; None if nothing may be called.

    Raises:
        FaceError: a tool is no function, there are too many, or a choice that does not go with them.
    """
    try:
        tools = _tools(given.get("tools", []))
    except RecursionError as exc:
        raise refused("tools", "must not nest so deep", Described("more")) from exc
    chosen = given.get("tool_choice", "auto" if tools else "none")
    if isinstance(chosen, Mapping):
        name = _named(chosen, tools)
        return Tools(tools, "required", (name,), 1)
    if chosen not in ("none", "auto", "required"):
        raise refused("tool_choice", "must be none, auto, required or an object that names a function", chosen)
    if chosen == "required" and not tools:
        raise refused("tool_choice", "needs tools", chosen, "not_applicable")
    if chosen == "none" or not tools:
        return None
    most = MAX_CALLS if given.get("parallel_tool_calls", True) else 1
    return Tools(tools, chosen, tuple(one.name for one in tools), most)


def _tools(value: list[Any]) -> tuple[Tool, ...]:
    if len(listing("tools", value)) > MAX_TOOLS:
        raise refused("tools", f"may hold at most {MAX_TOOLS} tools", Described(f"{len(value)} tools"))
    if (size := len(json.dumps(value, ensure_ascii=False))) > MAX_TOOLS_CHARACTERS:
        limit = f"must be at most {MAX_TOOLS_CHARACTERS} characters of JSON"
        raise refused("tools", limit, Described(f"{size} characters"))
    found: dict[str, Tool] = {}
    for at, item in enumerate(value):
        one = _tool(f"tools[{at}]", item)
        if one.name in found:
            raise refused(f"tools[{at}].function.name", "must differ from those before it", one.name, "given_twice")
        found[one.name] = one
    return tuple(found.values())


def _tool(field: str, item: object) -> Tool:
    if not isinstance(item, dict):
        raise refused(field, "must be an object", item, "wrong_type")
    if item.get("type") != "function":
        raise refused(f"{field}.type", "must be function", item.get("type"), "not_applicable")
    inside = item.get("function")
    if not isinstance(inside, dict):
        raise refused(f"{field}.function", "must be an object", inside, "wrong_type")
    _no_others(field, item, "type", "function")
    _no_others(f"{field}.function", inside, "name", "description", "parameters", "strict")
    name = inside.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise refused(f"{field}.function.name", "must be 1 to 64 letters, digits, _ and -", name)
    if inside.get("strict") is not None:
        boolean(f"{field}.function.strict", inside["strict"])
    description = inside.get("description")
    said = "" if description is None else text(f"{field}.function.description", description)
    return Tool(name, said, _parameters(f"{field}.function.parameters", inside.get("parameters")))


def _no_others(field: str, value: Mapping[str, Any], *known: str) -> None:
    for key in value:
        if key not in known:
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


def _named(chosen: Mapping[str, Any], tools: tuple[Tool, ...]) -> str:
    """Return the name of the function that is to be called."""
    if chosen.get("type") != "function":
        raise refused("tool_choice.type", "must be function", chosen.get("type"), "not_applicable")
    inside = chosen.get("function")
    name = inside.get("name") if isinstance(inside, Mapping) else None
    if not isinstance(name, str) or name not in {one.name for one in tools}:
        raise refused("tool_choice.function.name", "must be the name of one of tools", name)
    return name


def _call(name: str) -> dict[str, Any]:
    properties = {"name": {"const": name}, "arguments": {"$ref": f"#/$defs/{name}"}}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema without arguments that it does not name, unless it speaks of them or is put together."""
    if any(key in schema for key in ("additionalProperties", "patternProperties", "$ref", *_LISTS)):
        return schema
    return {**schema, "additionalProperties": False}


def _moved(schema: Any, base: str) -> Any:
    """Return a schema whose references begin at `base`, where it will stand."""
    if not isinstance(schema, dict):
        return schema
    made = dict(schema)
    target = schema.get("$ref")
    if isinstance(target, str) and target.startswith("#"):
        made["$ref"] = base + target[1:]
    for key in _MAPS:
        if isinstance(schema.get(key), dict):
            made[key] = {name: _moved(one, base) for name, one in schema[key].items()}
    for key in _LISTS:
        if isinstance(schema.get(key), list):
            made[key] = [_moved(one, base) for one in schema[key]]
    for key in _ONE:
        if key in schema:
            made[key] = _moved(schema[key], base)
    return made
