"""Forms and tools of Anthropic's API over plain HTTP; tests/clients asks with the package itself."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from tests.server.openai.asking import ANSWER, MODES, QUESTION, SCHEMAS, post
from tests.server.server import Server
from tests.server.wire import send

PATH = "/v1/messages"
TOOLS = [{"name": name, "description": "A tool.", "input_schema": schema} for name, schema in SCHEMAS.items()]
ASKED: dict[str, Any] = {"model": "nano", "messages": QUESTION, "max_tokens": 120, "tools": TOOLS}
ANY, NAMED = {"type": "any"}, {"type": "tool", "name": "weather"}


def asked(server: Server, **body: Any) -> dict[str, Any]:
    status, answer = post(server, PATH, {**ASKED, **body})
    assert status == 200, answer
    found: dict[str, Any] = answer
    return found


def called(content: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """The calls among blocks, which are valid."""
    calls = [block for block in content if block["type"] == "tool_use"]
    assert 1 <= len(calls) <= 8 and len({call["id"] for call in calls}) == len(calls)
    for call in calls:
        jsonschema.validate(call["input"], {**SCHEMAS[call["name"]], "additionalProperties": False})
    return [(call["name"], call["input"]) for call in calls]


def events(server: Server, **body: Any) -> list[dict[str, Any]]:
    _, raw = send(server.http_port, "POST", PATH, json.dumps({**ASKED, **body, "stream": True}).encode())
    return [json.loads(line[6:]) for line in raw.decode().splitlines() if line.startswith("data: ")]


@pytest.mark.parametrize("mode", MODES)
def test_any_and_tool_give_valid_calls_whole_and_streamed(server: Server, mode: str) -> None:
    for choice in (ANY, {**ANY, "disable_parallel_tool_use": True}, NAMED):
        whole = asked(server, model=f"nano:{mode}", tool_choice=choice)
        assert whole["stop_reason"] == "tool_use" and all(block["type"] == "tool_use" for block in whole["content"])
        found = called(whole["content"])
        assert choice is ANY or len(found) == 1
        made = events(server, model=f"nano:{mode}", tool_choice=choice)
        assert made[-2]["delta"]["stop_reason"] == "tool_use"
        begun = [one["content_block"] for one in made if one["type"] == "content_block_start"]
        assert all(block["type"] == "tool_use" and block["input"] == {} for block in begun)
        said = ["" for _ in begun]
        for one in made:
            if one["type"] == "content_block_delta":
                said[one["index"]] += one["delta"]["partial_json"]
        streamed = [(block["name"], json.loads(text)) for block, text in zip(begun, said, strict=True)]
        assert streamed == found
        assert sum(one["type"] == "content_block_stop" for one in made) == len(begun)


def test_none_and_auto_may_answer_in_words(server: Server) -> None:
    none = asked(server, tool_choice={"type": "none"})
    assert none["content"][0]["text"].endswith(ANSWER) and none["stop_reason"] == "end_turn"
    assert asked(server)["content"][0]["text"]


def test_results_of_calls_reach_the_model(server: Server) -> None:
    first = asked(server, tool_choice=NAMED)
    (call,) = first["content"]
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": [{"type": "text", "text": "Sunny."}]}
    said = [*QUESTION, {"role": "assistant", "content": first["content"]}, {"role": "user", "content": [result]}]
    assert asked(server, messages=said, tool_choice={"type": "none"})["content"][0]["text"]
    assert called(asked(server, messages=said, tool_choice=ANY)["content"])


def test_a_thought_precedes_calls(server: Server) -> None:
    thinking = {"type": "enabled", "budget_tokens": 10}
    found = asked(server, tool_choice=NAMED, thinking=thinking, max_tokens=160)
    assert [block["type"] for block in found["content"]] == ["thinking", "tool_use"]


def test_calls_that_are_cut_end_with_max_tokens(server: Server) -> None:
    found = asked(server, tool_choice=ANY, max_tokens=2)
    assert (found["stop_reason"], found["content"]) == ("max_tokens", [])
    made = events(server, tool_choice=ANY, max_tokens=2)
    assert [one["type"] for one in made] == ["message_start", "message_delta", "message_stop"]


@pytest.mark.parametrize("mode", MODES)
def test_the_text_matches_a_schema(server: Server, mode: str) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    form = {"type": "json_schema", "schema": schema}
    for body in ({"output_config": {"format": form}}, {"output_format": form}):
        found = asked(server, model=f"nano:{mode}", tools=[], **body)
        jsonschema.validate(json.loads(found["content"][0]["text"]), schema)
        assert found["stop_reason"] == "end_turn"


def test_tools_count_among_the_tokens_of_the_prompt(server: Server) -> None:
    _, counted = post(server, f"{PATH}/count_tokens", {**ASKED, "max_tokens": None})
    usage = asked(server, max_tokens=1)["usage"]
    assert counted["input_tokens"] == usage["input_tokens"] + usage["cache_read_input_tokens"]


def test_what_cannot_be_enforced_is_refused_in_anthropics_form(server: Server) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}
    status, answer = post(
        server, PATH, {**ASKED, "output_format": {"type": "json_schema", "schema": schema}, "tools": []}
    )
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
    assert "output_format must hold no keyword that cannot be enforced" in answer["error"]["message"]
