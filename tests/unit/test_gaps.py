"""A text with gaps: pieces, sizes, capacity, and the tokens on both sides of a gap."""

from __future__ import annotations

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers, processors
from trimode.errors import PromptTooLongError
from trimode.gaps import SEAM_TOKENS, GappedText, Sides
from trimode.params import Defaults, GenerationParams
from trimode.tokenizer import Tokenizer

from tests.unit.toy import BYTES, EOS, SPECIAL, VOCAB, byte_tokenizer

TOKENIZER = byte_tokenizer("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def merging_tokenizer(*merges: tuple[str, str]) -> Tokenizer:
    """Bytes, and pairs of them that become one token; its offsets leave spaces out unless told otherwise."""
    vocab = {token: at for at, token in enumerate([*SPECIAL, *BYTES, *("".join(pair) for pair in merges)])}
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=list(merges)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=True)
    return Tokenizer(backend, None, {})


MERGING = merging_tokenizer(("a", "b"), ("Ġ", "c"), ("Ã", "©"), ("c", "Ã"))


def text_of(**given: object) -> GappedText:
    params = GenerationParams.parse({"seed": 1, **given}, Defaults(VOCAB, 8, EOS))
    return GappedText.of(params, TOKENIZER)


def sides(left: str, right: str, *, end_id: int | None = None, tokenizer: Tokenizer = TOKENIZER) -> Sides:
    return Sides(tokenizer, left, right, block=8, end_id=end_id)


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


def test_left_and_whole_put_the_fills_in_their_places() -> None:
    text = GappedText("ctx|", ("a", "b", "c"), ((), ()), closed=False)
    assert [text.left([]), text.left(["1"])] == ["ctx|a", "ctx|a1b"]
    assert text.whole(["1", "2"]) == "a1b2c"


@pytest.mark.parametrize(
    ("given", "field", "value"),
    [
        ({"text_input": "x" * 100, "suffix": "", "infill_tokens": 8}, "text_input", "'100 tokens'"),
        ({"text_input": "x" * 10**6, "suffix": "", "infill_tokens": 8}, "text_input", "'1000000 characters'"),
        ({"text_input": "", "suffix": "", "infill_tokens": 93}, "infill_tokens", "'93 tokens'"),
        ({"text_input": "", "suffix": "", "infill_lengths": [3, 93]}, "infill_lengths", "'93 tokens'"),
        ({"text_input": "", "suffix": "", "max_tokens": 93}, "max_tokens", "'93 tokens'"),
        ({"segments": [{}, {"infill_tokens": 61}]}, "segments", "'93 tokens'"),
        ({"segments": ["x" * 60, {}, "y", {}]}, "segments", "'1"),
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
    assert GappedText.of(params, TOKENIZER).check(params, TOKENIZER, 100) == 84


# Sides


def test_the_right_side_is_at_most_a_block() -> None:
    assert sides("", "y" * 100).right == TOKENIZER.encode("y" * 8)
    assert sides("", "yz").right == TOKENIZER.encode("yz")


def test_a_right_side_that_ends_the_turn_is_filled_up_with_end_tokens() -> None:
    assert sides("", "yz", end_id=EOS).right == [*TOKENIZER.encode("yz"), *[EOS] * 6]
    assert EOS not in sides("", "y" * 8, end_id=EOS).right


@pytest.mark.parametrize(("right", "ends"), [("y" * 7, 1), ("y" * 8, 0), ("y" * 99, 0), ("", 1)])
def test_a_scored_text_has_one_end_token_if_the_turns_end_is_in_sight(right: str, ends: int) -> None:
    ids = sides("x", right, end_id=EOS).around([]).ids
    assert ids == [*TOKENIZER.encode("x" + right[:8]), *[EOS] * ends]


def test_the_left_side_is_tokenized_again_from_a_few_tokens_on() -> None:
    both = sides("x" * 50, "z")
    seam = both.around(TOKENIZER.encode("abc"))
    assert seam.start == 50 - SEAM_TOKENS
    assert seam.ids == TOKENIZER.encode("x" * SEAM_TOKENS + "abcz")


def test_tokens_merge_across_both_seams() -> None:
    both = sides("xa", "b", tokenizer=MERGING)
    assert both.around(MERGING.encode("b a")).ids == MERGING.encode("xab ab")
    assert len(both.around(MERGING.encode("b a")).ids) == 4


def test_a_seam_never_begins_inside_a_character() -> None:
    left = "é" * 20 + "y"
    seam = sides(left, "").around([])
    assert seam.start == 41 - SEAM_TOKENS - 1
    assert [*TOKENIZER.encode(left)[: seam.start], *seam.ids] == TOKENIZER.encode(left)


def test_a_seam_keeps_the_space_that_a_token_begins_with() -> None:
    left = " c" * 9
    seam = sides(left, "", tokenizer=MERGING).around([])
    assert [*MERGING.encode(left)[: seam.start], *seam.ids] == MERGING.encode(left)


def test_half_characters_are_not_scored() -> None:
    first = TOKENIZER.encode("é")[0]
    assert sides("a", "b").around([first]).ids == TOKENIZER.encode("ab")


@settings(deadline=None)
@given(TEXTS, TEXTS, TEXTS, st.sampled_from([TOKENIZER, MERGING]))
def test_what_is_scored_is_the_text(left: str, fill: str, right: str, tokenizer: Tokenizer) -> None:
    both = sides(left, right, tokenizer=tokenizer)
    ids, offsets = tokenizer.encode_with_offsets(right)
    near = right if len(ids) <= 8 else right[: offsets[7][1]]
    seam = both.around(tokenizer.encode(fill))
    whole = [*both.prompt[: seam.start], *seam.ids]
    assert tokenizer.decode(whole) == tokenizer.decode(
        tokenizer.encode(left + tokenizer.decode_whole(tokenizer.encode(fill)) + near)
    )
    assert len(seam.ids) <= SEAM_TOKENS + 4 + len(tokenizer.encode(fill)) + 8 + 3
