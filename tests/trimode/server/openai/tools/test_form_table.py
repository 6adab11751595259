"""The forms of chat templates: which one a template has, the grammar of its calls, and calls that are read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from llguidance import LLMatcher
from trimode.errors import RequestError
from trimode.grammar.compiled import compile_grammar
from trimode.grammar.source import Source, grammar_text
from trimode.server.openai.tools.calls import CallReader
from trimode.server.openai.tools.form_table import ARRAY, HERMES, LLAMA, MINISTRAL, MISTRAL, NEMOTRON, Form, form_of
from trimode.server.openai.tools.wanted import Tool, Tools

from tests.support.grammars import ids, nano_lexicon
from tests.support.layout import ROOT
from tests.support.tool_templates import TEMPLATES

FORMS = [HERMES, MISTRAL, MINISTRAL, NEMOTRON, LLAMA]
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}, "s": {"type": "string"}}}
TOOLS = (Tool("f", "", SCHEMA), Tool("g", "", {"type": "object", "properties": {}}))
ARGUMENTS = [{"a": 5, "s": "]}"}, {}]
WRITTEN = {
    HERMES: '<tool_call>\n{"name": "f", "arguments": {"a": 5, "s": "]}"}}\n</tool_call>\n'
            '<tool_call>\n{"name": "g", "arguments": {}}\n</tool_call>',
    MISTRAL: '[TOOL_CALLS][{"name": "f", "arguments": {"a": 5, "s": "]}"}}, {"name": "g", "arguments": {}}]',
    MINISTRAL: '[TOOL_CALLS]f[ARGS]{"a": 5, "s": "]}"}[TOOL_CALLS]g[ARGS]{}',
    NEMOTRON: '<TOOLCALL>[{"name": "f", "arguments": {"a": 5, "s": "]}"}}, {"name": "g", "arguments": {}}]</TOOLCALL>',
    LLAMA: '{"name": "f", "parameters": {"a": 5, "s": "]}"}}; {"name": "g", "parameters": {}}',
    ARRAY: '[{"name": "f", "arguments": {"a": 5, "s": "]}"}}, {"name": "g", "arguments": {}}]',
}  # fmt: skip
ONE = {
    HERMES: '<tool_call>\n{"name": "f", "arguments": {"a": 5, "s": "]}"}}\n</tool_call>',
    MISTRAL: '[TOOL_CALLS][{"name": "f", "arguments": {"a": 5, "s": "]}"}}]',
    MINISTRAL: '[TOOL_CALLS]f[ARGS]{"a": 5, "s": "]}"}',
    NEMOTRON: '<TOOLCALL>[{"name": "f", "arguments": {"a": 5, "s": "]}"}}]</TOOLCALL>',
    LLAMA: '{"name": "f", "parameters": {"a": 5, "s": "]}"}}',
    ARRAY: '[{"name": "f", "arguments": {"a": 5, "s": "]}"}}]',
}


def tools(form: Form, choice: str = "required", most: int = 8) -> Tools:
    return Tools(TOOLS, choice, ("f", "g"), most, form)  # type: ignore[arg-type]  # one of the choices


def matcher(made: Tools, special: Mapping[str, int], *, compact: bool = False) -> LLMatcher:
    text = grammar_text(Source("ebnf_grammar", made.grammar(special, compact=compact)))
    return compile_grammar(text, nano_lexicon()).start.deep_copy()


def follows(at: LLMatcher, text: str) -> bool:
    """Whether the grammar takes a text, which may end there."""
    tokens = nano_lexicon().tokens.tokenize_str(text)
    return bool(at.try_consume_tokens(tokens) == len(tokens) and at.is_accepting())


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_that_lists_tools_says_its_form(name: str) -> None:
    template, form = TEMPLATES[name]
    assert form_of(template) is form


@pytest.mark.parametrize(
    "template",
    [
        "",
        (ROOT / "checkpoints" / "nano" / "chat_template.jinja").read_text(encoding="utf-8"),
        "{# tools #}<tool_call>{{ messages }}",
        "{% if tools %}{{ tools }}{% endif %}",
        "{% if tools %}<tool_call><function=f><parameter=a>{% endif %}",
    ],
)
def test_other_templates_get_the_stated_form(template: str) -> None:
    assert form_of(template) is ARRAY


@pytest.mark.parametrize("form", FORMS)
def test_the_grammar_takes_calls_in_the_form_and_nothing_else(form: Form) -> None:
    assert follows(matcher(tools(form), {}), WRITTEN[form])
    assert not follows(matcher(tools(form, most=1), {}), WRITTEN[form])
    for wrong in ("Hello", WRITTEN[form].replace("5", '"5"'), WRITTEN[form].replace('"g"', '"h"').replace("g[", "h[")):
        assert not follows(matcher(tools(form), {}), wrong)
    spaced = WRITTEN[form].replace('{"a": 5, "s"', '{"a":5,"s"').replace(', "s": ', ',"s":').replace('"s": ', '"s":')
    assert follows(matcher(tools(form), {}, compact=True), spaced)
    assert not follows(matcher(tools(form), {}, compact=True), WRITTEN[form])


def in_tokens(form: Form, text: str, special: Mapping[str, int]) -> list[int]:
    found: list[int] = []
    for part in form.parts(text):
        found += [special[part]] if part in special else ids(part)
    return found


@pytest.mark.parametrize("form", [form for form in FORMS if form.markers])
@pytest.mark.parametrize("choice", ["required", "auto"])
def test_markers_that_are_special_tokens_stand_in_the_grammar_by_their_ids(form: Form, choice: str) -> None:
    special = {marker: at for at, marker in enumerate(form.markers, start=20)}
    at = matcher(tools(form, choice), special)
    tokens = in_tokens(form, WRITTEN[form], special)
    assert at.try_consume_tokens(tokens) == len(tokens) and at.is_accepting()
    wrong = in_tokens(form, WRITTEN[form].replace("5", '"5"'), special)
    at = matcher(tools(form, choice), special)
    assert at.try_consume_tokens(wrong) < len(wrong)
    assert form.opening == {HERMES: "<tool_call>", NEMOTRON: "<TOOLCALL>"}.get(form, "[TOOL_CALLS]")


@pytest.mark.parametrize("form", [form for form in FORMS if form.markers])
def test_a_marker_that_is_a_special_token_cannot_be_spelled_in_words(form: Form) -> None:
    special = {marker: at for at, marker in enumerate(form.markers, start=20)}
    made = tools(form, "auto")
    assert follows(matcher(made, special), f"Words and {form.opening[:-1]}")
    for text in (form.opening, f"Words {form.opening} and", WRITTEN[form], WRITTEN[form].replace('"f"', '"rm"')):
        assert not follows(matcher(made, special), text)


@pytest.mark.parametrize("form", [*FORMS, ARRAY])
def test_where_the_model_decides_it_writes_words_until_it_begins_a_call(form: Form) -> None:
    made = tools(form, "auto")
    near = ("<tool", "[TOOL_", '{"name": "x"}', '[{"name": "h", "arguments": 5}]')
    for words in ("Hello", "", " ", "[1, 2]", "a\nb\n", *near):
        assert follows(matcher(made, {}), words)
    assert follows(matcher(made, {}), WRITTEN[form])
    before = "So:\n" if form.opening else " \n"
    assert follows(matcher(made, {}), before + WRITTEN[form])
    assert not follows(matcher(made, {}), WRITTEN[form].replace("5", '"5"'))
    assert not follows(matcher(made, {}), WRITTEN[form] + " So.")
    assert follows(matcher(tools(form, "auto", most=1), {}), ONE[form])
    assert not follows(matcher(tools(form, "auto", most=1), {}), WRITTEN[form])


@pytest.mark.parametrize("form", [*FORMS, ARRAY])
def test_a_schema_that_cannot_be_enforced_is_loose_where_the_model_decides(form: Form) -> None:
    loose = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True, "format": "odd"}}}
    for strict in (False, True):
        made = Tools((Tool("f", "", loose, strict),), "auto", ("f",), 8, form)
        if strict:
            with pytest.raises(RequestError, match="uniqueItems"):
                matcher(made, {})
        else:
            assert follows(matcher(made, {}), ONE[form].replace('{"a": 5, "s": "]}"}', '{"a": [1, 1]}'))


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"type": "string", "pattern": "^(?=a)b"}}},
        {"properties": {"a": {"type": "string", "pattern": r"(a)\1"}}},
        {"properties": {"a": {"type": "string", "pattern": "(a{1000}){1000000}"}}},
        {"properties": {"a": {"$ref": "#/$defs/none"}}},
        {"properties": {"a": {"$ref": "https://example.org/a"}}, "required": ["a"]},
        {"properties": {"a": {"type": "integer", "minimum": 2**70}}},
        {"properties": {"a": {"type": "integer", "minimum": 5, "maximum": 3}}, "required": ["a"]},
        {"properties": {"a": {"enum": []}}, "required": ["a"]},
        {"properties": {"a": {"type": "string", "minLength": -1}}},
        {"properties": {"a": {"type": "nope"}}},
        {"patternProperties": {"(?=a)": {"type": "null"}}},
        {"$ref": "https://example.org/a"},
        {"properties": 5},
        {"required": 5},
    ],
)
def test_what_no_grammar_takes_is_passed_over_where_the_model_decides(schema: dict[str, Any]) -> None:
    whole, arguments = {"type": "object", **schema}, '{"s": "x"}'
    if isinstance(schema.get("properties"), dict):
        whole["properties"], arguments = {**schema["properties"], "s": {"type": "string"}}, '{"a": 5, "s": "x"}'
    made = Tools((Tool("f", "", whole),), "auto", ("f",), 8, ARRAY)
    if schema.get("required") != 5:
        assert follows(matcher(made, {}), f'[{{"name": "f", "arguments": {arguments}}}]')
    if isinstance(schema.get("properties"), dict):  # the rest of the schema holds
        assert not follows(matcher(made, {}), '[{"name": "f", "arguments": {"a": 5, "s": 5}}]')


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(("choice", "hidden"), [("required", False), ("required", True), ("auto", False)])
def test_calls_are_read_back_however_they_come(form: Form, size: int, hidden: bool, choice: str) -> None:
    text = WRITTEN[form]
    for marker in form.markers if hidden else ():  # special tokens leave nothing in the text
        text = text.replace(marker, "")
    reader, said = CallReader(tools(form, choice)), ""
    for at in range(0, len(text), size):
        said += reader.push(text[at : at + size], last=at + size >= len(text))[0]
    assert said == "" and reader.whole
    assert [(call.name, json.loads(call.arguments)) for call in reader.calls] == [
        ("f", ARGUMENTS[0]), ("g", ARGUMENTS[1]),
    ]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("words", ["Hello", "f", "[1]", "{}", '{"name": 5}', "<tool", "[TOOL_CALLS", "f 5"])
def test_words_stay_words_where_the_model_decides(form: Form, words: str) -> None:
    reader = CallReader(tools(form, "auto"))
    said = "".join(reader.push(char, last=at == len(words) - 1)[0] for at, char in enumerate(words))
    assert (said, reader.calls) == (words, [])


@pytest.mark.parametrize("form", FORMS)
def test_calls_that_are_cut_are_not_whole(form: Form) -> None:
    reader = CallReader(tools(form))
    reader.push(WRITTEN[form][: WRITTEN[form].index("5")], last=True)
    assert not reader.whole and [call.name for call in reader.calls] == ["f"]
