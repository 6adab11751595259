"""Calls are read out of an answer, however it is cut. The grammar has made them, so that their form is sure."""

from __future__ import annotations

import pytest
from trimode.server.openai.tools.calls import CallReader
from trimode.server.openai.tools.form_table import ARRAY, HERMES, LLAMA, MINISTRAL, MISTRAL, Form
from trimode.server.openai.tools.wanted import Tool, Tools

TOOL = Tool("f", "", {"type": "object"})
SURE = Tools((TOOL,), "required", ("f",), 8)
ARGUMENTS = ['{"a": "}]{[\\"\\\\"}', "{}", '{ "b": [{"c": {}}, "\\u007d"]\n}']
ANSWER = "[\n  " + ",\n  ".join(f'{{"name": "f", "arguments": {one}}}' for one in ARGUMENTS) + "\n]"


def maybe(form: Form = ARRAY) -> CallReader:
    return CallReader(Tools((TOOL,), "auto", ("f",), 2, form))


def read(reader: CallReader, text: str, size: int) -> str:
    """Push a text in pieces of a size; return what of it is words."""
    said = ""
    for at in range(0, len(text), size):
        said += reader.push(text[at : at + size], last=at + size >= len(text))[0]
    return said


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_calls_under_a_grammar_come_as_they_are_made(size: int) -> None:
    reader = CallReader(SURE)
    assert read(reader, ANSWER, size) == ""
    assert [(call.name, call.arguments) for call in reader.calls] == [("f", one) for one in ARGUMENTS]
    assert reader.whole and len({call.id for call in reader.calls}) == 3


@pytest.mark.parametrize("reader", [CallReader(SURE), maybe()])
def test_pieces_add_up_to_the_calls(reader: CallReader) -> None:
    found: dict[int, str] = {}
    for at, char in enumerate(ANSWER):
        for piece in reader.push(char, last=at == len(ANSWER) - 1)[1]:
            assert (piece.index in found) == (piece.begun is None)
            found[piece.index] = found.get(piece.index, "") + piece.arguments
    assert list(found.values()) == ARGUMENTS


@pytest.mark.parametrize("end", [1, 12, 30, 40, len(ANSWER) - 1])
def test_an_answer_that_is_cut_is_not_whole(end: int) -> None:
    reader = CallReader(SURE)
    assert read(reader, ANSWER[:end], 5) == ""
    assert not reader.whole
    assert all(whole.startswith(call.arguments) for whole, call in zip(ARGUMENTS, reader.calls, strict=False))


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_without_a_marker_an_answer_is_calls_from_its_beginning_or_words(size: int) -> None:
    text = ' \n[{"name" :"f", "arguments": {"é": 1}}, {"name": "f", "arguments": {}}]'
    reader = maybe()
    assert read(reader, text, size) == "" and reader.whole
    assert [(call.name, call.arguments) for call in reader.calls] == [("f", '{"é": 1}'), ("f", "{}")]


@pytest.mark.parametrize(
    "text",
    [
        "Hello", "", " ", "[", "[1, 2]", '[{"name": "g", "arguments": {}}]', '[{"name": "f"}]', '[{"name": ["f"]}]',
        '[{"name": "f", "argum', '[{"name": "f", "arguments": ', 'So: [{"name": "f", "arguments": {}}]',
        '[{"na me": "f", "arguments": {}}]', '{"name": "f", "arguments": {}}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 1000])
def test_what_does_not_begin_as_calls_is_words(text: str, size: int) -> None:
    reader = maybe()
    assert read(reader, text, size) == text
    assert not reader.calls and not reader.whole


def test_words_are_not_held_back() -> None:
    reader = maybe()
    assert reader.push(" [{", last=False) == ("", [])
    assert reader.push(' "x', last=False) == (' [{ "x', [])
    assert reader.push("y", last=False) == ("y", [])


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("form", "calls"),
    [
        (HERMES, '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'),
        (MINISTRAL, '[TOOL_CALLS]f[ARGS]{"a": 1}'),
    ],
)
def test_with_a_marker_words_may_stand_before_calls(form: Form, calls: str, size: int) -> None:
    for words in ("I look <it up>.\n", "Five < six [1] ", "<tool_call", "[TOOL_"):
        reader = maybe(form)
        assert read(reader, words + calls, size) == words and reader.whole
        assert [(call.name, call.arguments) for call in reader.calls] == [("f", '{"a": 1}')]
        reader = maybe(form)
        assert read(reader, words, size) == words and not reader.calls
    reader = maybe(form)
    assert read(reader, f" \n{calls}", size) == "" and reader.whole  # spaces alone are no words


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_call_that_is_cut_before_its_name_is_known_is_words(size: int) -> None:
    reader, text = maybe(HERMES), 'Hello <tool_call>\n{"na'
    assert read(reader, text, size) == text
    assert not reader.calls and not reader.whole


@pytest.mark.parametrize("form", [ARRAY, HERMES, LLAMA, MINISTRAL])
def test_an_answer_of_spaces_is_words(form: Form) -> None:
    assert read(maybe(form), " \n ", 1) == " \n "


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("form", "text"),
    [
        (MINISTRAL, '[TOOL_CALLS]rm[ARGS]{"a": 1}'),
        (MINISTRAL, '[TOOL_CALLS]ff[ARGS]{"a": 1}'),
        (MISTRAL, '[TOOL_CALLS][{"name": "rm", "arguments": {}}]'),
        (HERMES, 'So <tool_call>{"name": "rm", "arguments": {}}</tool_call> <tool_call>'),
        (ARRAY, '[{"name": "rm", "arguments": {}}]'),
        (LLAMA, '{"name": "rm", "parameters": {}}'),
    ],
)
def test_a_call_of_no_function_is_words(form: Form, text: str, size: int) -> None:
    reader = maybe(form)
    assert read(reader, text, size) == text
    assert not reader.calls and not reader.whole


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_call_may_follow_a_marker_that_is_words(size: int) -> None:
    reader, words = maybe(MINISTRAL), "[TOOL_CALLS]rm[ARGS]{} "
    assert read(reader, words + '[TOOL_CALLS]f{"a": 1}', size) == words  # [ARGS] may be hidden
    assert [(call.name, call.arguments) for call in reader.calls] == [("f", '{"a": 1}')]
