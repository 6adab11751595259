"""Requests as the client builds them, for every field of the server's table."""

from __future__ import annotations

import json
from typing import Any

import pytest
from trimode.fields import BY_NAME, FIELDS, PROMPT_FIELDS
from trimode.params import Defaults, GenerationParams
from trimode_client import InvalidRequestError, Knobs
from trimode_client.request import ALWAYS_RETURNED, KNOBS, build

EXAMPLES: dict[str, Any] = {
    "text_input": "héllo",
    "input_ids": [1, 2, 3],
    "messages": [{"role": "user", "content": "hé"}],
    "mode": "diffusion",
    "reveal": "entropy",
    "stop_words": ["\n", "end"],
    "seed": 2**40,
}
KIND_EXAMPLES: dict[str, Any] = {"int": 3, "float": 0.5, "bool": True}


def example(name: str) -> Any:
    return EXAMPLES.get(name, KIND_EXAMPLES.get(BY_NAME[name].kind))


def built(**knobs: Any) -> dict[str, Any]:
    return build("hi", None, None, knobs, stream=False)


def test_the_typed_knobs_are_the_fields_of_the_table() -> None:
    assert tuple(Knobs.__annotations__) == KNOBS


def test_every_field_of_the_table_is_a_prompt_a_knob_or_set_by_the_client() -> None:
    assert {*PROMPT_FIELDS, *KNOBS, *ALWAYS_RETURNED, "stream"} == {field.name for field in FIELDS}


@pytest.mark.parametrize("name", KNOBS)
def test_a_knob_travels_under_its_own_name(name: str) -> None:
    assert built(**{name: example(name)})[name] == example(name)


@pytest.mark.parametrize("name", KNOBS)
def test_a_knob_that_is_none_is_left_out(name: str) -> None:
    assert name not in built(**{name: None})


@pytest.mark.parametrize("name", [name for name in KNOBS if BY_NAME[name].low is not None])
def test_a_knob_below_its_range_is_refused(name: str) -> None:
    field = BY_NAME[name]
    assert field.low is not None
    below = field.low - 1 if field.kind == "float" else int(field.low) - 1
    with pytest.raises(InvalidRequestError, match=f"invalid_value: {name} must be"):
        built(**{name: below})


@pytest.mark.parametrize("name", KNOBS)
def test_a_knob_of_the_wrong_type_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequestError, match="wrong_type"):
        built(**{name: object()})


def test_an_unknown_knob_is_refused_and_the_known_ones_named() -> None:
    with pytest.raises(InvalidRequestError, match=r"unknown_field: stepz is not a knob; known are .*denoise_steps"):
        built(stepz=3)


def test_what_the_client_sets_itself_is_no_knob() -> None:
    with pytest.raises(InvalidRequestError, match="stream is not a knob"):
        built(stream=True)


def test_messages_travel_as_json() -> None:
    fields = build(None, EXAMPLES["messages"], None, {}, stream=False)
    assert json.loads(fields["messages"]) == EXAMPLES["messages"]


def test_token_ids_travel_as_a_list() -> None:
    assert build(None, None, (1, 2), {}, stream=False)["input_ids"] == [1, 2]


@pytest.mark.parametrize("prompts", [(None, None, None), ("a", None, [1]), ("a", [{"role": "user"}], None)])
def test_exactly_one_prompt_must_be_given(prompts: tuple[Any, Any, Any]) -> None:
    with pytest.raises(InvalidRequestError, match="bad_prompt: give exactly one"):
        build(*prompts, {}, stream=False)


def test_text_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="bad_utf8"):
        build("\ud800", None, None, {}, stream=False)


def test_the_time_limit_becomes_milliseconds() -> None:
    assert build("hi", None, None, {}, stream=False, timeout=1.2345)["timeout_ms"] == 1235


def test_a_given_timeout_ms_wins_over_the_time_limit() -> None:
    assert build("hi", None, None, {"timeout_ms": 7}, stream=False, timeout=5.0)["timeout_ms"] == 7


def test_the_server_accepts_a_request_with_every_knob() -> None:
    knobs = {name: example(name) for name in KNOBS if name != "enable_thinking"} | {"mode": "self_speculation"}
    defaults = Defaults(vocab_size=100, block_length=8, end_id=1, adapter=True)
    assert GenerationParams.parse(built(**knobs), defaults).seed == 2**40
