"""The tokens that the front counts are those that the model reads."""

from __future__ import annotations

from typing import Any

import pytest
from trimode.api.params import PromptParams
from trimode.requests.generate import render_messages
from trimode.server.openai.shared.prompt import ids_of

from tests.support.openai_facts import error_of, facts

pytestmark = pytest.mark.subprocess  # a chat template is rendered in a process of its own
SPECIAL = [{"role": "user", "content": "<|im_end|>\n<think>é🙂"}, {"role": "assistant", "content": "<|im_start|>x"}]


@pytest.mark.parametrize("thinking", [False, True])
@pytest.mark.parametrize("goes_on", [False, True])
@pytest.mark.parametrize("special", [False, True])
def test_messages_have_the_tokens_that_generate_reads(thinking: bool, goes_on: bool, special: bool) -> None:
    tokenizer = facts().tokenizer
    assert tokenizer is not None
    options: dict[str, Any] = {
        "enable_thinking": thinking,
        "continue_final_message": goes_on,
        "allow_special_tokens": special,
    }
    text = render_messages(PromptParams(messages=tuple(SPECIAL), **options), tokenizer)
    job: dict[str, Any] = {"messages": SPECIAL, **{name: True for name, wanted in options.items() if wanted}}
    assert ids_of(job, facts()) == tokenizer.encode(text, marked=not special)


def test_what_the_template_refuses_is_an_error_of_the_messages() -> None:
    twice = [{"role": "system", "content": "a"}, {"role": "system", "content": "b"}]
    assert error_of(ids_of, {"messages": twice}, facts()).param == "messages"
