"""One field at a time: type, range, text, lists, messages, segments and spans, and what the error says."""

from __future__ import annotations

import json
import math

import pytest
from trimode.api.checks import check_field
from trimode.api.fields import (
    ACCEPTS,
    BY_NAME,
    FIELDS,
    MAX_STOP_WORD_CHARACTERS,
    MAX_STOP_WORDS,
    MAX_TEXT_CHARACTERS,
    REVEALS,
    Mode,
)
from trimode.errors import RequestError

GOOD = [{"role": "system", "content": ""}, {"role": "user", "content": "hi"}]
FLOATS = [field.name for field in FIELDS if field.kind == "float"]
TEXTS = [field.name for field in FIELDS if field.kind == "string"]


def refused(name: str, value: object) -> RequestError:
    with pytest.raises(RequestError) as caught:
        check_field(name, value)
    return caught.value


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_must_be_finite(name: str, value: float) -> None:
    error = refused(name, value)
    assert (error.field, error.limit, error.error_type) == (name, "must be finite", "invalid_value")


@pytest.mark.parametrize("name", FLOATS)
def test_an_integer_too_large_for_a_float_is_a_request_error(name: str) -> None:
    assert refused(name, 10**400).field == name


@pytest.mark.parametrize("name", FLOATS)
def test_an_integer_is_taken_for_a_number(name: str) -> None:
    whole = int(BY_NAME[name].high or 0) if name != "temperature" else 1
    value = check_field(name, whole)
    assert type(value) is float and value == whole


def test_an_integer_of_thousands_of_digits_is_a_request_error() -> None:
    assert refused("max_tokens", 10**5000).field == "max_tokens"


@pytest.mark.parametrize("name", TEXTS)
def test_a_lone_surrogate_is_not_text(name: str) -> None:
    assert refused(name, "a\ud800").error_type == "bad_utf8"


def test_a_lone_surrogate_is_not_a_stop_word() -> None:
    assert refused("stop_words", ["ok", "\udfff"]).error_type == "bad_utf8"


def test_the_error_text_names_field_limit_and_value() -> None:
    assert str(refused("top_p", 1.5)) == "top_p must be between 0.0 and 1.0, got 1.5"


def test_a_long_value_is_shortened_in_the_error() -> None:
    assert len(refused("mode", "x" * 1000).given) <= 80


@pytest.mark.parametrize(("name", "choices"), [("mode", list(Mode)), ("reveal", REVEALS)])
def test_an_unknown_choice_is_told_the_choices(name: str, choices: list[str]) -> None:
    error = refused(name, "Greedy")
    assert all(choice in error.limit for choice in choices)


@pytest.mark.parametrize("name", ["input_ids", "auto_allow", "messages"])
def test_a_list_must_not_be_empty(name: str) -> None:
    assert refused(name, []).limit == "must not be empty"


def test_a_stop_word_must_not_be_empty() -> None:
    assert refused("stop_words", ["a", ""]).field == "stop_words"


def test_the_longest_stop_word() -> None:
    assert check_field("stop_words", ["x" * MAX_STOP_WORD_CHARACTERS])
    assert str(MAX_STOP_WORD_CHARACTERS) in refused("stop_words", ["x" * (MAX_STOP_WORD_CHARACTERS + 1)]).limit


def test_the_most_stop_words() -> None:
    assert check_field("stop_words", ["x"] * MAX_STOP_WORDS)
    assert str(MAX_STOP_WORDS) in refused("stop_words", ["x"] * (MAX_STOP_WORDS + 1)).limit


def test_the_longest_text() -> None:
    assert check_field("text_input", "x" * MAX_TEXT_CHARACTERS)
    error = refused("text_input", "x" * (MAX_TEXT_CHARACTERS + 1))
    assert str(MAX_TEXT_CHARACTERS) in error.limit and str(MAX_TEXT_CHARACTERS + 1) in error.given


@pytest.mark.parametrize("value", [GOOD, json.dumps(GOOD)])
def test_messages_come_as_a_list_or_as_json(value: object) -> None:
    assert [dict(message) for message in check_field("messages", value)] == GOOD


@pytest.mark.parametrize("text", ["", "{", "[1,]", "nonsense", '[{"role": "user"'])
def test_broken_json_is_refused(text: str) -> None:
    assert refused("messages", text).error_type == "bad_json"


def test_json_nested_too_deep_is_a_request_error() -> None:
    assert refused("messages", "[" * 100_000).field == "messages"


@pytest.mark.parametrize(
    "message",
    [
        "hi",
        5,
        {},
        {"content": "a"},
        {"role": "user"},
        {"role": "user", "content": None},
        {"role": "user", "content": 5},
        {"role": "user", "content": {"type": "text", "text": "a"}},
        {"role": "tool", "content": "a"},
        {"role": None, "content": "a"},
        {"role": ["user"], "content": "a"},
        {"role": "user", "content": "a", "name": "b"},
        {"role": "user", "content": "\ud800"},
    ],
)
def test_a_bad_message_is_refused(message: object) -> None:
    error = refused("messages", [{"role": "user", "content": "a"}, message])
    assert error.field in ("messages", "messages[1].role", "messages[1].content")


def test_a_message_without_content_is_told_by_its_place() -> None:
    assert str(refused("messages", [{"role": "user"}])) == (
        "messages[0].content must be a string, or a list of parts of text, got nothing"
    )


def test_the_parts_of_a_message_are_joined_and_developer_is_system() -> None:
    parts = [{"type": "text", "text": "What is "}, {"type": "text", "text": "2 + 2?"}]
    asked = [{"role": "developer", "content": "Be short."}, {"role": "user", "content": parts}]
    assert check_field("messages", asked) == (
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "What is 2 + 2?"},
    )
    assert check_field("messages", [{"role": "user", "content": []}]) == ({"role": "user", "content": ""},)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("a", 'messages[0].content[1] must be an object with the keys type and text, got "a"'),
        ({"text": "a"}, 'messages[0].content[1] must be an object with the keys type and text, got {"text": "a"}'),
        (
            {"type": "input_audio", "input_audio": {}},
            'messages[0].content[1].type must be text, image_url or image, got "input_audio"',
        ),
        ({"type": "text"}, 'messages[0].content[1] must hold the keys type and text, got {"type": "text"}'),
        ({"type": "text", "text": 5}, "messages[0].content[1].text must be a string, got 5"),
        ({"type": ["text"], "text": "a"}, "messages[0].content[1].type must be text, image_url or image"),
    ],
)
def test_a_part_that_is_no_text_is_refused_by_its_place(part: object, said: str) -> None:
    content = [{"type": "text", "text": "a"}, part]
    assert str(refused("messages", [{"role": "user", "content": content}])).startswith(said)


@pytest.mark.parametrize(
    ("name", "item", "many"),
    [
        ("stop_words", "x", ("x",)),
        ("input_ids", 5, (5,)),
        ("infill_lengths", 3, (3,)),
        ("auto_allow", "diffusion", None),
    ],
)
def test_an_item_alone_is_a_list_of_one(name: str, item: object, many: tuple[object, ...] | None) -> None:
    assert check_field(name, item) == check_field(name, [item]) == (many or (item,))


@pytest.mark.parametrize("name", ["stop_words", "bad_words"])
@pytest.mark.parametrize("value", ["", [], [""], ()])
def test_no_words_are_no_words(name: str, value: object) -> None:
    assert check_field(name, value) is None


@pytest.mark.parametrize("value", ['{"role": "user", "content": "a"}', "5", "null", '"text"'])
def test_json_that_is_no_list_is_refused(value: str) -> None:
    assert refused("messages", value).error_type == "wrong_type"


def test_sizes_are_tried_once_each_and_not_too_many() -> None:
    assert check_field("infill_lengths", [8, 2, 8]) == (2, 8)
    assert "16" in refused("infill_lengths", list(range(1, 18))).limit


@pytest.mark.parametrize("value", [["a", {}], '["a", {"infill_tokens": null}]'])
def test_segments_come_as_a_list_or_as_json(value: object) -> None:
    assert check_field("segments", value) == ("a", None)


@pytest.mark.parametrize(
    "value", [["a"], [{}] * 17, [{"tokens": 3}], [3, {}], [None, {}], [{"infill_tokens": "3"}], ["\ud800", {}]]
)
def test_bad_segments_are_refused(value: object) -> None:
    assert refused("segments", value).field in ("segments", "infill_tokens")


def test_the_most_gaps() -> None:
    assert check_field("segments", [{}] * 16) == (None,) * 16


@pytest.mark.parametrize("value", [[[0, 1], [1, 3]], "[[0, 1], [1, 3]]"])
def test_spans_may_touch(value: object) -> None:
    assert check_field("spans", value) == ((0, 1), (1, 3))


@pytest.mark.parametrize(
    ("value", "limit"),
    [
        ([[0, 2], [1, 3]], "the one before ends at 2"),
        ([[4, 5], [0, 1]], "in order"),
        ([[2, 2]], "0 <= start < end"),
        ([[3, 2]], "0 <= start < end"),
        ([[-1, 2]], "0 <= start < end"),
        ([[1]], "pairs"),
        ([[0, 1.5]], "integers"),
        ([[False, True]], "integers"),
        (["ab"], "pairs"),
    ],
)
def test_bad_spans_are_refused(value: object, limit: str) -> None:
    error = refused("spans", value)
    assert error.field == "spans" and limit in error.limit


@pytest.mark.parametrize(("name", "choices"), [("accept", ACCEPTS)])
def test_what_is_kept_is_told_its_choices(name: str, choices: tuple[str, ...]) -> None:
    assert all(choice in refused(name, "Always").limit for choice in choices)
