"""Tools where the chat template lists them: nano with templates of other checkpoints, each in a form of its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.server.openai.asking import CHAT, MODES, NANO, QUESTION, SCHEMAS, post, refused
from tests.server.server import Server
from tests.support.tool_templates import TEMPLATES

TOOLS: list[dict[str, Any]] = [
    {"type": "function", "function": {"name": name, "parameters": one}} for name, one in SCHEMAS.items()
]
ASKED: dict[str, Any] = {"messages": QUESTION, "tools": TOOLS, "max_tokens": 150, "return_token_ids": True}


@pytest.fixture(scope="module", params=["hermes", "mistral", "ministral"])
def served(
    request: pytest.FixtureRequest, bundle_of: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Server]]:
    folder = tmp_path_factory.mktemp(request.param) / "nano"
    shutil.copytree(NANO, folder)
    (folder / "chat_template.jinja").write_text(TEMPLATES[request.param][0], encoding="utf-8")
    with Server(bundle_of(folder), folder.parent / "log", "--exit-timeout", "4", "--served-model-name", "nano") as made:
        yield request.param, made


def prompt(server: Server, answer: dict[str, Any]) -> str:
    found = post(server, "/detokenize", {"tokens": answer["prompt_token_ids"]})[1]["prompt"]
    return str(found)


def test_the_template_lists_tools_and_writes_calls_and_results(served: tuple[str, Server]) -> None:
    name, server = served
    calls = [{"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 23, "b": 2221}'}}]
    said = [
        *QUESTION, {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "call_1", "content": "2244"},
    ]  # fmt: skip
    status, answer = post(server, CHAT, {**ASKED, "messages": said, "max_tokens": 4})
    assert status == 200, answer
    text = prompt(server, answer)
    listing, call, result = {
        "hermes": (
            "<tools>",
            '<tool_call>\n{"name": "add", "arguments": {"a": 23, "b": 2221}}\n',
            "<tool_response>2244",
        ),
        "mistral": ("[AVAILABLE_TOOLS]", '[TOOL_CALLS][{"name": "add", "arguments"', "[TOOL_RESULTS]2244"),
        "ministral": ("[AVAILABLE_TOOLS]", '[TOOL_CALLS]add[ARGS]{"a": 23, "b": 2221}', "[TOOL_RESULTS]2244"),
    }[name]
    assert listing in text and call in text and result in text and '"name": "weather"' in text
    assert "You may call these functions" not in text
    _, none = post(server, CHAT, {**ASKED, "max_tokens": 4, "tool_choice": "none"})
    assert listing not in prompt(server, none)
    counted = post(server, "/tokenize", {"messages": said, "tools": TOOLS})[1]
    assert counted["tokens"] == answer["prompt_token_ids"]


@pytest.mark.parametrize("mode", MODES)
def test_calls_are_valid_in_the_form_of_the_template(served: tuple[str, Server], mode: str) -> None:
    _, server = served
    named = {"type": "function", "function": {"name": "weather"}}
    for choice in ("required", named):
        asked = {**ASKED, "model": f"nano:{mode}", "tool_choice": choice, "temperature": 1.0, "seed": 3}
        status, answer = post(server, CHAT, asked)
        assert status == 200, answer
        (found,) = answer["choices"]
        assert found["finish_reason"] == "tool_calls" and found["message"]["content"] is None
        calls = [one["function"] for one in found["message"]["tool_calls"]]
        for call in calls:
            schema = {**SCHEMAS[call["name"]], "additionalProperties": False}
            jsonschema.validate(json.loads(call["arguments"]), schema)
        assert choice == "required" or [call["name"] for call in calls] == ["weather"]


def test_a_thought_precedes_calls_and_other_apis_have_them_too(served: tuple[str, Server]) -> None:
    _, server = served
    asked = {**ASKED, "tool_choice": "required", "reasoning_effort": "low", "thinking_token_budget": 10}
    message = post(server, CHAT, asked)[1]["choices"][0]["message"]
    assert message["tool_calls"] and message["reasoning_content"]
    flat = [{"type": "function", **one["function"]} for one in TOOLS]
    found = post(server, "/v1/responses", {"input": QUESTION, "tools": flat, "tool_choice": "required"})[1]
    assert {item["type"] for item in found["output"]} == {"function_call"}
    theirs = [{"name": name, "input_schema": schema} for name, schema in SCHEMAS.items()]
    body = {"messages": QUESTION, "max_tokens": 150, "tools": theirs}
    answer = post(server, "/v1/messages", {**body, "tool_choice": {"type": "any"}})[1]
    assert answer["stop_reason"] == "tool_use" and answer["content"]
    counted = post(server, "/v1/messages/count_tokens", body)[1]["input_tokens"]
    usage = answer["usage"]
    assert counted == usage["input_tokens"] + usage["cache_read_input_tokens"]


def test_auto_may_answer_in_words_and_what_is_too_long_is_named(served: tuple[str, Server]) -> None:
    _, server = served
    answer = post(server, CHAT, {**ASKED, "max_tokens": 20})[1]
    assert answer["choices"][0]["message"]["content"]
    long = [{"role": "user", "content": "a b " * 2100}]
    refused(server, CHAT, {"messages": long, "tools": TOOLS}, "messages", "context_length_exceeded")
    schema = {"properties": {"a": {"uniqueItems": True, "type": "array"}}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    body = {"messages": QUESTION, "tools": tools, "tool_choice": "required"}
    assert "uniqueItems" in refused(server, CHAT, body, "tools", "bad_grammar")
