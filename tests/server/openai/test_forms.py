"""Answers that must match something, through the openai package, in every mode: `.parse()` runs unchanged."""

from __future__ import annotations

import json
import re
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.server.openai.asking import MODES, QUESTION, post, refused
from tests.server.server import Server
from tests.server.wire import generate


class Step(BaseModel):
    explanation: str
    output: int


class Solution(BaseModel):
    steps: list[Step]
    final_answer: str


@pytest.mark.parametrize("mode", MODES)
def test_parse_gives_an_object_of_the_class(client: openai.OpenAI, mode: str) -> None:
    found = client.chat.completions.parse(
        model=f"nano:{mode}", messages=QUESTION, response_format=Solution, max_completion_tokens=120
    )
    assert isinstance(found.choices[0].message.parsed, Solution)
    assert found.choices[0].finish_reason == "stop"


def test_a_stream_gives_the_text_of_a_whole_answer(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "nano", "messages": QUESTION, "max_tokens": 80, "seed": 4, "temperature": 1.0}
    form: Any = {"type": "json_object"}
    whole = client.chat.completions.create(**asked, response_format=form).choices[0].message.content
    pieces = [
        chunk.choices[0].delta.content or ""
        for chunk in client.chat.completions.create(**asked, response_format=form, stream=True)
        if chunk.choices
    ]
    assert "".join(pieces) == whole
    assert isinstance(json.loads(whole or ""), dict)


@pytest.mark.parametrize("mode", MODES)
def test_json_stands_in_words_where_tags_say_so(client: openai.OpenAI, server: Server, mode: str) -> None:
    """nano answers such questions with a sum and its result: what follows its = is held to a schema."""
    schema = {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}
    structure = {"begin": "= ", "schema": {**schema, "additionalProperties": False}, "end": "."}
    tags: Any = {"type": "structural_tag", "triggers": ["="], "structures": [structure]}
    asked: dict[str, Any] = {"messages": QUESTION, "model": f"nano:{mode}", "max_tokens": 60}
    whole = client.chat.completions.create(**asked, response_format=tags).choices[0].message.content or ""
    found = re.fullmatch(r"([^=]*)= (\{[^}]*\})\.(.*)", whole, re.DOTALL)
    assert found is not None and json.loads(found[2]).keys() == {"sum"} and found[1].strip()
    pieces = client.chat.completions.create(**asked, response_format=tags, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in pieces) == whole
    vllms = {**asked, "structured_outputs": {"structural_tag": json.dumps(tags)}}
    assert post(server, "/v1/chat/completions", vllms)[1]["choices"][0]["message"]["content"] == whole


@pytest.mark.parametrize("stream", [False, True])
def test_a_gap_holds_the_form_or_the_whole_text_does(server: Server, client: openai.OpenAI, stream: bool) -> None:
    left, right = '{"name": "Anna", "age": ', ', "city": "Lima"}'
    asked: dict[str, Any] = {"model": "nano", "prompt": left, "suffix": right, "max_tokens": 8}
    number = {"extra_body": {"structured_outputs": {"regex": "[0-9]{1,3}"}}}
    whole: dict[str, Any] = {
        "extra_body": {"guided_decoding_scope": "whole", "response_format": {"type": "json_object"}}
    }
    for more, pattern in ((number, "[0-9]{1,3}"), (whole, "(?s).*")):
        made: Any = client.completions.create(**asked, **more, stream=stream)
        chunks = made if stream else [made]
        text = "".join(choice.text for chunk in chunks for choice in chunk.choices)
        assert re.fullmatch(pattern, text)
        assert isinstance(json.loads(left + text + right), dict)
    body = {"prompt": left, "suffix": right, "max_tokens": 8, "structured_outputs": {"choice": ["7", "24"]}}
    status, answer = post(server, "/v1/fim/completions", body)
    assert (status, answer["choices"][0]["message"]["content"] in ("7", "24")) == (200, True)
    body |= {"structured_outputs": {"regex": "a{40}"}}
    status, answer = post(server, "/v1/fim/completions", body)
    assert (status, answer["error"]["code"]) == (400, "no_filling")


@pytest.mark.parametrize(
    ("form", "pattern"),
    [
        ({"regex": "[a-c]{3}-[0-9]+"}, "[a-c]{3}-[0-9]+"),
        ({"choice": ["yes", "no"]}, "yes|no"),
        ({"grammar": 'root ::= "<" [a-z]+ ">"'}, "<[a-z]+>"),
        ({"json": {"type": "integer"}}, "-?[0-9]+"),
    ],
)
def test_the_forms_of_vllm_hold(client: openai.OpenAI, form: dict[str, Any], pattern: str) -> None:
    for mode in MODES:
        found = client.completions.create(
            model=f"nano:{mode}", prompt="Say: ", max_tokens=20, extra_body={"structured_outputs": form}
        )
        assert re.fullmatch(pattern, found.choices[0].text)


def spaces(text: str) -> list[str]:
    """The whitespace of JSON outside of its texts."""
    return re.findall(r"\s", re.sub(r'"(\\.|[^"\\])*"', "", text))


def test_json_may_have_no_whitespace(client: openai.OpenAI, server: Server) -> None:
    schema = Solution.model_json_schema()
    form = {"json": schema, "disable_any_whitespace": True}
    asked: dict[str, Any] = {"messages": QUESTION, "max_tokens": 120, "temperature": 1.0, "seed": 5}
    for mode in MODES:
        found = client.chat.completions.create(model=f"nano:{mode}", **asked, extra_body={"structured_outputs": form})
        text = found.choices[0].message.content
        assert not spaces(text)
        Solution.model_validate_json(text)
    fields = {"guided_decoding_guide_type": "json_schema", "guided_decoding_guide": json.dumps(schema)}
    assert not spaces(generate(server.http_port, {**asked, "disable_any_whitespace": True, **fields})[1]["text_output"])
    tools: Any = [{"type": "function", "function": {"name": "solve", "parameters": schema}}]
    called = client.chat.completions.create(
        model="nano", **asked, tools=tools, tool_choice="required", extra_body={"disable_any_whitespace": True}
    )
    assert not spaces(called.choices[0].message.tool_calls[0].function.arguments)


def test_a_form_that_cannot_be_enforced_is_refused_by_its_own_name(server: Server) -> None:
    schema = {"type": "array", "uniqueItems": True}
    body = {"messages": QUESTION, "response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}
    message = refused(server, "/v1/chat/completions", body, "response_format", "bad_grammar")
    assert "uniqueItems at $" in message
