"""The tools of a request: which there are, whether one is to be called, and what the model reads of them.

Knows the schema of calls. Knows nothing of how clients write tools, of messages and of answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ....grammar.schemas.limits import write_limits
from .form_table import ARRAY, Form, grammar
from .loosening import loosened

MAX_CALLS = 8
"""Calls of one answer. A model that was not trained for tools would go on with them until its tokens are spent."""
INSTRUCTION = (
    "You may call these functions. To call some, answer with nothing but a JSON array of calls, each of them "
    '{"name": NAME, "arguments": OBJECT}.\n'
)
"""Stands before the list of functions."""
COMPACT_LAYOUT: dict[str, Any] = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
LAYOUT = {**COMPACT_LAYOUT, "whitespace_flexible": True, "whitespace_pattern": r"( |\n {0,16})?"}
"""Whitespace of arguments in the form of a template: bounded, as that of every JSON; see grammar/source.py."""
Choice = Literal["none", "auto", "required"]
_MAPS = ("properties", "patternProperties", "$defs", "definitions")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_ONE = ("items", "additionalProperties")


@dataclass(frozen=True)
class Tool:
    """A function.

    Attributes:
        parameters: the schema of its arguments, an object.
        strict: whether what of the schema cannot be enforced is refused even where the model decides.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    strict: bool = False


@dataclass(frozen=True)
class Tools:
    """The tools of a request.

    Attributes:
        tools: all of them.
        choice: "auto", the model decides, and a call that it begins has the form; "required", the answer is made of
            calls.
        callable: the names of those that may be called.
        most_calls: of one answer.
        form: how calls are written.
    """

    tools: tuple[Tool, ...]
    choice: Literal["auto", "required"]
    callable: tuple[str, ...]
    most_calls: int
    form: Form = ARRAY

    @classmethod
    def of(
        cls, tools: tuple[Tool, ...], form: Form, choice: Choice, *, parallel: bool, name: str | None = None
    ) -> Tools | None:
        """Return what may be called, None if nothing may; with a `name` this tool is called, and once."""
        if name is not None:
            return cls(tools, "required", (name,), 1, form)
        if choice == "none" or not tools:
            return None
        return cls(tools, choice, tuple(one.name for one in tools), MAX_CALLS if parallel else 1, form)

    def listed(self) -> list[dict[str, Any]]:
        """Return the tools as a chat template takes them."""
        return [
            {"type": "function", "function": {"name": one.name, "description": one.description,
                                              "parameters": one.parameters}}
            for one in self.tools
        ]  # fmt: skip

    def grammar(self, special: Mapping[str, int], *, compact: bool) -> str:
        """Return the grammar of an answer whose calls have their form.

        Args:
            special: the ids of special tokens by their texts.
            compact: arguments have no whitespace between their parts.
        """
        layout, free = COMPACT_LAYOUT if compact else LAYOUT, self.choice == "auto"
        chosen = {}
        for one in self._chosen():
            loose = free and not one.strict
            said = {**layout, "lenient": True} if loose else layout
            arguments = _moved(_closed(one.parameters), "#") | {"x-guidance": said}
            write_limits(arguments)
            schema = json.dumps(arguments, ensure_ascii=False)
            chosen[one.name] = loosened(schema) if loose else schema
        return grammar(self.form, chosen, self.most_calls, special, free=free)

    def _chosen(self) -> list[Tool]:
        return [one for one in self.tools if one.name in self.callable]

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
        chosen = self._chosen()
        return json.dumps(
            {
                "type": "array",
                "minItems": 1,
                "maxItems": self.most_calls,
                "items": {"anyOf": [_call(one.name) for one in chosen]},
                "$defs": {one.name: _moved(_closed(one.parameters), f"#/$defs/{one.name}") for one in chosen},
            }
        )


def _call(name: str) -> dict[str, Any]:
    properties = {"name": {"const": name}, "arguments": {"$ref": f"#/$defs/{name}"}}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema without arguments that it does not name, unless it speaks of them or is put together."""
    if any(key in schema for key in ("additionalProperties", "patternProperties", "$ref", *_LISTS)):
        return schema
    return {**schema, "additionalProperties": False}


def _moved(schema: Any, place: str, base: str | None = None, own: str = "") -> Any:
    """Return a schema that will stand at `place`, with its references changed to match.

    A schema with an `$id` is a document of its own: references that begin with # are inside of it, and those that begin
    with its `$id` too. The `$id` is left out, since both kinds then begin at the whole schema.

    Args:
        base: where the document stands; None if the schema begins it. own: the `$id` of the document.
    """
    if not isinstance(schema, dict):
        return schema
    made = dict(schema)
    if base is None or isinstance(schema.get("$id"), str):
        base, own = place, str(made.pop("$id", "")).removesuffix("#")
    target = schema.get("$ref")
    if isinstance(target, str) and own:
        target = "#" + target.removeprefix(own).removeprefix("#") if target.partition("#")[0] == own else target
    if isinstance(target, str) and target.startswith("#"):
        made["$ref"] = base + target[1:]
    for key in _MAPS:
        if isinstance(schema.get(key), dict):
            inside = schema[key].items()
            made[key] = {name: _moved(one, f"{place}/{key}/{_pointed(name)}", base, own) for name, one in inside}
    for key in _LISTS:
        if isinstance(schema.get(key), list):
            made[key] = [_moved(one, f"{place}/{key}/{at}", base, own) for at, one in enumerate(schema[key])]
    for key in _ONE:
        if key in schema:
            made[key] = _moved(schema[key], f"{place}/{key}", base, own)
    return made


def _pointed(name: str) -> str:
    """Return a key as a part of a JSON pointer; source: RFC 6901."""
    return name.replace("~", "~0").replace("/", "~1")
