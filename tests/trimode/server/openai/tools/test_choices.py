"""What responses and Anthropic's messages say of tools; chats are in test_wanted.py."""

from __future__ import annotations

import json
from typing import Any

import pytest
from trimode.server.openai.messages import request as messages
from trimode.server.openai.responses import request as responses
from trimode.server.openai.shared.asked import Asked
from trimode.server.openai.shared.form import GUIDE
from trimode.server.openai.tools.wanted import INSTRUCTION, MAX_CALLS

from tests.support.openai_facts import error_of, facts

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}}}
FLAT = {"type": "function", "name": "f", "description": "D.", "parameters": SCHEMA, "strict": True}
ANTHROPICS = {"name": "f", "description": "D.", "input_schema": SCHEMA, "cache_control": {"type": "ephemeral"}}
LISTED = INSTRUCTION + json.dumps([{"name": "f", "description": "D.", "parameters": SCHEMA}])


def response(**body: Any) -> Asked:
    return responses.translate({"input": "Hi", "tools": [FLAT], **body}, facts()).asked


def message(**body: Any) -> Asked:
    said = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5, "tools": [ANTHROPICS]}
    return messages.translate({**said, **body}, facts())


@pytest.mark.parametrize("asked", [response(), message()])
def test_the_model_reads_the_same_of_a_tool(asked: Asked) -> None:
    assert asked.tools is not None and asked.tools.choice == "auto"
    assert asked.jobs[0]["messages"] == [{"role": "system", "content": LISTED}, {"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("asked", "most"),
    [
        (response(tool_choice="required"), MAX_CALLS),
        (response(tool_choice="required", parallel_tool_calls=False), 1),
        (response(tool_choice={"type": "function", "name": "f"}), 1),
        (message(tool_choice={"type": "any"}), MAX_CALLS),
        (message(tool_choice={"type": "any", "disable_parallel_tool_use": True}), 1),
        (message(tool_choice={"type": "tool", "name": "f"}), 1),
    ],
)
def test_calls_are_made_under_a_grammar_where_they_are_required(asked: Asked, most: int) -> None:
    assert asked.tools is not None and asked.tools.choice == "required"
    assert json.loads(asked.jobs[0][GUIDE])["maxItems"] == most


@pytest.mark.parametrize("asked", [response(tool_choice="none"), message(tool_choice={"type": "none"})])
def test_none_says_nothing_of_tools(asked: Asked) -> None:
    assert asked.tools is None and len(asked.jobs[0]["messages"]) == 1


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "not_applicable"),
        ({"tools": [{**FLAT, "function": {}}]}, "tools[0].function", "unknown_field"),
        ({"tools": [FLAT, FLAT]}, "tools[1].name", "given_twice"),
        ({"tools": [{**FLAT, "parameters": 5}]}, "tools[0].parameters", "wrong_type"),
        ({"tool_choice": {"type": "function", "name": "g"}}, "tool_choice.name", "invalid_value"),
        ({"tool_choice": {"type": "function", "name": "f", "strict": True}}, "tool_choice.strict", "unknown_field"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice.function", "unknown_field"),
        ({"tool_choice": {"type": "mcp"}}, "tool_choice.type", "not_applicable"),
        ({"tool_choice": "required", "tools": []}, "tool_choice", "not_applicable"),
        ({"tool_choice": "required", "text": {"format": {"type": "json_object"}}}, "tool_choice", "given_twice"),
        ({"text": {"verbosity": "low"}}, "text.verbosity", "invalid_value"),
        ({"text": {"size": 1}}, "text.size", "unknown_field"),
    ],
)
def test_what_does_not_go_in_responses_is_refused_by_name(body: dict[str, Any], param: str, code: str) -> None:
    error = error_of(lambda: response(**body))
    assert (error.param, error.code) == (param, code)


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools[0].type", "not_applicable"),
        ({"tools": [{**ANTHROPICS, "parameters": {}}]}, "tools[0].parameters", "unknown_field"),
        ({"tools": [{**ANTHROPICS, "input_schema": {"type": "array"}}]}, "tools[0].input_schema.type", "invalid_value"),
        ({"tool_choice": "any"}, "tool_choice", "wrong_type"),
        ({"tool_choice": {"type": "required"}}, "tool_choice.type", "invalid_value"),
        ({"tool_choice": {"type": "any", "name": "f"}}, "tool_choice.name", "not_applicable"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name", "invalid_value"),
        ({"tool_choice": {"type": "any"}, "tools": []}, "tool_choice", "not_applicable"),
        ({"tool_choice": {"type": "auto", "mode": 1}}, "tool_choice.mode", "unknown_field"),
        ({"tool_choice": {"type": "any", "disable_parallel_tool_use": 1}}, "tool_choice.disable_parallel_tool_use",
         "wrong_type"),
        ({"tool_choice": {"type": "any"}, "messages": [{"role": "assistant", "content": "A"}]}, "messages",
         "not_applicable"),
        ({"tool_choice": {"type": "any"}, "output_config": {"format": {"type": "json_schema", "schema": {}}}},
         "tool_choice", "given_twice"),
        ({"output_config": {"size": 1}}, "output_config.size", "unknown_field"),
        ({"output_config": {"effort": "huge"}}, "output_config.effort", "invalid_value"),
    ],
)  # fmt: skip
def test_what_does_not_go_in_messages_is_refused_by_name(body: dict[str, Any], param: str, code: str) -> None:
    error = error_of(lambda: message(**body))
    assert (error.param, error.code) == (param, code)
