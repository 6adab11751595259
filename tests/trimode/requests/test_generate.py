"""A request to generate before it is queued: its prompt, and whether prompt, answer and block fit."""

from __future__ import annotations

from typing import Any

import pytest
from trimode.api.defaults import Defaults
from trimode.api.fields import Mode
from trimode.api.params import GenerationParams
from trimode.errors import PromptTooLongError, RequestError
from trimode.requests.generate import fit, read_prompt
from trimode.requests.services import Services
from trimode.text.tokenizer import Tokenizer

from tests.support.toy import EOS, MASK, VOCAB, byte_tokenizer

CHAT = byte_tokenizer("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}")


def parse(**given: Any) -> GenerationParams:
    return GenerationParams.parse({"seed": 1, **given}, Defaults(VOCAB + 1, 8, EOS))


def services(tokenizer: Tokenizer | None) -> Services:
    unused: Any = None
    return Services(unused, unused, tokenizer, MASK, capacity=64, banned=(), adapter=False)


@pytest.mark.parametrize(
    ("mode", "room"), [("autoregressive", 44), ("diffusion", 36), ("self_speculation", 36), ("auto", 44)]
)
def test_an_answer_has_what_prompt_and_block_leave(mode: str, room: int) -> None:
    params = parse(text_input="a", mode=mode, max_tokens=60)
    assert fit(params, 20, 64, asked=False).max_tokens == room
    with pytest.raises(PromptTooLongError, match=f"max_tokens must be at most {room} "):
        fit(params, 20, 64, asked=True)
    assert fit(parse(text_input="a", mode=mode, max_tokens=room), 20, 64, asked=True).max_tokens == room


def test_a_prompt_that_leaves_no_room_for_a_token_is_refused() -> None:
    params = parse(text_input="a", mode="diffusion")
    assert fit(params, 55, 64, asked=False).max_tokens == 1
    with pytest.raises(PromptTooLongError, match="text_input must leave room for a block of 8 and a token"):
        fit(params, 56, 64, asked=False)


def test_a_begun_answer_is_continued_if_asked() -> None:
    asked = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "it is"}]
    chat = parse(messages=asked, continue_final_message=True)
    assert read_prompt(chat, services(CHAT)) == ("<user>qit is", CHAT.encode("<user>qit is"))
    assert read_prompt(parse(messages=asked), services(CHAT))[0] == "<user>q<assistant>it is"


@pytest.mark.parametrize("continues", [False, True])
def test_special_tokens_of_a_chat_are_text_unless_allowed(continues: bool) -> None:
    roles = ("user", "assistant") if continues else ("assistant", "user")
    chat = [{"role": role, "content": "a<eos>"} for role in roles]
    asked = {"messages": chat, "continue_final_message": continues}
    text, ids = read_prompt(parse(**asked), services(CHAT))
    assert EOS not in ids and b"".join(CHAT.vocabulary.of(ids)).decode() == text
    shown, special = read_prompt(parse(**asked, allow_special_tokens=True), services(CHAT))
    assert (shown, special.count(EOS)) == (text, 2)
    assert read_prompt(parse(text_input="a<eos>"), services(CHAT))[1][-1] == EOS


def test_a_prompt_is_text_chat_or_ids() -> None:
    assert read_prompt(parse(text_input="ab"), services(CHAT)) == ("ab", CHAT.encode("ab"))
    chat = parse(messages=[{"role": "user", "content": "q"}])
    assert read_prompt(chat, services(CHAT)) == ("<user>q", CHAT.encode("<user>q"))
    ids = CHAT.encode("ab")
    assert read_prompt(parse(input_ids=ids), services(CHAT)) == ("", ids)
    echoed = parse(input_ids=ids, exclude_input_in_output=False)
    assert read_prompt(echoed, services(CHAT)) == ("ab", ids)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"text_input": "a"}, "text_input needs a checkpoint with a tokenizer; send input_ids"),
        ({"input_ids": [3], "stop_words": ["x"]}, "stop_words needs a checkpoint with a tokenizer"),
    ],
)
def test_text_needs_a_tokenizer(given: dict[str, Any], says: str) -> None:
    with pytest.raises(RequestError, match=says) as caught:
        read_prompt(parse(**given), services(None))
    assert caught.value.error_type == "not_applicable"
    assert read_prompt(parse(input_ids=[3]), services(None)) == ("", [3])


def test_a_text_that_cannot_fit_is_refused_before_it_is_tokenized() -> None:
    with pytest.raises(PromptTooLongError, match="must fit the capacity of 64 tokens, got 1000 characters"):
        read_prompt(parse(text_input="x" * 1000), services(CHAT))
    with pytest.raises(RequestError, match="must not be empty"):
        read_prompt(parse(text_input=""), services(CHAT))


def test_a_request_decoded_by_diffusion_has_that_modes_defaults() -> None:
    params = parse(text_input="a", auto_allow=["diffusion"], max_tokens=7)
    other = params.diffusing()
    assert (params.mode, params.block.threshold) == (Mode.AUTO, 0.0)
    assert (other.mode, other.block.threshold, other.max_tokens) == (Mode.DIFFUSION, 0.9, 7)
    assert other.sampling is params.sampling
