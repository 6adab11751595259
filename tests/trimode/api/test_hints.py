"""Hints for names that other servers have: the right field by name, and nothing about fields of this model."""

from __future__ import annotations

import re

import pytest
from trimode.api.checks import check_field
from trimode.api.fields import BY_NAME
from trimode.api.hints import HINTS
from trimode.errors import RequestError


def said(name: str) -> str:
    with pytest.raises(RequestError) as caught:
        check_field(name, 1)
    assert caught.value.error_type == "unknown_field"
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("stop", "use stop_words, a list of texts"),
        ("min_new_tokens", "use min_tokens"),
        ("bad_words_list", "use bad_words, a list of texts"),
        ("embedding_bias", "use logit_bias"),
        ("ignore_eos", "use end_id -1"),
        ("random_seed", "use seed"),
        ("response_format", "use guided_decoding_guide_type"),
        ("prompt", "use text_input for plain text to continue, or messages for a chat"),
        ("max_new_tokens", "use max_tokens"),
        ("n", "a request has one answer"),
        ("logprobs", "use return_log_probs"),
        ("top_logprobs", "use return_log_probs and top_log_probs"),
        ("system", "use messages"),
        ("beam_width", "there is no beam search"),
        ("length_penalty", "there is no beam search"),
        ("num_beams", "there is no beam search"),
        ("stream_options", "return_num_input_tokens and return_num_output_tokens"),
        ("image_url", "use image_bytes_input, image_url_input or parts of messages"),
        ("images", "use image_bytes_input, image_url_input or parts of messages"),
        ("audio", "no sound is read"),
        ("tools", "use tools of /v1/chat/completions"),
        ("function_call", "use tools of /v1/chat/completions"),
        ("do_sample", "temperature above 0 samples"),
        ("max_token", "did you mean max_tokens?"),
        ("Temperature", "did you mean temperature?"),
    ],
)
def test_a_well_known_or_misspelt_name_gets_its_hint(name: str, hint: str) -> None:
    assert said(name).startswith(f"{name} is not a field of this model, got 1; {hint}")


@pytest.mark.parametrize("name", ["zzz", "reference", "cancel"])
def test_any_other_name_gets_none(name: str) -> None:
    assert said(name) == f"{name} is not a field of this model, got 1"


def test_a_name_is_shown_so_that_it_can_be_printed() -> None:
    assert said("a\nb\x1b[31m") == r"a\nb\u001b[31m is not a field of this model, got 1"


def test_no_hint_is_about_a_field_and_each_names_fields_that_there_are() -> None:
    assert not set(HINTS) & set(BY_NAME)
    assert all(name == name.lower() for name in HINTS)
    named = {word for hint in HINTS.values() for word in re.findall(r"[a-z]+(?:_[a-z]+)+", hint)}
    assert named - set(BY_NAME) == {"model_name", "text_output"}
