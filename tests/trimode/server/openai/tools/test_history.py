"""Calls and results of earlier turns become texts of roles that every template takes."""

from __future__ import annotations

from typing import Any

import pytest
from trimode.server.openai.shared.dialogue import read_messages
from trimode.server.openai.tools.history import History

from tests.support.openai_facts import error_of

FUNCTION = {"name": "f", "arguments": '{"a": "é"}'}
CALLS: dict[str, Any] = {
    "role": "assistant",
    "tool_calls": [{"id": one, "type": "function", "function": FUNCTION} for one in ("c1", "c2")],
}
WRITTEN = '[{"name": "f", "arguments": {"a": "é"}}, {"name": "f", "arguments": {"a": "é"}}]'


def result(call: str, content: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call, "content": content}


def test_calls_have_the_form_of_answers_and_results_are_one_turn() -> None:
    said = [CALLS, result("c1", "5"), result("c2", [{"type": "text", "text": "6"}]), {**CALLS, "content": "So:"}]
    assert read_messages("messages", said, History()) == [
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


def test_other_endpoints_take_neither() -> None:
    assert error_of(lambda: read_messages("messages", [CALLS])).param == "messages[0].tool_calls"
    assert error_of(lambda: read_messages("messages", [result("c1", "5")])).param == "messages[0].role"
