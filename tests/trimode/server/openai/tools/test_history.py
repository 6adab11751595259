"""Calls and results of earlier turns become texts of roles that every template takes, whichever client wrote them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from trimode.server.openai.messages.request import read_turns
from trimode.server.openai.responses.request import read_input
from trimode.server.openai.shared.dialogue import read_messages
from trimode.server.openai.tools.history import History
from trimode.server.openai.tools.prompt import as_texts

from tests.support.openai_facts import error_of

FUNCTION = {"name": "f", "arguments": '{"a": "é"}'}
CALLS: dict[str, Any] = {
    "role": "assistant",
    "tool_calls": [{"id": one, "type": "function", "function": FUNCTION} for one in ("c1", "c2")],
}
NO_NUMBERS = ("NaN", "Infinity", "-Infinity", "1e999")
FIELD = "messages[0].tool_calls[0].function.arguments"
WRITTEN = '[{"name": "f", "arguments": {"a": "é"}}, {"name": "f", "arguments": {"a": "é"}}]'


def result(call: str, content: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call, "content": content}


def test_calls_have_the_form_of_answers_and_results_are_one_turn() -> None:
    said = [CALLS, result("c1", "5"), result("c2", [{"type": "text", "text": "6"}]), {**CALLS, "content": "So:"}]
    assert as_texts(read_messages("messages", said, History())) == [
        {"role": "assistant", "content": WRITTEN},
        {"role": "user", "content": "Result of f: 5\nResult of f: 6"},
        {"role": "assistant", "content": f"So:\n{WRITTEN}"},
    ]


@pytest.mark.parametrize(
    ("call", "param"),
    [
        (5, "messages[0].tool_calls[0]"),
        ({"id": "c", "type": "custom"}, "messages[0].tool_calls[0].type"),
        ({"id": "c"}, "messages[0].tool_calls[0].function"),
        ({"id": "c", "function": {"name": "a b", "arguments": "{}"}}, "messages[0].tool_calls[0].function.name"),
        ({"id": "c", "function": {"name": "f", "arguments": "["}}, "messages[0].tool_calls[0].function.arguments"),
        ({"id": "c", "function": {"name": "f", "arguments": {}}}, "messages[0].tool_calls[0].function.arguments"),
        *(({"id": "c", "function": {"name": "f", "arguments": f'{{"a": {number}}}'}}, FIELD) for number in NO_NUMBERS),
        ({"function": FUNCTION}, "messages[0].tool_calls[0].id"),
    ],
)
def test_what_is_no_call_is_named(call: object, param: str) -> None:
    said = [{"role": "assistant", "tool_calls": [call]}]
    assert error_of(lambda: read_messages("messages", said, History())).param == param


def test_text_that_is_no_unicode_is_refused() -> None:
    function = {"name": "f", "arguments": '{"a": "\\ud800"}'}
    said = [{"role": "assistant", "tool_calls": [{"id": "c", "function": function}]}]
    assert error_of(lambda: read_messages("messages", said, History())).code == "bad_utf8"


def test_a_result_needs_its_call() -> None:
    error = error_of(lambda: read_messages("messages", [CALLS, result("c3", "5")], History()))
    assert error.param == "messages[1].tool_call_id"


def test_items_of_responses_are_the_same_turns() -> None:
    call = {"type": "function_call", "id": "fc_1", "call_id": "c1", "status": "completed", **FUNCTION}
    said = [
        {"role": "assistant", "content": "So:"}, call, {**call, "call_id": "c2"},
        {"type": "function_call_output", "call_id": "c1", "output": "5"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "6"}]},
        {"role": "user", "content": "And?"}, call,
    ]  # fmt: skip
    assert as_texts(read_input(said)) == [
        {"role": "assistant", "content": f"So:\n{WRITTEN}"},
        {"role": "user", "content": "Result of f: 5\nResult of f: 6\nAnd?"},
        {"role": "assistant", "content": f"[{json.dumps({'name': 'f', 'arguments': {'a': 'é'}}, ensure_ascii=False)}]"},
    ]


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"type": "function_call", "call_id": "c", "name": "a b", "arguments": "{}"}, "input[0].name"),
        ({"type": "function_call", "call_id": "c", "name": "f", "arguments": "5"}, "input[0].arguments"),
        ({"type": "function_call", "name": "f", "arguments": "{}"}, "input[0].call_id"),
        ({"type": "function_call_output", "call_id": "c", "output": "5"}, "input[0].call_id"),
        ({"type": "function_call_output", "call_id": "c", "output": 5}, "input[0].output"),
    ],
)
def test_an_item_that_is_no_call_is_named(item: dict[str, Any], param: str) -> None:
    assert error_of(lambda: read_input([item])).param == param


USE = {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": "é"}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "5"}


def test_blocks_of_messages_are_the_same_turns() -> None:
    said = [
        {"role": "assistant", "content": [{"type": "text", "text": "So:"}, USE, {**USE, "id": "t2"}]},
        {
            "role": "user",
            "content": [
                RESULT,
                {
                    "type": "tool_result",
                    "tool_use_id": "t2",
                    "is_error": True,
                    "content": [{"type": "text", "text": "6"}],
                },
                {"type": "text", "text": "And?"},
            ],
        },
    ]
    assert as_texts(read_turns("messages", said)) == [
        {"role": "assistant", "content": f"So:\n{WRITTEN}"},
        {"role": "user", "content": "Result of f: 5\nError of f: 6\nAnd?"},
    ]
    alone = read_turns("messages", [{"role": "assistant", "content": [USE]}, {"role": "user", "content": [RESULT]}])
    assert [turn.role for turn in alone] == ["assistant", "tool"]


@pytest.mark.parametrize(
    ("role", "block", "param"),
    [
        ("assistant", {**USE, "input": "{}"}, "messages[0].content[1].input"),
        ("assistant", {**USE, "input": {"a": float("nan")}}, "messages[0].content[1].input"),
        ("assistant", {**USE, "input": {"a": [float("inf")]}}, "messages[0].content[1].input"),
        ("assistant", {**USE, "name": ""}, "messages[0].content[1].name"),
        ("assistant", {**USE, "id": None}, "messages[0].content[1].id"),
        ("assistant", RESULT, "messages[0].content[1].type"),
        ("user", USE, "messages[0].content[1].type"),
        ("user", RESULT, "messages[0].content[1].tool_use_id"),
        ("user", {**RESULT, "content": [{"type": "image"}]}, "messages[0].content[1].content[0].type"),
        ("user", {**RESULT, "is_error": 1}, "messages[0].content[1].is_error"),
    ],
)
def test_a_block_that_is_no_call_is_named(role: str, block: dict[str, Any], param: str) -> None:
    said = [{"role": role, "content": [{"type": "text", "text": "A"}, block]}]
    assert error_of(lambda: read_turns("messages", said)).param == param
