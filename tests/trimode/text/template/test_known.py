"""Which chat templates are known, and which chats are short."""

from __future__ import annotations

from pathlib import Path

import pytest
from trimode.text.template.known import KNOWN, MOST_CHARACTERS, MOST_MESSAGES, is_known, is_short

CHECKPOINTS = Path(__file__).parents[4] / "checkpoints"
SMOL = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""SmolLM2's, as its file has it."""


def shipped(name: str) -> str:
    return (CHECKPOINTS / name / "chat_template.jinja").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", [shipped("nano"), shipped("nano-vlm"), SMOL], ids=list(KNOWN.values()))
def test_what_ships_is_known_and_nothing_like_it(text: str) -> None:
    special = {"eos_token": "</s>"}
    assert is_known(text, special)
    assert not is_known(f"{text} ", special)
    assert not is_known(text, {"eos_token": "x" * (MOST_CHARACTERS + 1)})


def test_a_chat_is_short_in_its_messages_and_its_characters() -> None:
    one = {"role": "user", "content": "a"}
    assert is_short([one] * MOST_MESSAGES) and not is_short([one] * (MOST_MESSAGES + 1))
    most = MOST_CHARACTERS - len("rolecontentuser")
    assert is_short([{**one, "content": "a" * most}]) and not is_short([{**one, "content": "a" * (most + 1)}])
    assert not is_short([{**one, "tool_calls": []}])
