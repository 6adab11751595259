"""Requests as the client builds them, for every field of the server's table."""

from __future__ import annotations

import json
import re
from types import MappingProxyType
from typing import Any

import pytest
from trimode.api.applicability import FIELDS_OF_MODES, NOT_OF_OPERATIONS, fields_of_others
from trimode.api.defaults import Defaults
from trimode.api.fields import BY_NAME, FIELDS, PROMPT_FIELDS, Mode, Operation
from trimode.api.params import GenerationParams
from trimode.api.rows.images import IMAGE_FIELDS
from trimode_client import InvalidRequestError, Knobs
from trimode_client.knobs import ALWAYS_RETURNED, KNOBS
from trimode_client.request import build, build_infill, build_revise

from tests.support.toy import EFFORTS

EXAMPLES: dict[str, Any] = {
    "auto_allow": ["diffusion"],
    "max_image_size": 56,
    "text_input": "héllo",
    "input_ids": [1, 2, 3],
    "messages": [{"role": "user", "content": "hé"}],
    "mode": "diffusion",
    "reveal": "entropy",
    "speculation": "linear",
    "prediction": "an edited file",
    "guided_decoding_guide_type": "regex",
    "guided_decoding_guide": "[0-9]+",
    "guided_decoding_scope": "whole",
    "disable_any_whitespace": False,
    "stop_words": ["\n", "end"],
    "infill_lengths": [2, 4],
    "instruction": "fïx it",
    "spans": "[[0, 2], [5, 9]]",
    "revise_threshold": -3.5,
    "accept": "always",
    "seed": 2**40,
    "user": "ann",
    "cache_salt": "s",
    "log_probs_kind": "reveal",
    "bad_words": ["x"],
    "logit_bias": '{"5": 1.5}',
    "allowed_token_ids": [5],
    "bad_token_ids": [5],
    "stop_token_ids": [5],
}
KIND_EXAMPLES: dict[str, Any] = {"int": 3, "float": 0.5, "bool": True}


def example(name: str) -> Any:
    return EXAMPLES.get(name, KIND_EXAMPLES.get(BY_NAME[name].kind))


def built(**knobs: Any) -> dict[str, Any]:
    return build("hi", None, None, None, knobs, stream=False)


def filled(left: Any = None, right: Any = None, messages: Any = None, segments: Any = None, **knobs: Any) -> Any:
    return build_infill(left, right, messages, segments, knobs)


def test_the_typed_knobs_are_the_fields_of_the_table() -> None:
    assert tuple(Knobs.__annotations__) == ("images", *KNOBS)


def test_every_field_of_the_table_is_a_prompt_a_knob_or_set_by_the_client() -> None:
    others = (*IMAGE_FIELDS, "suffix", "stream", "min_length")  # the last is min_tokens
    assert {*PROMPT_FIELDS, *KNOBS, *ALWAYS_RETURNED, *others} == {field.name for field in FIELDS}


@pytest.mark.parametrize("name", KNOBS)
def test_a_knob_travels_under_its_own_name(name: str) -> None:
    assert built(**{name: example(name)})[name] == example(name)


def test_a_value_that_means_none_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimode_client.request.check_field", lambda *_, **__: None)
    assert "stop_words" not in built(stop_words=[])


@pytest.mark.parametrize("name", KNOBS)
def test_a_knob_that_is_none_is_left_out(name: str) -> None:
    assert name not in built(**{name: None})


@pytest.mark.parametrize("name", [name for name in KNOBS if BY_NAME[name].low is not None])
def test_a_knob_below_its_range_is_refused(name: str) -> None:
    field = BY_NAME[name]
    assert field.low is not None
    below = field.low - 1 if field.kind == "float" else int(field.low) - 1
    with pytest.raises(InvalidRequestError, match=f"invalid_value: {name} must be"):
        built(**{name: [below] if field.kind == "ints" else below})


@pytest.mark.parametrize("name", KNOBS)
def test_a_knob_of_the_wrong_type_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequestError, match="wrong_type"):
        built(**{name: object()})


def test_an_unknown_knob_is_refused_and_the_known_ones_named() -> None:
    with pytest.raises(InvalidRequestError, match=r"unknown_field: stepz is not a knob; known are .*denoise_steps"):
        built(stepz=3)


def test_a_reveal_rule_that_only_the_server_may_know_travels_as_given() -> None:
    assert built(reveal="mine")["reveal"] == "mine"


@pytest.mark.parametrize("name", ["stream", "suffix", "segments", "text"])
def test_what_the_method_says_is_no_knob(name: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"{name} is not a knob"):
        built(**{name: "a"})


def test_messages_travel_as_json() -> None:
    fields = build(None, EXAMPLES["messages"], None, None, {}, stream=False)
    assert json.loads(fields["messages"]) == EXAMPLES["messages"]


def test_token_ids_travel_as_a_list() -> None:
    assert build(None, None, None, (1, 2), {}, stream=False)["input_ids"] == [1, 2]


def test_a_list_of_spans_travels_as_json() -> None:
    assert built(spans=((0, 2), [5, 9]))["spans"] == "[[0, 2], [5, 9]]"


def test_both_sides_of_a_gap_travel_as_given() -> None:
    fields = filled("déf ", "\n  return\t")
    assert (fields["text_input"], fields["suffix"], fields["stream"]) == ("déf ", "\n  return\t", False)


def test_an_empty_side_travels_as_empty() -> None:
    fields = filled("", "")
    assert (fields["text_input"], fields["suffix"]) == ("", "")


def test_without_a_right_side_nothing_follows_the_gap() -> None:
    assert filled("a")["suffix"] == ""


def test_a_gap_in_a_begun_reply_travels_as_messages_and_suffix() -> None:
    begun = [{"role": "user", "content": "hé"}, {"role": "assistant", "content": "a"}]
    fields = filled(messages=begun, right="b")
    assert (json.loads(fields["messages"]), fields["suffix"]) == (begun, "b")
    assert "text_input" not in fields


def test_segments_travel_as_json_and_are_the_whole_text() -> None:
    fields = filled(segments=["é", {}, "b", MappingProxyType({"infill_tokens": 3})])
    assert json.loads(fields["segments"]) == ["é", {}, "b", {"infill_tokens": 3}]
    assert "suffix" not in fields


@pytest.mark.parametrize("given", [{}, {"right": "a"}, {"left": "", "segments": [{}]}, {"left": "a", "messages": []}])
def test_exactly_one_text_with_gaps_must_be_given(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError, match="bad_prompt: give exactly one of left, messages, segments, got"):
        filled(**given)


def test_segments_take_no_right_side() -> None:
    with pytest.raises(InvalidRequestError, match="bad_prompt: right does not go together with segments"):
        filled(segments=[{}], right="")


@pytest.mark.parametrize(
    ("segments", "told"),
    [
        (["a"], "invalid_value: segments must hold 1 to 16 gaps, got 0 gaps"),
        ([], "invalid_value: segments must not be empty"),
        ("a", "bad_json: segments must be valid JSON"),
        ([{"size": 3}], "invalid_value: segments must hold strings and objects with the key infill_tokens or none"),
        ([{"infill_tokens": 0}], "invalid_value: infill_tokens must be between 1 and"),
    ],
)
def test_bad_segments_are_refused(segments: Any, told: str) -> None:
    with pytest.raises(InvalidRequestError, match=re.escape(told)):
        filled(segments=segments)


def test_a_text_to_revise_travels_as_given() -> None:
    fields = build_revise("é\r\n", {"revise_rounds": 3})
    assert (fields["text"], fields["revise_rounds"], fields["stream"]) == ("é\r\n", 3, False)


def test_no_text_to_revise_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="bad_prompt: give exactly one of text, got none"):
        build_revise(None, {})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spans", "told"),
    [
        ([[0, 4], [2, 6]], r"invalid_value: spans must be in order and not overlap; the one before ends at 4"),
        ([[5, 6], [0, 1]], r"invalid_value: spans must be in order and not overlap"),
        ([[3, 3]], r"invalid_value: spans must hold pairs with 0 <= start < end"),
        ([["a", 3]], r"wrong_type: spans must hold pairs \[start, end\] of integers"),
    ],
)
def test_bad_spans_are_refused(spans: Any, told: str) -> None:
    with pytest.raises(InvalidRequestError, match=told):
        build_revise("abcdefgh", {"spans": spans})


@pytest.mark.parametrize(
    "prompts",
    [(None, None, None, None), ("a", None, None, [1]), ("a", [{"role": "user"}], None, None), ("a", None, "a", None)],
)
def test_exactly_one_prompt_must_be_given(prompts: tuple[Any, Any, Any, Any]) -> None:
    named = "bad_prompt: give exactly one of question, messages, text_input, input_ids, got"
    with pytest.raises(InvalidRequestError, match=named):
        build(*prompts, {}, stream=False)


def test_a_question_is_a_chat_of_one_message() -> None:
    fields = build("hé?", None, None, None, {}, stream=False)
    assert json.loads(fields["messages"]) == [{"role": "user", "content": "hé?"}]
    assert not {"question", "text_input"} & fields.keys()


def test_plain_text_is_named_as_on_the_wire() -> None:
    fields = build(None, None, "Once", None, {}, stream=False)
    assert fields["text_input"] == "Once"
    assert "messages" not in fields


def test_the_earlier_name_of_plain_text_works_and_warns() -> None:
    with pytest.warns(DeprecationWarning, match="prompt is now called text_input"):
        fields = build(None, None, None, None, {"prompt": "Once", "top_k": 2}, stream=False)
    assert (fields["text_input"], fields["top_k"]) == ("Once", 2)
    assert "prompt" not in fields


def test_a_conversation_given_as_the_question_is_refused() -> None:
    conversation: Any = [{"role": "user", "content": "hi"}]
    with pytest.raises(InvalidRequestError, match=r"wrong_type: the question must be a string, got list.*messages="):
        build(conversation, None, None, None, {}, stream=False)


def test_text_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="bad_utf8"):
        build(None, None, "\ud800", None, {}, stream=False)


def test_a_question_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="messages"):
        build("\ud800", None, None, None, {}, stream=False)


def test_the_time_limit_becomes_milliseconds() -> None:
    assert build("hi", None, None, None, {}, stream=False, timeout=1.2345)["timeout_ms"] == 1235


def test_a_given_timeout_ms_wins_over_the_time_limit() -> None:
    assert build("hi", None, None, None, {"timeout_ms": 7}, stream=False, timeout=5.0)["timeout_ms"] == 7


def knobs_of(operation: Operation) -> dict[str, Any]:
    """Every knob that goes with `operation`, save one of two that exclude each other."""
    without = {
        *fields_of_others(operation),
        *NOT_OF_OPERATIONS.get(operation, ()),
        "enable_thinking",
        "infill_lengths",
        "revise_fraction",
        "continue_final_message",  # which needs a message of the assistant
    }
    without |= {"stream_provisional", "stream_interval", "stream_interval_ms"}  # which need a stream
    return {name: example(name) for name in KNOBS if name not in without}


def knobs_of_mode(mode: Mode) -> dict[str, Any]:
    """Every knob of generation that `mode` has."""
    known = {
        name: value for name, value in knobs_of(Operation.GENERATE).items() if mode in FIELDS_OF_MODES.get(name, Mode)
    }
    known.pop("auto_allow", None)  # which free drafts rule out
    return known | {"mode": str(mode)}


DEFAULTS = Defaults(vocab_size=100, block_length=8, end_id=1, adapter=True, effort=EFFORTS, most_images=1)
IMAGES = ["data:,a"]


@pytest.mark.parametrize("mode", list(Mode))
def test_the_server_accepts_a_request_with_every_knob(mode: Mode) -> None:
    assert GenerationParams.parse(built(images=IMAGES, **knobs_of_mode(mode)), DEFAULTS).sampling.seed == 2**40


def test_the_server_accepts_a_gap_with_every_knob_of_one() -> None:
    knobs = knobs_of(Operation.INFILL)
    del knobs["draft_adapter"], knobs["auto_allow"], knobs["speculation"]
    assert GenerationParams.parse(filled("a", "b", images=IMAGES, **knobs), DEFAULTS).infill.infill_tokens == 3


def test_the_server_accepts_a_revision_with_every_knob_of_one() -> None:
    knobs = knobs_of(Operation.REVISE)
    del knobs["draft_adapter"], knobs["auto_allow"], knobs["speculation"]
    assert GenerationParams.parse(build_revise("abc", {**knobs, "images": IMAGES}), DEFAULTS).revise.spans == (
        (0, 2),
        (5, 9),
    )
