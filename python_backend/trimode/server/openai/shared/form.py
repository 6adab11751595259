"""What an answer must match, in the words of OpenAI's, Anthropic's and vLLM's clients. Knows nothing of grammars."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ....api.guide import OF_JSON
from ....errors import Described
from .errors import refused
from .fields import Given
from .kinds import boolean

TYPE, GUIDE = "guided_decoding_guide_type", "guided_decoding_guide"
_KINDS = {"json": "json_schema", "regex": "regex", "choice": "choice", "grammar": "ebnf_grammar",
          "structural_tag": "structural_tag"}  # fmt: skip
"""vLLM's keys of structured_outputs, and what generate calls them."""
COMPACT = "disable_any_whitespace"
_IDLE = {"disable_fallback": False, "disable_additional_properties": False}
"""vLLM's options whose values here are always the same; others would change the answer."""


_FORMATS = "text, json_object or json_schema"
"""Kinds of a format that is no response_format."""
Form = dict[str, Any]
"""The fields of generate that say a form."""


def form_of(given: Given) -> tuple[Form, dict[str, str]]:
    """Return what generate is asked for, and what the client calls its fields; nothing where the answer is free.

    Raises:
        FaceError: a value that says no form, or two fields that both say one.
    """
    own: Form = {name: str(given.knobs[name]) for name in (TYPE, GUIDE) if name in given.knobs}
    said = [(name, form) for name, form in (
        ("response_format", _of_response_format(given.get("response_format"))),
        ("text", _of_format("text.format", given.get("text", {}).get("format"))),
        ("output_config", _of_format("output_config.format", given.get("output_config", {}).get("format"))),
        ("output_format", _of_format("output_format", given.get("output_format"))),
        ("structured_outputs", _of_structured_outputs(given.get("structured_outputs"), tools=bool(given.get("tools")))),
        (TYPE, own),
    ) if form]  # fmt: skip
    if len(said) > 1:
        names = [name for name, _ in said]
        raise refused(names[1], f"must not be given together with {names[0]}", Described("both"), "given_twice")
    if not said or said[0][1] is own:
        return own, {}
    name, form = said[0]
    return form, dict.fromkeys((TYPE, GUIDE, *({COMPACT} & form.keys())), name)


def _of_response_format(value: Mapping[str, Any] | None, field: str = "response_format") -> Form:
    if value is None or value.get("type") == "text":
        return {}
    if value.get("type") == "json_object":
        return {TYPE: "json"}
    if value.get("type") == "structural_tag" and field == "response_format":
        return {TYPE: "structural_tag", GUIDE: json.dumps(value)}
    if value.get("type") != "json_schema":
        kinds = "text, json_object, json_schema or structural_tag" if field == "response_format" else _FORMATS
        raise refused(f"{field}.type", f"must be {kinds}", value.get("type"))
    inside = value.get("json_schema")
    if not isinstance(inside, Mapping) or not isinstance(inside.get("schema"), Mapping | bool):
        raise refused("response_format.json_schema", "must be an object with the key schema, an object", inside)
    for name in inside:
        if name not in ("name", "description", "schema", "strict"):
            raise refused(f"response_format.json_schema.{name}"[:80], "is not a key", inside[name], "unknown_field")
    return {TYPE: "json_schema", GUIDE: json.dumps(inside["schema"])}


def _of_format(field: str, value: object) -> Form:
    """Return the form that clients of responses, and Anthropic's, give: the schema stands in the object itself."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise refused(field, "must be an object", value, "wrong_type")
    for name in value:
        if name not in ("type", "name", "description", "schema", "strict"):
            raise refused(f"{field}.{name}"[:80], "is not a key", value[name], "unknown_field")
    if value.get("type") != "json_schema":
        return _of_response_format(value, field)
    if not isinstance(value.get("schema"), Mapping):
        raise refused(f"{field}.schema", "must be a JSON schema, an object", value.get("schema"), "wrong_type")
    return {TYPE: "json_schema", GUIDE: json.dumps(value["schema"])}


def _of_structured_outputs(value: Mapping[str, Any] | None, *, tools: bool) -> Form:
    """Return the form of vLLM's field, which has one of _KINDS or json_object, and without one with `tools` alone."""
    said = {name: one for name, one in (value or {}).items() if one is not None}
    compact = boolean(f"structured_outputs.{COMPACT}", said.pop(COMPACT, False))
    found: Form = {}
    for name, one in said.items():
        field = f"structured_outputs.{name}"[:80]
        if (name in _IDLE and one is _IDLE[name]) or (name == "json_object" and one is False):
            continue
        if name in _IDLE:
            raise refused(field, f"must be {json.dumps(_IDLE[name])}, the only way that is served", one)
        if name not in _KINDS and name != "json_object":
            raise refused(
                field, "is not one of json, regex, choice, grammar, json_object, structural_tag", one, "unknown_field"
            )
        if found:
            raise refused(field, "must be the only form", one, "given_twice")
        found = {TYPE: "json"} if name == "json_object" else {TYPE: _KINDS[name], GUIDE: _text(name, field, one)}
    if compact and (found or not tools) and found.get(TYPE) not in OF_JSON:
        raise refused(f"structured_outputs.{COMPACT}", "needs json, json_object or tools", True, "not_applicable")
    return {**found, COMPACT: True} if compact else found


def _text(name: str, field: str, value: object) -> str:
    """Return a schema or a list as JSON; an expression or a grammar is text."""
    if isinstance(value, str):
        return value
    kinds_of = {"json": Mapping | bool, "choice": list, "structural_tag": Mapping}
    if name in kinds_of and isinstance(value, kinds_of[name]):
        return json.dumps(value)
    kinds = {"json": "a schema, or a string that holds one", "choice": "a list of texts",
             "structural_tag": "an object, or a string that holds one"}  # fmt: skip
    raise refused(field, f"must be {kinds.get(name, 'a string')}", value, "wrong_type")
