"""Tools through the openai package, in every mode: nano was not trained for them, so the grammar makes the calls."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import openai
import pytest
from openai.types.chat import ChatCompletion

from tests.server.openai.asking import ADD, ANSWER, CHAT, MODES, QUESTION, SCHEMAS, WEATHER, post, refused
from tests.server.server import Server

TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "add", "description": "Add two numbers.", "parameters": ADD}},
    {"type": "function", "function": {"name": "weather", "parameters": WEATHER, "strict": True}},
    {"type": "function", "function": {"name": "now"}},
]
PAGE = (Path(__file__).parents[3] / "docs" / "guides" / "tools.md").read_text(encoding="utf-8")
NAMED: Any = {"type": "function", "function": {"name": "weather"}}
ASKED: dict[str, Any] = {"messages": QUESTION, "tools": TOOLS, "max_completion_tokens": 120}


def called(found: ChatCompletion, most: int = 8) -> list[tuple[str, dict[str, Any]]]:
    """The calls of an answer, which are valid."""
    (choice,) = found.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    calls = choice.message.tool_calls or []
    assert 1 <= len(calls) <= most and len({call.id for call in calls}) == len(calls)
    made = []
    for call in calls:
        assert call.type == "function"
        arguments = json.loads(call.function.arguments)
        schema = {**SCHEMAS[call.function.name], "additionalProperties": False}
        jsonschema.validate(arguments, schema)
        made.append((call.function.name, arguments))
    return made


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_required_and_named_give_valid_calls(client: openai.OpenAI, mode: str, temperature: float) -> None:
    asked: dict[str, Any] = {**ASKED, "model": f"nano:{mode}", "temperature": temperature, "seed": 3}
    called(client.chat.completions.create(**asked, tool_choice="required"))
    called(client.chat.completions.create(**asked, tool_choice="required", parallel_tool_calls=False), most=1)
    ((name, _),) = called(client.chat.completions.create(**asked, tool_choice=NAMED))
    assert name == "weather"


@pytest.mark.parametrize("mode", MODES)
def test_a_stream_gives_the_calls_of_a_whole_answer(client: openai.OpenAI, mode: str) -> None:
    asked: dict[str, Any] = {**ASKED, "model": f"nano:{mode}", "tool_choice": "required"}
    whole = called(client.chat.completions.create(**asked))
    chunks = [chunk.choices[0] for chunk in client.chat.completions.create(**asked, stream=True)]
    assert chunks[-1].finish_reason == "tool_calls" and not any(chunk.delta.content for chunk in chunks)
    calls: dict[int, list[str]] = {}
    for piece in (piece for chunk in chunks for piece in chunk.delta.tool_calls or []):
        assert piece.function is not None and piece.function.arguments is not None
        if piece.index not in calls:
            assert piece.id and piece.type == "function" and not piece.function.arguments
            calls[piece.index] = [piece.function.name or "", ""]
        else:
            assert piece.id is None and piece.function.name is None
            calls[piece.index][1] += piece.function.arguments
    assert [(name, json.loads(arguments)) for name, arguments in calls.values()] == whole
    assert list(calls) == list(range(len(whole)))


def test_the_package_adds_a_stream_up(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(**ASKED, model="nano", tool_choice="required", n=1) as stream:
        events = [event.type for event in stream]
        called(stream.get_final_completion())
    assert "tool_calls.function.arguments.done" in events


def test_a_thought_precedes_calls(client: openai.OpenAI) -> None:
    found = client.chat.completions.create(
        **ASKED, model="nano", tool_choice=NAMED, reasoning_effort="low", extra_body={"thinking_token_budget": 10}
    )
    called(found)
    assert (found.choices[0].message.model_extra or {})["reasoning_content"]


def test_several_answers_have_calls_of_their_own(client: openai.OpenAI) -> None:
    found = client.chat.completions.create(**ASKED, model="nano", tool_choice="required", n=3, temperature=1, seed=5)
    assert [choice.finish_reason for choice in found.choices] == ["tool_calls"] * 3
    assert len({call.id for choice in found.choices for call in choice.message.tool_calls or []}) >= 3


def test_none_calls_nothing_and_says_nothing_of_tools(client: openai.OpenAI) -> None:
    plain = client.chat.completions.create(model="nano", messages=QUESTION)
    found = client.chat.completions.create(model="nano", messages=QUESTION, tools=TOOLS, tool_choice="none")
    assert found.choices[0].message.content == plain.choices[0].message.content
    assert str(found.choices[0].message.content).endswith(ANSWER)
    assert found.choices[0].message.tool_calls is None and found.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("stream", [False, True])
def test_auto_may_answer_in_words(client: openai.OpenAI, stream: bool) -> None:
    if not stream:
        (choice,) = client.chat.completions.create(**ASKED, model="nano").choices
        assert choice.message.content and not choice.message.tool_calls
        return
    chunks = list(client.chat.completions.create(**ASKED, model="nano", stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def test_an_answer_that_is_cut_ends_with_length(client: openai.OpenAI) -> None:
    asked = {**ASKED, "max_completion_tokens": 2}
    (choice,) = client.chat.completions.create(**asked, model="nano", tool_choice="required").choices
    assert (choice.finish_reason, choice.message.content) == ("length", None)


@pytest.mark.parametrize("stream", [False, True])
def test_words_that_are_cut_end_with_length_in_every_api(client: openai.OpenAI, server: Server, stream: bool) -> None:
    """nano answers this question with more than three tokens."""
    if stream:
        chunks = list(client.chat.completions.create(**ASKED | {"max_completion_tokens": 3}, model="nano", stream=True))
        assert chunks[-1].choices[0].finish_reason == "length"
        return
    tags: Any = {"type": "structural_tag", "triggers": ["="],
                 "structures": [{"begin": "= ", "schema": {"type": "integer"}, "end": "."}]}  # fmt: skip
    for more in ({"tools": TOOLS}, {"response_format": tags}):
        found = post(server, CHAT, {"messages": QUESTION, "max_tokens": 3, **more})[1]
        assert found["choices"][0]["finish_reason"] == "length"
    flat = [{"type": "function", **one["function"]} for one in TOOLS]
    found = post(server, "/v1/responses", {"input": QUESTION, "tools": flat, "max_output_tokens": 3})[1]
    assert found["status"] == "incomplete"
    theirs = [{"name": name, "input_schema": schema} for name, schema in SCHEMAS.items()]
    found = post(server, "/v1/messages", {"messages": QUESTION, "tools": theirs, "max_tokens": 3})[1]
    assert found["stop_reason"] == "max_tokens"


def test_calls_and_results_of_earlier_turns_are_told(client: openai.OpenAI, server: Server) -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 23, "b": 2221}'}}]
    result = {"role": "tool", "tool_call_id": "c1", "content": "2244"}
    asked: dict[str, Any] = {
        "messages": [*QUESTION, {"role": "assistant", "content": None, "tool_calls": calls}, result],
        "return_token_ids": True, "max_tokens": 4, "model": "nano", "tools": TOOLS, "tool_choice": "none",
    }  # fmt: skip
    ids = post(server, CHAT, asked)[1]["prompt_token_ids"]
    text = post(server, "/detokenize", {"tokens": ids})[1]["prompt"]
    assert '[{"name": "add", "arguments": {"a": 23, "b": 2221}}]' in text and "Result of add: 2244" in text
    ids = post(server, CHAT, {**asked, "tool_choice": "auto"})[1]["prompt_token_ids"]
    assert "Add two numbers." in post(server, "/detokenize", {"tokens": ids})[1]["prompt"]


def test_a_schema_that_cannot_be_enforced_is_refused_with_its_place(server: Server) -> None:
    parameters = {"type": "object", "properties": {"tags": {"type": "array", "uniqueItems": True}}}
    tools = [{"type": "function", "function": {"name": "mark", "parameters": parameters}}]
    body = {"messages": QUESTION, "tools": tools, "tool_choice": "required"}
    message = refused(server, CHAT, body, "tools", "bad_grammar")
    assert "uniqueItems at $.$defs.mark.properties.tags" in message


def test_the_guides_program_prints_what_follows_it(server: Server) -> None:
    found = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    program = found[1].replace("localhost:8000", f"127.0.0.1:{server.http_port}")
    assert subprocess.check_output([sys.executable, "-c", program], text=True, timeout=120) == found[2]
