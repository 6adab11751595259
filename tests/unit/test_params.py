"""GenerationParams: every field's type and range, the knobs of each mode, defaults, messages, echo."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trimode.errors import RequestError, shorten
from trimode.fields import (
    ACCEPTS,
    BY_NAME,
    FIELDS,
    FIELDS_OF_MODES,
    MAX_STOP_WORD_CHARACTERS,
    MAX_STOP_WORDS,
    MAX_TEXT_CHARACTERS,
    PROMPT_FIELDS,
    REVEALS,
    Field,
    Mode,
    check_field,
)
from trimode.params import FIELDS_OF_TASKS, NOT_OF_TASKS, Defaults, GenerationParams

DIFFUSION, SPECULATION = "diffusion", "self_speculation"
DEFAULTS = Defaults(vocab_size=100, block_length=8, end_id=7, end_think_token_id=9)
WRONG: dict[str, list[object]] = {
    "string": [5, b"text", ["text"], True],
    "int": [1.5, "1", True, [1], 1.0],
    "float": ["1", True, [1.0]],
    "bool": [1, "true", 0.0],
    "strings": ["abc", 3, [3], [b"x"]],
    "ints": [3, "1", ["1"], [True], [1.0]],
    "json": [5, {"role": "user"}, True],
}
GOOD = [{"role": "system", "content": ""}, {"role": "user", "content": "hi"}]
RANGED = [field for field in FIELDS if field.low is not None]
FLOATS = [field.name for field in FIELDS if field.kind == "float"]
TEXTS = [field.name for field in FIELDS if field.kind == "string"]


def parse(given: dict[str, object] | None = None, **more: object) -> GenerationParams:
    return GenerationParams.parse({"text_input": "hi", **(given or {}), **more}, DEFAULTS)


def refused(name: str, value: object) -> RequestError:
    with pytest.raises(RequestError) as caught:
        check_field(name, value)
    return caught.value


def unparsed(given: dict[str, object], defaults: Defaults = DEFAULTS) -> RequestError:
    with pytest.raises(RequestError) as caught:
        GenerationParams.parse(given, defaults)
    return caught.value


def beyond(field: Field, limit: float, direction: int) -> object:
    value = limit + direction * (0.001 if field.kind == "float" else 1)
    return [int(value)] if field.kind == "ints" else value if field.kind == "float" else int(limit) + direction


@pytest.mark.parametrize(("name", "value"), [(field.name, value) for field in FIELDS for value in WRONG[field.kind]])
def test_a_value_of_the_wrong_type_is_refused(name: str, value: object) -> None:
    error = refused(name, value)
    assert (error.field, error.error_type) == (name, "wrong_type")


@pytest.mark.parametrize("field", RANGED, ids=lambda field: field.name)
def test_a_value_below_the_range_is_refused(field: Field) -> None:
    error = refused(field.name, beyond(field, field.low or 0, -1))
    assert (error.field, error.error_type) == (field.name, "invalid_value")


@pytest.mark.parametrize("field", RANGED, ids=lambda field: field.name)
def test_a_value_above_the_range_is_refused(field: Field) -> None:
    error = refused(field.name, beyond(field, field.high or 0, +1))
    assert (error.field, error.error_type) == (field.name, "invalid_value")


@pytest.mark.parametrize("field", RANGED, ids=lambda field: field.name)
def test_a_value_above_the_range_is_told_the_upper_limit(field: Field) -> None:
    error = refused(field.name, beyond(field, field.high or 0, +1))
    assert str(field.high) in error.limit


@pytest.mark.parametrize("field", RANGED, ids=lambda field: field.name)
def test_the_ends_of_a_range_belong_to_it(field: Field) -> None:
    ends: list[Any] = [field.low, field.high]
    for end in ends:
        assert check_field(field.name, [end] if field.kind == "ints" else end) in (end, (end,))


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


def test_an_unknown_field_is_refused_by_name() -> None:
    error = unparsed({"text_input": "hi", "max_new_tokens": 5})
    assert (error.field, error.error_type) == ("max_new_tokens", "unknown_field")


def test_reference_is_not_a_field_of_a_request() -> None:
    assert unparsed({"text_input": "hi", "reference": True}).error_type == "unknown_field"


def test_the_error_text_names_field_limit_and_value() -> None:
    assert str(refused("top_p", 1.5)) == "top_p must be between 0.0 and 1.0, got 1.5"


def test_a_long_value_is_shortened_in_the_error() -> None:
    assert len(refused("mode", "x" * 1000).given) <= 80


@given(st.text(max_size=300), st.integers(40, 120))
def test_shorten_keeps_to_its_limit(text: str, limit: int) -> None:
    assert len(shorten(text, limit)) <= limit


def test_none_means_not_given() -> None:
    assert parse(temperature=None, mode=None, seed=5) == parse(seed=5)


@pytest.mark.parametrize("given", [{}, {"text_input": "a", "input_ids": [1]}, {"text_input": "a", "messages": GOOD}])
def test_exactly_one_prompt_is_required(given: dict[str, object]) -> None:
    with pytest.raises(RequestError):
        GenerationParams.parse(given, DEFAULTS)


def test_two_prompts_are_named() -> None:
    error = unparsed({"text_input": "a", "input_ids": [1]})
    assert error.error_type == "bad_prompt"
    assert "text_input" in error.given and "input_ids" in error.given and "messages" not in error.given


def test_enable_thinking_needs_messages() -> None:
    error = unparsed({"text_input": "a", "enable_thinking": True})
    assert (error.field, error.error_type) == ("enable_thinking", "not_applicable")


OF_SOME_MODES = {"block_length": 4, "denoise_steps": 2, "threshold": 0.5, "reveal": "margin", "draft_adapter": False}


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize(("name", "value"), OF_SOME_MODES.items())
def test_a_knob_is_refused_by_the_modes_that_do_not_have_it(name: str, value: object, mode: Mode) -> None:
    given = {"text_input": "a", "mode": str(mode), name: value}
    if mode in FIELDS_OF_MODES[name]:
        assert GenerationParams.parse(given, DEFAULTS).echo()[name] == value
    else:
        error = unparsed(given)
        assert (error.field, error.error_type) == (name, "not_applicable")


def test_every_knob_of_some_modes_only_is_tried() -> None:
    assert set(OF_SOME_MODES) == set(FIELDS_OF_MODES)


def test_the_draft_adapter_is_used_where_there_is_one() -> None:
    with_adapter = replace(DEFAULTS, adapter=True)
    modes = {mode: GenerationParams.parse({"text_input": "a", "mode": str(mode)}, with_adapter) for mode in Mode}
    assert [mode for mode, params in modes.items() if params.draft_adapter] == [SPECULATION]
    given = {"text_input": "a", "mode": SPECULATION, "draft_adapter": False}
    assert not GenerationParams.parse(given, with_adapter).draft_adapter


def test_a_draft_adapter_that_is_not_there_is_refused() -> None:
    error = unparsed({"text_input": "a", "mode": SPECULATION, "draft_adapter": True})
    assert (error.field, error.error_type) == ("draft_adapter", "not_applicable")


@pytest.mark.parametrize("mode", list(Mode))
def test_a_mode_is_taken_by_name(mode: Mode) -> None:
    assert parse(mode=str(mode)).mode is mode


@pytest.mark.parametrize(("name", "choices"), [("mode", list(Mode)), ("reveal", REVEALS)])
def test_an_unknown_choice_is_told_the_choices(name: str, choices: list[str]) -> None:
    error = refused(name, "Greedy")
    assert all(choice in error.limit for choice in choices)


@pytest.mark.parametrize("name", ["input_ids", "stop_words", "messages"])
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


def test_a_field_nobody_knows_is_refused_even_without_a_value() -> None:
    assert unparsed({"text_input": "a", "max_token": None}).error_type == "unknown_field"


@pytest.mark.parametrize("name", ["end_id", "end_think_token_id"])
def test_a_token_must_be_in_the_vocabulary(name: str) -> None:
    assert "100" in unparsed({"text_input": "a", "max_thinking_tokens": 5, name: 100}).limit
    assert getattr(parse({name: 99}), name) == 99


def test_a_prompt_token_must_be_in_the_vocabulary() -> None:
    error = unparsed({"input_ids": [99, 100]})
    assert (error.field, error.given) == ("input_ids", "100")


def test_minus_one_means_no_end_token() -> None:
    assert parse(end_id=-1).end_id == -1


# Messages


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
        {"role": "user", "content": [{"type": "text", "text": "a"}]},
        {"role": "tool", "content": "a"},
        {"role": None, "content": "a"},
        {"role": ["user"], "content": "a"},
        {"role": "user", "content": "a", "name": "b"},
        {"role": "user", "content": "\ud800"},
    ],
)
def test_a_bad_message_is_refused(message: object) -> None:
    assert refused("messages", [{"role": "user", "content": "a"}, message]).field == "messages"


@pytest.mark.parametrize("value", ['{"role": "user", "content": "a"}', "5", "null", '"text"'])
def test_json_that_is_no_list_is_refused(value: str) -> None:
    assert refused("messages", value).error_type == "wrong_type"


# Defaults and how the block's knobs resolve


def test_what_a_bare_request_gets() -> None:
    params = parse(seed=1)
    assert (params.mode, params.max_tokens, params.end_id) == (Mode.SELF_SPECULATION, 128, 7)
    assert (params.block_length, params.denoise_steps, params.threshold, params.reveal) == (8, 8, 0.0, "threshold")
    assert (params.end_think_token_id, params.max_thinking_tokens) == (9, None)
    assert params.greedy and not params.penalised and not params.reference


def test_the_servers_defaults_are_used() -> None:
    server = Defaults(vocab_size=9, block_length=4, end_id=3, mode=Mode.DIFFUSION, max_tokens=17)
    params = GenerationParams.parse({"text_input": "a"}, server)
    assert (params.mode, params.max_tokens, params.block_length, params.end_id) == (Mode.DIFFUSION, 17, 4, 3)


@pytest.mark.parametrize(
    ("given", "threshold", "steps"),
    [
        ({"mode": DIFFUSION}, 0.9, 8),
        ({"mode": DIFFUSION, "threshold": 0.5}, 0.5, 8),
        ({"mode": DIFFUSION, "denoise_steps": 2}, 0.9, 2),
        ({"mode": DIFFUSION, "block_length": 16}, 0.9, 16),
        ({"mode": DIFFUSION, "reveal": "steps"}, None, 8),
        ({"mode": DIFFUSION, "reveal": "steps", "denoise_steps": 3}, None, 3),
        ({"mode": DIFFUSION, "reveal": "leftmost"}, 0.9, 8),
        ({"mode": SPECULATION}, 0.0, 8),
        ({"mode": SPECULATION, "threshold": 0.5}, 0.5, 8),
        ({"mode": SPECULATION, "denoise_steps": 2}, None, 2),
        ({"mode": SPECULATION, "denoise_steps": 2, "threshold": 0.5}, 0.5, 2),
        ({"mode": SPECULATION, "reveal": "steps"}, None, 8),
        ({"mode": SPECULATION, "reveal": "margin"}, 0.0, 8),
    ],
)
def test_threshold_and_steps_resolve(given: dict[str, object], threshold: float | None, steps: int) -> None:
    params = parse(given)
    assert (params.threshold, params.denoise_steps) == (threshold, steps)


def test_more_steps_than_the_block_has_positions_are_refused() -> None:
    error = unparsed({"text_input": "a", "block_length": 4, "denoise_steps": 5})
    assert (error.field, error.limit, error.given) == ("denoise_steps", "must be at most block_length = 4", "5")


def test_threshold_does_not_apply_to_reveal_steps() -> None:
    error = unparsed({"text_input": "a", "reveal": "steps", "threshold": 0.5})
    assert (error.field, error.error_type) == ("threshold", "not_applicable")


def test_a_thinking_budget_needs_an_end_of_thinking() -> None:
    without = Defaults(vocab_size=100, block_length=8, end_id=7)
    error = unparsed({"text_input": "a", "max_thinking_tokens": 4}, without)
    assert (error.field, error.error_type) == ("max_thinking_tokens", "not_applicable")
    given = {"text_input": "a", "max_thinking_tokens": 4, "end_think_token_id": 5}
    assert GenerationParams.parse(given, without).end_think_token_id == 5


def test_without_a_seed_requests_differ() -> None:
    assert len({parse().seed for _ in range(8)}) > 1


@pytest.mark.parametrize(("temperature", "greedy"), [(0, True), (0.0, True), (1e-3, False), (1, False)])
def test_greedy_is_temperature_zero(temperature: float, greedy: bool) -> None:
    assert parse(temperature=temperature).greedy is greedy


@pytest.mark.parametrize(
    ("given", "penalised"),
    [
        ({}, False),
        ({"repetition_penalty": 1}, False),
        ({"repetition_penalty": 1.1}, True),
        ({"presence_penalty": -0.5}, True),
        ({"frequency_penalty": 0.5}, True),
    ],
)
def test_penalised_is_any_penalty_that_does_something(given: dict[str, object], penalised: bool) -> None:
    assert parse(given).penalised is penalised


# Echo


@pytest.mark.parametrize("mode", list(Mode))
def test_the_echo_is_json_and_leaves_the_prompt_out(mode: Mode) -> None:
    echo = json.loads(json.dumps(parse(mode=str(mode), stop_words=["a", "b"]).echo(), allow_nan=False))
    left_out = {*PROMPT_FIELDS, *(name for name, modes in FIELDS_OF_MODES.items() if mode not in modes)}
    left_out |= {name for names in FIELDS_OF_TASKS.values() for name in names}
    assert set(echo) == {field.name for field in FIELDS} - left_out
    assert (echo["mode"], echo["stop_words"]) == (str(mode), ["a", "b"])


@pytest.mark.parametrize("given", [{"mode": DIFFUSION}, {"mode": SPECULATION}, {"mode": DIFFUSION, "temperature": 0.5}])
def test_an_echo_sent_back_gives_the_same_values(given: dict[str, object]) -> None:
    params = parse(given)
    again = {name: value for name, value in params.echo().items() if name != "enable_thinking" and value != ()}
    assert parse(again) == params


@settings(max_examples=200)
@given(st.sampled_from([field.name for field in FIELDS]), st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
))  # fmt: skip
def test_any_json_value_is_either_taken_or_a_request_error(name: str, value: object) -> None:
    try:
        check_field(name, value)
    except RequestError as error:
        assert error.field == name


# Filling gaps and revising

GAP: dict[str, object] = {"text_input": "a", "suffix": "b"}
REVISION: dict[str, object] = {"text": "abc"}
OF_INFILL = {"infill_tokens": 3, "infill_lengths": [3], "return_candidates": True}
OF_REVISION = {
    "instruction": "a", "spans": [[0, 1]], "revise_threshold": -1.0, "revise_fraction": 0.5, "revise_rounds": 3,
    "accept": "always",
}  # fmt: skip
OF_GENERATION = {
    "stop_words": ["a"], "end_id": 3, "repetition_penalty": 1.1, "presence_penalty": 0.5, "frequency_penalty": 0.5,
    "max_thinking_tokens": 3, "end_think_token_id": 3,
}  # fmt: skip


@pytest.mark.parametrize(
    ("given", "task", "kind"),
    [
        ({"text_input": "a"}, None, SPECULATION),
        (GAP, "infill", "infill"),
        ({"text_input": "", "suffix": ""}, "infill", "infill"),
        ({"messages": GOOD, "suffix": ""}, "infill", "infill"),
        ({"segments": ["a", {}]}, "infill", "infill"),
        (REVISION, "revise", "revise"),
    ],
)
def test_what_a_request_is_follows_from_its_fields(given: dict[str, object], task: str | None, kind: str) -> None:
    params = GenerationParams.parse(given, DEFAULTS)
    assert (params.task, params.kind) == (task, kind)
    assert params.mode is (Mode.DIFFUSION if task else Mode.SELF_SPECULATION)


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        *(({"text_input": "a"}, name, value) for name, value in (OF_INFILL | OF_REVISION).items()),
        *((GAP, name, value) for name, value in (OF_REVISION | OF_GENERATION).items()),
        *((REVISION, name, value) for name, value in (OF_INFILL | OF_GENERATION).items()),
        *((REVISION, name, 3) for name in ("max_tokens",)),
        *((REVISION, name, True) for name in ("return_log_probs", "exclude_input_in_output")),
        *((given, "mode", mode) for given in (GAP, REVISION) for mode in (SPECULATION, "autoregressive")),
        *((given, "draft_adapter", True) for given in (GAP, REVISION)),
        ({"messages": GOOD, "suffix": "a"}, "enable_thinking", True),
        ({"input_ids": [3]}, "suffix", "a"),
        (REVISION, "suffix", "b"),
        ({"segments": ["a", {}]}, "suffix", "b"),
        ({"segments": ["a", {}]}, "infill_tokens", 3),
        ({"segments": ["a", {}]}, "infill_lengths", [3]),
        ({**GAP, "infill_lengths": [3]}, "infill_tokens", 3),
        ({**REVISION, "revise_fraction": 0.5}, "revise_threshold", -1.0),
    ],
)
def test_what_does_not_belong_together_is_refused(given: dict[str, object], name: str, value: object) -> None:
    assert GenerationParams.parse(given, DEFAULTS)
    error = unparsed({**given, name: value})
    assert error.error_type == "not_applicable"
    assert error.field == (name if "input_ids" not in given else "input_ids")


def test_a_text_to_revise_is_no_side_of_a_gap() -> None:
    assert str(unparsed({**REVISION, "suffix": "b"})) == "suffix does not go together with text, got 'b'"


@pytest.mark.parametrize(
    "given", [{**GAP, "segments": [{}]}, {**REVISION, **GAP}, {"suffix": "a"}, {"spans": [[0, 1]]}]
)
def test_gaps_and_revisions_need_exactly_one_text(given: dict[str, object]) -> None:
    assert unparsed(given).error_type == "bad_prompt"


@pytest.mark.parametrize(
    ("given", "most"),
    [({}, 32), ({"infill_tokens": 50}, 50), ({"infill_lengths": [7, 3]}, 7), ({"max_tokens": 9}, 9)],
)
def test_max_tokens_bounds_the_sizes_of_a_gap(given: dict[str, object], most: int) -> None:
    assert GenerationParams.parse({**GAP, **given}, DEFAULTS).max_tokens == most


@pytest.mark.parametrize(
    ("given", "field", "limit"),
    [
        ({"max_tokens": 1025}, "max_tokens", "1024"),
        ({"infill_tokens": 1025}, "infill_tokens", "1024"),
        ({"infill_tokens": 5, "max_tokens": 4}, "infill_tokens", "max_tokens = 4"),
        ({"infill_lengths": [1, 5], "max_tokens": 4}, "infill_lengths", "max_tokens = 4"),
    ],
)
def test_too_long_a_gap_is_refused(given: dict[str, object], field: str, limit: str) -> None:
    error = unparsed({**GAP, **given})
    assert error.field == field and limit in error.limit


@pytest.mark.parametrize("given", [GAP, REVISION])
@pytest.mark.parametrize(("block", "fine"), [(2, False), (3, True), (8, True), (9, False)])
def test_a_window_is_at_most_the_trained_block_and_sees_both_sides(
    given: dict[str, object], block: int, fine: bool
) -> None:
    asked = {**given, "block_length": block}
    if fine:
        assert GenerationParams.parse(asked, DEFAULTS).block_length == block
    else:
        assert unparsed(asked).limit.startswith("must be between 3 and the trained 8")


def test_sizes_are_tried_once_each_and_not_too_many() -> None:
    assert check_field("infill_lengths", [8, 2, 8]) == (2, 8)
    assert "16" in refused("infill_lengths", list(range(1, 18))).limit


@pytest.mark.parametrize(
    ("given", "threshold"),
    [({}, -2.0), ({"revise_fraction": 0.1}, None), ({"spans": [[0, 1]]}, None), ({"revise_threshold": -1}, -1.0)],
)
def test_unlikely_tokens_are_reconsidered_unless_told_otherwise(given: dict[str, object], threshold: float) -> None:
    assert GenerationParams.parse({**REVISION, **given}, DEFAULTS).revise_threshold == threshold


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


@pytest.mark.parametrize(
    "given",
    [
        {**GAP, "infill_tokens": 3},
        GAP,
        {"segments": ["a", {}]},
        REVISION,
        {**REVISION, "instruction": "q", "spans": [[0, 1]]},
    ],
)
def test_the_echo_of_a_task_has_its_knobs_and_sent_back_gives_the_same_values(given: dict[str, object]) -> None:
    params = GenerationParams.parse(given, DEFAULTS)
    echo = json.loads(json.dumps(params.echo(), allow_nan=False))
    assert params.task is not None
    texts = {*PROMPT_FIELDS, "suffix", "instruction"}
    foreign = {name for task, names in FIELDS_OF_TASKS.items() if task != params.task for name in names}
    assert not set(echo) & (texts | foreign | set(NOT_OF_TASKS[params.task]))
    assert set(FIELDS_OF_TASKS[params.task]) - texts <= set(echo)
    prompts = {name: value for name, value in given.items() if name in texts}
    again = {name: value for name, value in echo.items() if value not in ((), [], None)}
    assert GenerationParams.parse({**prompts, **again}, DEFAULTS) == params
