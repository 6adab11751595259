"""Forms and tools of the responses API, through the openai package: parse, calls and their events run unchanged."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import openai
import pytest
from openai.types.responses import ParsedResponse, Response
from pydantic import BaseModel

from tests.server.openai.asking import ANSWER, MODES, QUESTION, SCHEMAS, refused
from tests.server.server import Server

TOOLS: list[Any] = [
    {"type": "function", "name": name, "parameters": schema, "strict": False} for name, schema in SCHEMAS.items()
]
ASKED: dict[str, Any] = {"input": "What is 23 + 2221?", "tools": TOOLS, "max_output_tokens": 120}
NAMED: Any = {"type": "function", "name": "weather"}


class Solution(BaseModel):
    steps: list[str]
    final_answer: int


class Weather(BaseModel):
    city: str
    unit: str


def called(found: Response | ParsedResponse[Any], most: int = 8) -> list[tuple[str, dict[str, Any]]]:
    """The calls of an answer, which are valid."""
    checked = Response.model_validate(found.model_dump())
    assert checked.status == "completed"
    items = [item for item in checked.output if item.type == "function_call"]
    assert 1 <= len(items) <= most and len({item.call_id for item in items}) == len(items)
    made = []
    for item in items:
        assert item.status == "completed"
        arguments = json.loads(item.arguments)
        jsonschema.validate(arguments, {**SCHEMAS[item.name], "additionalProperties": False})
        made.append((item.name, arguments))
    return made


@pytest.mark.parametrize("mode", MODES)
def test_parse_gives_an_object_of_the_class_whole_and_streamed(client: openai.OpenAI, mode: str) -> None:
    asked: dict[str, Any] = {"model": f"nano:{mode}", "input": [*QUESTION], "max_output_tokens": 120}
    found = client.responses.parse(**asked, text_format=Solution)
    assert isinstance(found.output_parsed, Solution)
    assert found.text is not None and found.text.format is not None and found.text.format.type == "json_schema"
    with client.responses.stream(**asked, text_format=Solution) as stream:
        parsed = [event.parsed for event in stream if event.type == "response.output_text.done"]
        assert stream.get_final_response().output_parsed == found.output_parsed == parsed[0]


def test_any_object_and_forms_of_vllm(client: openai.OpenAI) -> None:
    found = client.responses.create(
        model="nano", input="Hi", max_output_tokens=60, text={"format": {"type": "json_object"}}
    )
    assert isinstance(json.loads(found.output_text), dict)
    chosen = client.responses.create(
        model="nano", input="Hi", extra_body={"structured_outputs": {"choice": ["yes", "no"]}}
    )
    assert chosen.output_text in ("yes", "no")


@pytest.mark.parametrize("mode", MODES)
def test_required_and_named_give_valid_calls(client: openai.OpenAI, mode: str) -> None:
    asked: dict[str, Any] = {**ASKED, "model": f"nano:{mode}", "temperature": 1.0}
    called(client.responses.create(**asked, tool_choice="required"))
    called(client.responses.create(**asked, tool_choice="required", parallel_tool_calls=False), most=1)
    found = client.responses.create(**asked, tool_choice=NAMED)
    ((name, _),) = called(found)
    assert name == "weather" and [item.type for item in found.output] == ["function_call"]
    assert [tool.type for tool in found.tools] == ["function"] * 3


@pytest.mark.parametrize("mode", MODES)
def test_events_give_the_calls_of_a_whole_answer(client: openai.OpenAI, mode: str) -> None:
    asked: dict[str, Any] = {**ASKED, "model": f"nano:{mode}", "tool_choice": "required"}
    whole = called(client.responses.create(**asked))
    events = list(client.responses.create(**asked, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    begun: dict[int, Any] = {}
    said: dict[int, str] = {}
    ended: list[Any] = []
    for event in events:
        if event.type == "response.output_item.added":
            assert event.item.type == "function_call" and event.item.arguments == ""
            begun[event.output_index], said[event.output_index] = event.item, ""
        elif event.type == "response.function_call_arguments.delta":
            assert event.item_id == begun[event.output_index].id
            said[event.output_index] += event.delta
        elif event.type == "response.function_call_arguments.done":
            assert said[event.output_index] == event.arguments
        elif event.type == "response.output_item.done":
            ended.append(event.item)
    assert [(item.name, json.loads(item.arguments)) for item in ended] == whole
    assert [item.call_id for item in ended] == [item.call_id for item in begun.values()]
    last = events[-1]
    assert last.type == "response.completed" and called(last.response) == whole


def test_the_package_parses_the_arguments_of_calls(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "nano", "input": "Hi", "tools": [openai.pydantic_function_tool(Weather)]}
    flat = [{"type": "function", **one["function"]} for one in asked["tools"]]
    found = client.responses.parse(**{**asked, "tools": flat}, tool_choice="required", max_output_tokens=150)
    calls = [item for item in found.output if item.type == "function_call"]
    assert calls and all(json.loads(item.arguments).keys() == {"city", "unit"} for item in calls)
    assert all(item.parsed_arguments == json.loads(item.arguments) for item in calls)


def test_results_of_calls_reach_the_model_and_the_answer_goes_on(client: openai.OpenAI) -> None:
    first = client.responses.create(**ASKED, model="nano", tool_choice="required", parallel_tool_calls=False)
    (call,) = [item for item in first.output if item.type == "function_call"]
    said: Any = [*QUESTION, call, {"type": "function_call_output", "call_id": call.call_id, "output": "2244"}]
    assert client.responses.create(**{**ASKED, "input": said}, model="nano", tool_choice="none").output_text
    again = client.responses.create(**{**ASKED, "input": said}, model="nano", tool_choice=NAMED)
    assert called(again)[0][0] == "weather"


def test_a_thought_precedes_calls(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {**ASKED, "model": "nano", "tool_choice": NAMED, "max_output_tokens": 160}
    extra = {"max_thinking_tokens": 10}
    found = client.responses.create(**asked, reasoning={"effort": "low"}, extra_body=extra)
    assert [item.type for item in found.output] == ["reasoning", "function_call"]


def test_none_and_auto_may_answer_in_words(client: openai.OpenAI) -> None:
    found = client.responses.create(**ASKED, model="nano", tool_choice="none")
    assert found.output_text.endswith(ANSWER)
    auto = client.responses.create(**ASKED, model="nano")
    assert auto.tool_choice == "auto" and auto.output_text


def test_an_answer_that_is_cut_is_incomplete(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {**ASKED, "max_output_tokens": 2, "tool_choice": "required"}
    found = client.responses.create(**asked, model="nano")
    assert (found.status, found.output) == ("incomplete", [])
    events = [event.type for event in client.responses.create(**asked, model="nano", stream=True)]
    assert events == ["response.created", "response.in_progress", "response.incomplete"]


def test_a_schema_that_cannot_be_enforced_is_refused_by_its_own_name(server: Server) -> None:
    schema = {"type": "array", "uniqueItems": True}
    form = {"type": "json_schema", "name": "n", "schema": schema}
    message = refused(server, "/v1/responses", {"input": "Hi", "text": {"format": form}}, "text", "bad_grammar")
    assert "uniqueItems at $" in message
    tools = [{"type": "function", "name": "f", "parameters": {"properties": {"a": schema}}}]
    body = {"input": "Hi", "tools": tools, "tool_choice": "required"}
    assert "uniqueItems" in refused(server, "/v1/responses", body, "tools", "bad_grammar")
