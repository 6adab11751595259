"""Calls are read out of an answer, however it is cut."""

from __future__ import annotations

import json

import pytest
from trimode.server.openai.tools.calls import CallReader
from trimode.server.openai.tools.wanted import Tool, Tools

TOOL = Tool("f", "", {"type": "object"})
SURE = Tools((TOOL,), "required", ("f",), 8)
MAYBE = Tools((TOOL,), "auto", ("f",), 2)
ARGUMENTS = ['{"a": "}]{[\\"\\\\"}', "{}", '{ "b": [{"c": {}}, "\\u007d"]\n}']
ANSWER = "[\n  " + ",\n  ".join(f'{{"name": "f", "arguments": {one}}}' for one in ARGUMENTS) + "\n]"


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


def test_pieces_add_up_to_the_calls() -> None:
    reader = CallReader(SURE)
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
def test_where_the_model_decides_an_answer_is_calls_or_words(size: int) -> None:
    text = ' \n[{"name": "f", "arguments": {"é": 1}}, {"arguments": {}, "name": "f"}]\n'
    reader = CallReader(MAYBE)
    assert read(reader, text, size) == "" and reader.whole
    assert [(call.name, json.loads(call.arguments)) for call in reader.calls] == [("f", {"é": 1}), ("f", {})]


@pytest.mark.parametrize(
    "text",
    [
        "Hello", "", "[", "[1, 2]", '[{"name": "g", "arguments": {}}]', '[{"name": "f"}]', '[{"name": ["f"]}]',
        '[{"name": "f", "arguments": "{}"}]', '[{"name": "f", "arguments": {}}] So.', '[{"name": "f", "argum',
        '[{"name": "f", "arguments": {}, "id": 1}]', '[{"name": "f", "arguments": {"a": NaN}}]',
        '[{"name": "f", "arguments": {"a": 1e999}}]',
        "[" + ", ".join(['{"name": "f", "arguments": {}}'] * 3) + "]", '[{"name": "f", "arguments": ' + '{"a":' * 9000,
        '[{"name": "f", "arguments": {}}, 5]',
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 1000])
def test_what_is_no_list_of_calls_is_words(text: str, size: int) -> None:
    reader = CallReader(MAYBE)
    assert read(reader, text, size) == text
    assert not reader.calls and not reader.whole


def test_words_are_not_held_back() -> None:
    reader = CallReader(MAYBE)
    assert reader.push(" [{", last=False) == ("", [])
    assert reader.push(' "x', last=False) == (' [{ "x', [])
    assert reader.push("y", last=False) == ("y", [])
