"""The forms of OpenAI's and vLLM's clients, as generate is asked for them."""

from __future__ import annotations

from typing import Any

import pytest
from trimode.server.openai.shared.fields import sort_fields
from trimode.server.openai.shared.form import form_of
from trimode.server.openai.shared.table import Endpoint

from tests.support.openai_facts import error_of

TYPE, GUIDE, COMPACT = "guided_decoding_guide_type", "guided_decoding_guide", "disable_any_whitespace"


def form(**body: Any) -> tuple[dict[str, Any], dict[str, str]]:
    return form_of(sort_fields("chat", body))


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        ({}, {}),
        ({"response_format": {"type": "text"}}, {}),
        ({"structured_outputs": {}}, {}),
        ({"response_format": {"type": "json_object"}}, {TYPE: "json"}),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": {"a": 1}, "strict": True},
                }
            },
            {TYPE: "json_schema", GUIDE: '{"a": 1}'},
        ),
        ({"structured_outputs": {"json": {"a": 1}}}, {TYPE: "json_schema", GUIDE: '{"a": 1}'}),
        ({"structured_outputs": {"json": '{"a": 1}', "regex": None}}, {TYPE: "json_schema", GUIDE: '{"a": 1}'}),
        ({"structured_outputs": {"regex": "a+"}}, {TYPE: "regex", GUIDE: "a+"}),
        ({"structured_outputs": {"choice": ["a", "b"]}}, {TYPE: "choice", GUIDE: '["a", "b"]'}),
        ({"structured_outputs": {"grammar": "root ::= x"}}, {TYPE: "ebnf_grammar", GUIDE: "root ::= x"}),
        ({"structured_outputs": {"json_object": True, "disable_any_whitespace": False}}, {TYPE: "json"}),
        (
            {"structured_outputs": {"json_object": True, "disable_any_whitespace": True}},
            {TYPE: "json", "disable_any_whitespace": True},
        ),
        ({"structured_outputs": {"structural_tag": "{}"}}, {TYPE: "structural_tag", GUIDE: "{}"}),
        ({"structured_outputs": {"structural_tag": {"a": 1}}}, {TYPE: "structural_tag", GUIDE: '{"a": 1}'}),
        (
            {"response_format": {"type": "structural_tag", "triggers": ["a"]}},
            {TYPE: "structural_tag", GUIDE: '{"type": "structural_tag", "triggers": ["a"]}'},
        ),
        ({"structured_outputs": {COMPACT: True}, "tools": [{}]}, {COMPACT: True}),
        ({TYPE: "regex", GUIDE: "b+"}, {TYPE: "regex", GUIDE: "b+"}),
    ],
)
def test_each_form_is_one_of_generates(body: dict[str, Any], asked: dict[str, Any]) -> None:
    found, called = form(**body)
    assert found == asked
    own = not asked or TYPE in body
    names = (TYPE, GUIDE, *({COMPACT} & asked.keys()))
    assert called == ({} if own else dict.fromkeys(names, next(iter(body))))


@pytest.mark.parametrize(
    ("endpoint", "body", "asked"),
    [
        ("responses", {"text": {"format": {"type": "text"}, "verbosity": "medium"}}, {}),
        ("responses", {"text": {"format": {"type": "json_object"}}}, {TYPE: "json"}),
        (
            "responses",
            {"text": {"format": {"type": "json_schema", "name": "n", "strict": True, "schema": {"a": 1}}}},
            {TYPE: "json_schema", GUIDE: '{"a": 1}'},
        ),
        ("responses", {"structured_outputs": {"regex": "a"}}, {TYPE: "regex", GUIDE: "a"}),
        ("messages", {"output_config": {"effort": "low"}}, {}),
        (
            "messages",
            {"output_config": {"format": {"type": "json_schema", "schema": {"a": 1}}}},
            {TYPE: "json_schema", GUIDE: '{"a": 1}'},
        ),
        (
            "messages",
            {"output_format": {"type": "json_schema", "schema": {"a": 1}}},
            {TYPE: "json_schema", GUIDE: '{"a": 1}'},
        ),
        ("messages", {"structured_outputs": {"choice": ["a"]}}, {TYPE: "choice", GUIDE: '["a"]'}),
    ],
)
def test_other_endpoints_have_words_of_their_own(
    endpoint: Endpoint, body: dict[str, Any], asked: dict[str, str]
) -> None:
    found, called = form_of(sort_fields(endpoint, body))
    assert found == asked
    assert called == (dict.fromkeys((TYPE, GUIDE), next(iter(body))) if asked else {})


@pytest.mark.parametrize(
    ("endpoint", "body", "param"),
    [
        ("responses", {"text": {"format": 5}}, "text.format"),
        ("responses", {"text": {"format": {"type": "grammar"}}}, "text.format.type"),
        ("responses", {"text": {"format": {"type": "json_schema", "schema": "x"}}}, "text.format.schema"),
        ("responses", {"text": {"format": {"type": "text", "x": 1}}}, "text.format.x"),
        ("messages", {"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ("messages", {"output_format": {"type": "xml"}}, "output_format.type"),
    ],
)
def test_what_is_no_form_there_is_refused(endpoint: Endpoint, body: dict[str, Any], param: str) -> None:
    assert error_of(lambda: form_of(sort_fields(endpoint, body))).param == param


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"response_format": {"type": "grammar"}}, "response_format.type", "invalid_value"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "invalid_value"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {}, "sort": 1}}},
            "response_format.json_schema.sort",
            "unknown_field",
        ),
        ({"structured_outputs": {"structural_tag": ["x"]}}, "structured_outputs.structural_tag", "wrong_type"),
        ({"structured_outputs": {"tags": "x"}}, "structured_outputs.tags", "unknown_field"),
        ({"structured_outputs": {"regex": "a", "choice": ["a"]}}, "structured_outputs.choice", "given_twice"),
        (
            {"structured_outputs": {"regex": "a", "disable_any_whitespace": True}},
            "structured_outputs.disable_any_whitespace",
            "not_applicable",
        ),
        (
            {"structured_outputs": {"disable_any_whitespace": 1}},
            "structured_outputs.disable_any_whitespace",
            "wrong_type",
        ),
        ({"structured_outputs": {"disable_fallback": True}}, "structured_outputs.disable_fallback", "invalid_value"),
        ({"structured_outputs": {"regex": 5}}, "structured_outputs.regex", "wrong_type"),
        ({"structured_outputs": {"regex": "a"}, TYPE: "json"}, TYPE, "given_twice"),
        (
            {"structured_outputs": {"regex": "a"}, "response_format": {"type": "json_object"}},
            "structured_outputs",
            "given_twice",
        ),
    ],
)
def test_what_is_no_form_is_refused(body: dict[str, Any], param: str, code: str) -> None:
    error = error_of(lambda: form(**body))
    assert (error.param, error.code) == (param, code)
