"""The forms of chat templates: which one a template has, the grammar of its calls, and calls that are read back."""

from __future__ import annotations

import json
from collections.abc import Collection

import pytest
from llguidance import LLMatcher
from trimode.grammar.compiled import compile_grammar
from trimode.grammar.source import Source, grammar_text
from trimode.server.openai.tools.calls import CallReader
from trimode.server.openai.tools.form_table import ARRAY, HERMES, LLAMA, MINISTRAL, MISTRAL, NEMOTRON, Form, form_of
from trimode.server.openai.tools.wanted import Tool, Tools

from tests.support.grammars import nano_lexicon
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
}  # fmt: skip


def tools(form: Form, choice: str = "required", most: int = 8) -> Tools:
    return Tools(TOOLS, choice, ("f", "g"), most, form)  # type: ignore[arg-type]  # one of the choices


def matcher(made: Tools, special: Collection[str], *, compact: bool = False) -> LLMatcher:
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
    assert follows(matcher(tools(form), ()), WRITTEN[form])
    assert not follows(matcher(tools(form, most=1), ()), WRITTEN[form])
    for wrong in ("Hello", WRITTEN[form].replace("5", '"5"'), WRITTEN[form].replace('"g"', '"h"').replace("g[", "h[")):
        assert not follows(matcher(tools(form), ()), wrong)
    spaced = WRITTEN[form].replace('{"a": 5, "s"', '{"a":5,"s"').replace(', "s": ', ',"s":').replace('"s": ', '"s":')
    assert follows(matcher(tools(form), (), compact=True), spaced)
    assert not follows(matcher(tools(form), (), compact=True), WRITTEN[form])


@pytest.mark.parametrize("form", FORMS)
def test_markers_that_are_special_tokens_are_left_out_but_for_the_first(form: Form) -> None:
    text = WRITTEN[form]
    for marker in form.markers:
        text = text.replace(marker, "")
    assert follows(matcher(tools(form), form.markers), text)
    assert form.opening == {HERMES: "<tool_call>", NEMOTRON: "<TOOLCALL>", LLAMA: ""}.get(form, "[TOOL_CALLS]")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("choice", ["required", "auto"])
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
