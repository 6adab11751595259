"""GenerationParams: how a request is parsed, what follows from its fields, and its echo."""

from __future__ import annotations

import json
from typing import Any

import pytest
from trimode.api.applicability import FIELDS_OF_MODES, FIELDS_OF_OPERATIONS, NOT_OF_OPERATIONS
from trimode.api.fields import FIELDS, PROMPT_FIELDS, Mode, Operation
from trimode.api.params import NOT_ECHOED, GenerationParams
from trimode.errors import RequestError

from tests.support.parsing import DEFAULTS, parse, unparsed

DIFFUSION, SPECULATION = "diffusion", "self_speculation"
GOOD = [{"role": "system", "content": ""}, {"role": "user", "content": "hi"}]


def test_an_unknown_field_is_refused_by_name() -> None:
    error = unparsed({"text_input": "hi", "max_new_tokens": 5})
    assert (error.field, error.error_type) == ("max_new_tokens", "unknown_field")
    assert str(error) == "max_new_tokens is not a field of this model, got 5; use max_tokens"


def test_reference_is_not_a_field_of_a_request() -> None:
    assert unparsed({"text_input": "hi", "reference": True}).error_type == "unknown_field"


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


@pytest.mark.parametrize("given", [{"text_input": "a"}, {"messages": GOOD}])
def test_only_an_answer_that_has_begun_is_continued(given: dict[str, object]) -> None:
    error = unparsed({**given, "continue_final_message": True})
    assert (error.field, error.error_type) == ("continue_final_message", "not_applicable")
    assert not GenerationParams.parse(
        {**given, "continue_final_message": False}, DEFAULTS
    ).prompt.continue_final_message
    begun = [*GOOD, {"role": "assistant", "content": "a"}]
    assert GenerationParams.parse({"messages": begun, "continue_final_message": True}, DEFAULTS)


def test_special_tokens_are_allowed_where_they_are_text_otherwise() -> None:
    assert unparsed({"text_input": "a", "allow_special_tokens": True}).error_type == "not_applicable"
    for given in ({"messages": GOOD}, {"text": "a", "instruction": "b"}):
        params = GenerationParams.parse({**given, "allow_special_tokens": True}, DEFAULTS)
        assert params.prompt.allow_special_tokens


def test_the_kind_of_log_probabilities_needs_them() -> None:
    given: dict[str, object] = {"text_input": "a", "mode": DIFFUSION, "log_probs_kind": "causal"}
    assert unparsed(given).error_type == "not_applicable"
    assert parse(given, return_log_probs=True).returns.causal_log_probs
    assert not parse(given, log_probs_kind="reveal").returns.causal_log_probs
    assert unparsed({**given, "mode": SPECULATION, "return_log_probs": True}).error_type == "not_applicable"


OF_REVISING: dict[str, object] = {"revise_threshold": -1.0, "revise_fraction": 0.25, "accept": "always"}


@pytest.mark.parametrize("mode", list(Mode))
def test_a_mode_is_taken_by_name(mode: Mode) -> None:
    assert parse(mode=str(mode)).mode is mode


def test_a_field_nobody_knows_is_refused_even_without_a_value() -> None:
    assert unparsed({"text_input": "a", "max_token": None}).error_type == "unknown_field"


@pytest.mark.parametrize(("temperature", "greedy"), [(0, True), (0.0, True), (1e-3, False), (1, False)])
def test_greedy_is_temperature_zero(temperature: float, greedy: bool) -> None:
    assert parse(temperature=temperature).sampling.greedy is greedy


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
    assert parse(given).sampling.penalised is penalised


@pytest.mark.parametrize("mode", list(Mode))
def test_the_echo_is_json_and_leaves_the_prompt_out(mode: Mode) -> None:
    echo = json.loads(json.dumps(parse(mode=str(mode), stop_words=["a", "b"]).echo(), allow_nan=False))
    left_out = {*NOT_ECHOED, *(name for name, modes in FIELDS_OF_MODES.items() if mode not in modes)}
    left_out |= {name for names in FIELDS_OF_OPERATIONS.values() for name in names} | set(OF_REVISING)
    left_out |= {"max_image_size"}  # there is no picture
    assert set(echo) == {field.name for field in FIELDS} - left_out
    assert (echo["mode"], echo["stop_words"]) == (str(mode), ["a", "b"])


@pytest.mark.parametrize("given", [{"mode": DIFFUSION}, {"mode": SPECULATION}, {"mode": DIFFUSION, "temperature": 0.5}])
def test_an_echo_sent_back_gives_the_same_values(given: dict[str, object]) -> None:
    params = parse(given)
    again = {name: value for name, value in params.echo().items() if name != "enable_thinking" and value != ()}
    assert parse(again) == params


GAP: dict[str, object] = {"text_input": "a", "suffix": "b"}
REVISION: dict[str, object] = {"text": "abc"}


@pytest.mark.parametrize(
    "given",
    [
        {**GAP, "infill_tokens": 3},
        GAP,
        {"segments": ["a", {}]},
        {"segments": ["a", {"infill_tokens": 3}, "b", {}, {"infill_tokens": 40}], "max_tokens": 50},
        REVISION,
        {**REVISION, "instruction": "q", "spans": [[0, 1]]},
    ],
)
def test_the_echo_of_an_operation_has_its_knobs_and_sent_back_gives_the_same_values(given: dict[str, object]) -> None:
    params = GenerationParams.parse(given, DEFAULTS)
    echo = json.loads(json.dumps(params.echo(), allow_nan=False))
    assert params.operation is not Operation.GENERATE
    texts = {*PROMPT_FIELDS, "suffix", "instruction"}
    foreign = {name for other, names in FIELDS_OF_OPERATIONS.items() if other != params.operation for name in names}
    assert set(echo) & (texts | foreign | set(NOT_OF_OPERATIONS[params.operation])) <= {"segments"}
    assert "a" not in echo.get("segments", [])
    assert set(FIELDS_OF_OPERATIONS[params.operation]) - texts <= set(echo)
    prompts = {name: value for name, value in given.items() if name in texts}
    again = {name: value for name, value in echo.items() if value not in ((), [], None)}
    assert GenerationParams.parse({**again, **prompts}, DEFAULTS) == params


@pytest.mark.parametrize(
    ("segments", "most"),
    [
        (["a", {"infill_tokens": 3}], 3),
        (["a", {"infill_tokens": 3}, {}], 32),
        (["a", {"infill_tokens": 40}, {}, {"infill_tokens": 5}], 40),
        (["a", {}], 32),
    ],
)
def test_the_sizes_of_segments_are_echoed_and_bound_as_others_are(segments: list[Any], most: int) -> None:
    params = GenerationParams.parse({"segments": segments}, DEFAULTS)
    assert params.max_tokens == most
    assert params.echo()["segments"] == [item for item in segments if item != "a"]
    sizes = [item["infill_tokens"] for item in segments if item != "a" and item]
    for limit in (1, 1024):
        if sizes and max(sizes) > limit:
            with pytest.raises(RequestError, match=f"segments must be at most max_tokens = {limit}"):
                GenerationParams.parse({"segments": segments, "max_tokens": limit}, DEFAULTS)
        else:
            assert GenerationParams.parse({"segments": segments, "max_tokens": limit}, DEFAULTS).max_tokens == limit


@pytest.mark.parametrize("given", [GAP, {"segments": ["a", {}]}, REVISION])
def test_gaps_and_revisions_come_in_one_piece_and_say_so(given: dict[str, Any]) -> None:
    params = GenerationParams.parse({**given, "stream": True}, DEFAULTS)
    assert params.returns.stream is params.echo()["stream"] is False


def test_auto_allows_nothing_but_diffusion() -> None:
    assert parse(auto_allow=["diffusion", "diffusion"]).auto_allow == ("diffusion",)
    error = unparsed({"text_input": "a", "auto_allow": ["autoregressive"]})
    assert (error.field, error.limit) == ("auto_allow", "may hold only diffusion")
