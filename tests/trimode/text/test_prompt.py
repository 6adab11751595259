"""The text and the tokens of prompts, and the room that they leave."""

from __future__ import annotations

import pytest
from trimode.api.fields import Mode
from trimode.api.params import PromptParams
from trimode.errors import PromptTooLongError, RequestError
from trimode.text.prompt import block_beside, read_text, render_messages, room_after

from tests.support.toy import EOS, byte_tokenizer

CHAT = byte_tokenizer("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}")
TURNS = ({"role": "user", "content": "q<eos>"}, {"role": "assistant", "content": "it is"})


@pytest.mark.parametrize(("goes_on", "text"), [(False, "<user>q<eos><assistant>it is"), (True, "<user>q<eos>it is")])
def test_messages_are_one_text_in_which_special_tokens_count_only_if_allowed(goes_on: bool, text: str) -> None:
    plain = PromptParams(messages=TURNS, continue_final_message=goes_on)
    shown, ids = read_text(plain, CHAT, 64)
    assert shown == text and EOS not in ids
    allowed = PromptParams(messages=TURNS, continue_final_message=goes_on, allow_special_tokens=True)
    assert render_messages(allowed, CHAT) == text and read_text(allowed, CHAT, 64)[1].count(EOS) == 1


def test_a_text_is_read_as_it_is_and_may_not_be_empty_or_too_long() -> None:
    assert read_text(PromptParams(text_input="ab<eos>"), CHAT, 64)[1] == [*CHAT.encode("ab"), EOS]
    with pytest.raises(RequestError, match="text_input must not be empty"):
        read_text(PromptParams(text_input=""), CHAT, 64)
    with pytest.raises(PromptTooLongError, match="must fit the capacity of 4 tokens"):
        read_text(PromptParams(text_input="a" * 99), CHAT, 4)


@pytest.mark.parametrize(("mode", "block"), [("autoregressive", 0), ("auto", 0), ("diffusion", 8)])
def test_the_room_is_what_prompt_and_block_leave(mode: str, block: int) -> None:
    assert block_beside(Mode(mode), 8) == block
    assert room_after(20, block=block, capacity=64, field="prompt") == 44 - block
    with pytest.raises(PromptTooLongError, match="prompt must leave room for a"):
        room_after(64 - block, block=block, capacity=64, field="prompt")
