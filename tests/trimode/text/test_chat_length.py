"""Messages that cannot fit are refused before anything looks at them: a megabyte of them took a second each."""

from __future__ import annotations

from typing import Any

import pytest
from trimode.api.rows.images import ImageSource
from trimode.errors import PromptTooLongError
from trimode.text.chat_length import written_in
from trimode.text.tokenizer import Tokenizer

from tests.support.toy import byte_tokenizer

CALL = {"type": "function", "function": {"name": "f", "arguments": {"a": ["x" * 100_000]}}}
NEVER = "{{ raise_exception('rendered') }}"


def tokenizer(capacity: int) -> Tokenizer:
    made: Any = byte_tokenizer()
    return Tokenizer(made._backend, NEVER, {}, capacity=capacity)


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "x" * 100_000}],
        [{"role": "user", "content": ""}] * 65,
        [{"role": "assistant", "content": "", "tool_calls": [CALL]}],
    ],
    ids=["characters", "messages", "arguments"],
)
@pytest.mark.parametrize("allowed", [False, True])
def test_what_cannot_fit_is_refused_before_it_is_rendered(messages: list[dict[str, Any]], allowed: bool) -> None:
    with pytest.raises(PromptTooLongError, match=r"messages must fit the capacity of 64 tokens, got \d+ messages of"):
        tokenizer(64).render_chat(messages, enable_thinking=False, allow_special_tokens=allowed)


def test_pictures_are_no_part_of_what_a_message_says() -> None:
    picture = ImageSource("base64", "A" * 1000, "messages")
    assert written_in({"role": "user", "content": ("ab", picture, "c")}) == "abc"
