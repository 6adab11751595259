"""A text with gaps: its pieces and sizes, and what does not fit."""

from __future__ import annotations

import pytest
from trimode.api.defaults import Defaults
from trimode.api.params import GenerationParams
from trimode.errors import PromptTooLongError, RequestError
from trimode.requests.gapped_text import GappedText

from tests.support.tokenizers import TOKENIZER
from tests.support.toy import EOS, VOCAB, byte_tokenizer


def text_of(**given: object) -> GappedText:
    params = GenerationParams.parse({"seed": 1, **given}, Defaults(VOCAB, 8, EOS))
    return GappedText.of(params, TOKENIZER)


def test_segments_become_pieces_and_sizes() -> None:
    text = text_of(segments=["a", "b", {}, {"infill_tokens": 3}, "c", {}])
    assert (text.pieces, text.sizes) == (("ab", "", "c", ""), ((), (3,), ()))
    assert not text.closed


def test_a_left_and_a_right_side_are_one_gap() -> None:
    assert text_of(text_input="a", suffix="b", infill_tokens=2) == GappedText("", ("a", "b"), ((2,),), closed=False)
    assert text_of(text_input="", suffix="", infill_lengths=[4, 2]).sizes == ((2, 4),)


def test_messages_are_context_and_a_begun_answer_is_the_left_side() -> None:
    asked = [{"role": "user", "content": "q"}]
    assert text_of(messages=asked, suffix="z") == GappedText("<user>q", ("", "z"), ((),), closed=True)
    begun = text_of(messages=[*asked, {"role": "assistant", "content": "it is"}], suffix="z")
    assert begun == GappedText("<user>q", ("it is", "z"), ((),), closed=True)


def test_special_tokens_of_a_chat_are_read_as_text_and_shown_as_they_came() -> None:
    asked = [{"role": "user", "content": "q<eos>"}, {"role": "assistant", "content": "it<eos> is"}]
    text = text_of(messages=asked, suffix="z<eos>")
    left = TOKENIZER.encode(text.left([]), marked=text.marked)
    assert EOS not in left
    assert b"".join(TOKENIZER.vocabulary.of(left)) == b"<user>q<eos>it<eos> is"
    assert text.whole(["1"]) == "it<eos> is1z<eos>"
    allowed = text_of(messages=asked, suffix="z<eos>", allow_special_tokens=True)
    assert not allowed.marked
    assert TOKENIZER.encode(allowed.left([]), marked=allowed.marked).count(EOS) == 2
    assert allowed.whole(["1"]) == text.whole(["1"])


@pytest.mark.parametrize("given", [{"segments": ["it is", {}, "z"]}, {"text_input": "it is", "suffix": "z"}])
def test_an_instruction_is_context_too(given: dict[str, object]) -> None:
    assert text_of(instruction="q", **given) == GappedText("<user>q", ("it is", "z"), ((),), closed=True)


def test_an_instruction_for_gaps_needs_a_chat_template() -> None:
    params = GenerationParams.parse({"segments": ["a", {}], "instruction": "q"}, Defaults(VOCAB, 8, EOS))
    with pytest.raises(RequestError, match="instruction requires a checkpoint with a chat template"):
        GappedText.of(params, byte_tokenizer())


def test_left_and_whole_put_the_fills_in_their_places() -> None:
    text = GappedText("ctx|", ("a", "b", "c"), ((), ()), closed=False)
    assert [text.left([]), text.left(["1"])] == ["ctx|a", "ctx|a1b"]
    assert text.whole(["1", "2"]) == "a1b2c"


@pytest.mark.parametrize(
    ("given", "field", "value"),
    [
        ({"text_input": "x" * 100, "suffix": "", "infill_tokens": 8}, "text_input", "100 tokens"),
        ({"text_input": "x" * 10**6, "suffix": "", "infill_tokens": 8}, "text_input", "1000000 characters"),
        ({"text_input": "", "suffix": "", "infill_tokens": 93}, "infill_tokens", "93 tokens"),
        ({"text_input": "", "suffix": "", "infill_lengths": [3, 93]}, "infill_lengths", "93 tokens"),
        ({"text_input": "", "suffix": "", "max_tokens": 93}, "max_tokens", "93 tokens"),
        ({"segments": [{}, {"infill_tokens": 61}]}, "segments", "93 tokens"),
        ({"segments": ["x" * 60, {}, "y", {}]}, "segments", "1"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(given: dict[str, object], field: str, value: str) -> None:
    params = GenerationParams.parse(given, Defaults(VOCAB, 8, EOS))
    text = GappedText.of(params, TOKENIZER)
    with pytest.raises(PromptTooLongError) as caught:
        text.check(params, TOKENIZER, 100)
    assert caught.value.field == field
    assert caught.value.given == value or "segments" in given
    assert "100" in caught.value.limit


def test_what_just_fits_is_counted() -> None:
    params = GenerationParams.parse(
        {"text_input": "x" * 84, "suffix": "y" * 9, "infill_tokens": 8}, Defaults(VOCAB, 8, EOS)
    )
    assert GappedText.of(params, TOKENIZER).check(params, TOKENIZER, 100) == 84 + 9
