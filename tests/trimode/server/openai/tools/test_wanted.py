"""What a chat says of its tools, and what generate is asked for then."""

from __future__ import annotations

import json
from typing import Any

import pytest
from trimode.grammar.source import Source, grammar_text
from trimode.server.openai import chat_completions
from trimode.server.openai.shared.asked import Asked
from trimode.server.openai.shared.form import GUIDE, TYPE
from trimode.server.openai.tools.reading import MAX_TOOLS, MAX_TOOLS_CHARACTERS
from trimode.server.openai.tools.wanted import INSTRUCTION, MAX_CALLS

from tests.support.openai_facts import answered, error_of, facts, piece

QUESTION = [{"role": "user", "content": "Hi"}]


def tool(name: str = "f", **inside: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **inside}}


def chat(**body: Any) -> Asked:
    return chat_completions.translate({"messages": QUESTION, "max_tokens": 5, "tools": [tool()], **body}, facts())


def schema(**body: Any) -> Any:
    """The schema under which calls are made."""
    asked = chat(tool_choice="required", **body)
    assert asked.jobs[0][TYPE] == "json_schema" and asked.names[GUIDE] == "tools"
    return json.loads(asked.jobs[0][GUIDE])


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def test_the_model_is_told_after_what_the_system_says() -> None:
    system = {"role": "system", "content": "Be brief."}
    told = chat(messages=[system, *QUESTION], tools=[tool(description="Dé.")]).jobs[0]["messages"]
    listed = '[{"name": "f", "description": "Dé.", "parameters": {"type": "object", "properties": {}}}]'
    assert told == [{"role": "system", "content": f"Be brief.\n\n{INSTRUCTION}{listed}"}, *QUESTION]
    assert chat().jobs[0]["messages"][0]["content"].startswith(INSTRUCTION)


def test_without_a_choice_the_model_decides() -> None:
    asked = chat()
    assert asked.tools is not None and asked.tools.choice == "auto" and asked.jobs[0][TYPE] == "ebnf_grammar"
    assert "skip_special_tokens" not in asked.jobs[0] and asked.names[GUIDE] == "tools"
    for none in (chat(tool_choice="none"), chat(tools=[]), chat(tools=None), chat(tools=[], tool_choice="auto")):
        assert none.tools is None and none.jobs[0]["messages"] == QUESTION


def test_with_auto_a_form_goes_before_calls() -> None:
    asked = chat(response_format={"type": "json_object"})
    assert asked.tools is None and asked.jobs[0][TYPE] == "json"


def test_calls_are_a_list_of_names_and_arguments() -> None:
    found = schema(tools=[tool("f"), tool("g")])
    assert (found["minItems"], found["maxItems"]) == (1, MAX_CALLS)
    assert [one["properties"]["name"]["const"] for one in found["items"]["anyOf"]] == ["f", "g"]
    assert schema(parallel_tool_calls=False)["maxItems"] == 1
    one = json.loads(chat(tools=[tool("f"), tool("g")], tool_choice=named("g")).jobs[0][GUIDE])
    assert one["maxItems"] == 1 and list(one["$defs"]) == ["g"]


def test_references_of_a_schema_stay_inside_of_it() -> None:
    inside = {"$ref": "#/$defs/X"}
    parameters = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "properties": {"$ref": inside, "b": {"items": inside}},
        "anyOf": [inside], "$defs": {"X": {"const": {"$ref": "#/x"}}, "Y": {"additionalProperties": {"$ref": "#"}}},
    }  # fmt: skip
    moved = {"$ref": "#/$defs/f/$defs/X"}
    assert schema(tools=[tool(parameters=parameters)])["$defs"]["f"] == {
        "type": "object", "properties": {"$ref": moved, "b": {"items": moved}}, "anyOf": [moved],
        "$defs": {"X": {"const": {"$ref": "#/x"}}, "Y": {"additionalProperties": {"$ref": "#/$defs/f"}}},
    }  # fmt: skip


def test_a_schema_with_an_id_is_a_document_of_its_own() -> None:
    parameters = {
        "$id": "https://example.com/f.json", "$ref": "https://example.com/f.json#/$defs/X",
        "properties": {"a": {"$ref": "#/$defs/X"}, "b/c": {"$id": "other", "items": {"$ref": "#/x"}, "x": {}}},
        "$defs": {"X": {"$ref": "https://example.com/f.json"}, "Y": {"$ref": "else.json#/x"}},
    }  # fmt: skip
    at = "#/$defs/f"
    assert schema(tools=[tool(parameters=parameters)])["$defs"]["f"] == {
        "type": "object", "$ref": f"{at}/$defs/X",
        "properties": {"a": {"$ref": f"{at}/$defs/X"}, "b/c": {"items": {"$ref": f"{at}/properties/b~1c/x"}, "x": {}}},
        "$defs": {"X": {"$ref": at}, "Y": {"$ref": "else.json#/x"}},
    }  # fmt: skip


def test_whitespace_may_be_left_out_of_calls() -> None:
    compact = {"structured_outputs": {"disable_any_whitespace": True}}
    for choice in ("required", named("f")):
        job = chat(tool_choice=choice, **compact).jobs[0]
        assert (job[TYPE], job["disable_any_whitespace"]) == ("json_schema", True)
    job = chat(**compact).jobs[0]
    assert job[TYPE] == "ebnf_grammar" and "disable_any_whitespace" not in job
    assert "whitespace_pattern" in chat().jobs[0][GUIDE] and "whitespace_pattern" not in job[GUIDE]


def test_strict_asks_for_all_of_a_schema_where_the_model_decides() -> None:
    assert '"lenient": true' in chat().jobs[0][GUIDE]
    assert "lenient" not in chat(tools=[tool(strict=True)]).jobs[0][GUIDE]


def test_arguments_that_a_schema_does_not_name_are_left_out() -> None:
    given: list[dict[str, Any]] = [{}, {"additionalProperties": True}, {"patternProperties": {}}]
    closed = [schema(tools=[tool(parameters={"type": "object", **one})])["$defs"]["f"] for one in given]
    assert [one.get("additionalProperties") for one in closed] == [False, True, None]


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"tools": 5}, "tools", "wrong_type"),
        ({"tools": [5]}, "tools[0]", "wrong_type"),
        ({"tools": [{"type": "custom", "custom": {}}]}, "tools[0].type", "not_applicable"),
        ({"tools": [{"type": "function"}]}, "tools[0].function", "wrong_type"),
        ({"tools": [{**tool(), "x": 1}]}, "tools[0].x", "unknown_field"),
        ({"tools": [tool(x=1)]}, "tools[0].function.x", "unknown_field"),
        ({"tools": [tool("a b")]}, "tools[0].function.name", "invalid_value"),
        ({"tools": [tool(), tool()]}, "tools[1].function.name", "given_twice"),
        ({"tools": [tool(strict=1)]}, "tools[0].function.strict", "wrong_type"),
        ({"tools": [tool(description=1)]}, "tools[0].function.description", "wrong_type"),
        ({"tools": [tool(parameters=[])]}, "tools[0].function.parameters", "wrong_type"),
        ({"tools": [tool(parameters={"type": "array"})]}, "tools[0].function.parameters.type", "invalid_value"),
        ({"tools": [tool(parameters={"title": "\ud800"})]}, "tools[0].function.parameters", "bad_utf8"),
        ({"tools": [tool(f"f{at}") for at in range(MAX_TOOLS + 1)]}, "tools", "invalid_value"),
        ({"tools": [tool(description="a" * MAX_TOOLS_CHARACTERS)]}, "tools", "invalid_value"),
        ({"tool_choice": "any"}, "tool_choice", "invalid_value"),
        ({"tool_choice": 5}, "tool_choice", "invalid_value"),
        ({"tool_choice": "required", "tools": []}, "tool_choice", "not_applicable"),
        ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice.type", "not_applicable"),
        ({"tool_choice": named("g")}, "tool_choice.function.name", "invalid_value"),
        ({"tool_choice": {**named("f"), "mode": "auto"}}, "tool_choice.mode", "unknown_field"),
        ({"tool_choice": {"type": "function", "function": {"name": "f", "strict": True}}},
         "tool_choice.function.strict", "unknown_field"),
        ({"tool_choice": {"type": "function", "name": "f"}}, "tool_choice.name", "unknown_field"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function.name", "invalid_value"),
        ({"tool_choice": "required", "response_format": {"type": "json_object"}}, "tool_choice", "given_twice"),
        ({"tool_choice": "required", "structured_outputs": {"regex": "a"}}, "tool_choice", "given_twice"),
        ({"parallel_tool_calls": 1}, "parallel_tool_calls", "wrong_type"),
        ({"tool_choice": "required", "messages": [{"role": "assistant", "content": "A"}],
          "continue_final_message": True, "add_generation_prompt": False}, "continue_final_message", "not_applicable"),
        ({"functions": [{}]}, "functions", "not_applicable"),
    ],
)  # fmt: skip
def test_what_does_not_go_is_refused_by_name(body: dict[str, Any], param: str, code: str) -> None:
    error = error_of(lambda: chat(**body))
    assert (error.param, error.code) == (param, code)


def test_schemas_that_nest_without_end_are_refused() -> None:
    parameters: dict[str, Any] = {}
    for _ in range(5000):
        parameters = {"properties": {"a": parameters}}
    assert error_of(lambda: chat(tools=[tool(parameters=parameters)])).param == "tools"


@pytest.mark.parametrize("stream", [False, True])
def test_where_the_model_decides_it_may_call(stream: bool) -> None:
    asked = chat(stream=stream)
    choice = answered(asked, piece('[{"name": "f", '), piece('"arguments": {}}]', "stop"))
    assert (choice.finish_reason, choice.text, choice.calls[0].arguments) == ("tool_calls", "", "{}")
    assert answered(asked, piece('[{"name": "f"', "stop")).finish_reason == "stop"
    cut = answered(asked, piece('[{"name": "f", '), piece('"arguments": {', "length"))
    assert (cut.finish_reason, cut.text, cut.calls[0].arguments) == ("length", "", "{")
    message = chat_completions.Shape("c", 1, asked).whole([choice], 1.0)["choices"][0]["message"]
    assert message["content"] is None and message["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_as_many_functions_as_there_may_be_make_a_grammar(choice: str) -> None:
    arguments = {name: {"type": "string", "description": "é" * 30} for name in ("one", "two", "three", "four")}
    parameters = {"type": "object", "properties": arguments}
    tools = [tool(f"a_function_with_number_{at}", parameters=parameters) for at in range(MAX_TOOLS)]
    assert MAX_TOOLS_CHARACTERS * 0.8 < len(json.dumps(tools, ensure_ascii=False)) < MAX_TOOLS_CHARACTERS
    guide = chat(tools=tools, tool_choice=choice).jobs[0][GUIDE]
    grammar_text(Source("ebnf_grammar" if choice == "auto" else "json_schema", guide))


def test_a_grammar_that_is_too_large_is_named_apart_from_what_was_sent() -> None:
    many = {"oneOf": [{"$ref": "#"}] * 4000}
    error = error_of(lambda: chat(tools=[tool("f" * 64, parameters=many)], tool_choice="required"))
    assert "must make a grammar of at most 262144 characters" in str(error)
