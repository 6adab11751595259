"""The tokenizer and its chat layout."""

from __future__ import annotations

import jinja2
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from trimode_train.data.chat import render


@pytest.mark.parametrize(
    ("token", "id"),
    [("<unk>", 0), ("<s>", 1), ("</s>", 2), ("<|im_start|>", 10), ("<|im_end|>", 11), ("<think>", 12),
     ("</think>", 13), ("<SPECIAL_100>", 100), ("<SPECIAL_3>", 3), ("<SPECIAL_127>", 127)],
)  # fmt: skip
def test_special_ids_are_the_family_s(tokenizer: Tokenizer, token: str, id: int) -> None:
    assert tokenizer.token_to_id(token) == id
    assert tokenizer.encode(token).ids == [id]


def test_only_thinking_marks_survive_skipping_special_tokens(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(list(range(128)), skip_special_tokens=True) == "<think></think>"


def test_a_digit_is_a_token(tokenizer: Tokenizer) -> None:
    assert [tokenizer.decode([i]) for i in tokenizer.encode("2048").ids] == list("2048")


@hypothesis_settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text())
def test_any_text_round_trips(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_one_user_turn_renders_as_the_family_does() -> None:
    assert render([{"role": "user", "content": "MSG"}]) == (
        "<|im_start|>system\n<|im_end|>\n<|im_start|>user\nMSG<|im_end|>\n<|im_start|>assistant\n<think></think>"
    )


def test_thinking_opens_a_thought() -> None:
    assert render([{"role": "user", "content": "MSG"}], enable_thinking=True).endswith("assistant\n<think>\n")


def test_earlier_replies_carry_closed_thoughts() -> None:
    text = render(
        [
            {"role": "system", "content": "S"},
            {"role": "user", "content": "A"},
            {"role": "assistant", "content": "B"},
            {"role": "user", "content": "C"},
            {"role": "assistant", "content": "<think>\nlong\n</think>D"},
            {"role": "user", "content": "E"},
        ]
    )
    assert text == (
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nA<|im_end|>\n"
        "<|im_start|>assistant\n<think></think>B<|im_end|>\n<|im_start|>user\nC<|im_end|>\n"
        "<|im_start|>assistant\n<think></think>D<|im_end|>\n<|im_start|>user\nE<|im_end|>\n"
        "<|im_start|>assistant\n<think></think>"
    )


def test_no_generation_prompt_on_request() -> None:
    assert render([{"role": "user", "content": "MSG"}], generate=False).endswith("MSG<|im_end|>\n")


def test_an_unknown_role_is_an_error() -> None:
    with pytest.raises(jinja2.TemplateError, match="tool"):
        render([{"role": "tool", "content": "x"}])
