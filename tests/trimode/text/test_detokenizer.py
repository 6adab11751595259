"""Tokens to text piece by piece: pieces join to the whole, and none holds half a character."""

from __future__ import annotations

from collections.abc import Sequence

import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers
from trimode.text.detokenizer import Detokenizer
from trimode.text.tokenizer import Tokenizer

from tests.support.toy import EOS, VOCAB, byte_tokenizer

TOKENIZER = byte_tokenizer()


def metaspace_tokenizer() -> Tokenizer:
    """A tokenizer whose decoder drops the space before the first word."""
    vocab = {token: number for number, token in enumerate(["▁", "▁a", "▁b", "a", "b", "<unk>"])}
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=[], unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    return Tokenizer(backend, None, {})


# Detokenizer

RUNS = st.lists(st.lists(st.integers(0, VOCAB), max_size=5), max_size=12)


def pieces(tokenizer: Tokenizer, runs: list[list[int]]) -> list[str]:
    detokenizer = Detokenizer(tokenizer)
    return [*(detokenizer.push(run) for run in runs), detokenizer.finish()]


@given(RUNS)
def test_the_pieces_join_to_the_whole_for_any_bytes(runs: list[list[int]]) -> None:
    assert "".join(pieces(TOKENIZER, runs)) == TOKENIZER.decode([token for run in runs for token in run])


@given(st.lists(st.lists(st.integers(0, 4), max_size=3), max_size=10))
def test_the_pieces_join_to_the_whole_when_the_decoder_drops_a_space(runs: list[list[int]]) -> None:
    tokenizer = metaspace_tokenizer()
    assert "".join(pieces(tokenizer, runs)) == tokenizer.decode([token for run in runs for token in run])


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffd"), max_size=20))
def test_no_piece_shows_half_a_character(text: str) -> None:
    assert "\ufffd" not in "".join(pieces(TOKENIZER, [[token] for token in TOKENIZER.encode(text)]))


def test_a_character_comes_with_its_last_byte() -> None:
    assert pieces(TOKENIZER, [[token] for token in TOKENIZER.encode("aé🙂")]) == ["a", "", "é", "", "", "", "🙂", ""]


def test_a_special_token_inside_a_character_does_not_break_it() -> None:
    first, second = TOKENIZER.encode("é")
    assert pieces(TOKENIZER, [[first], [EOS], [second]]) == ["", "", "é", ""]


def test_bytes_that_can_never_be_a_character_are_not_held_back_for_ever() -> None:
    continuation = TOKENIZER.encode("é")[1]
    assert any(pieces(TOKENIZER, [[continuation]] * 8)[:-1])


def test_the_tokens_decoded_at_a_time_stay_few_with_broken_bytes() -> None:
    widest = 0

    class Watched(Tokenizer):
        def __init__(self) -> None:
            pass

        def decode(self, ids: Sequence[int], *, special: bool = False) -> str:
            nonlocal widest
            widest = max(widest, len(ids))
            return TOKENIZER.decode(ids, special=special)

    detokenizer = Detokenizer(Watched())
    for _ in range(200):
        detokenizer.push([TOKENIZER.encode("é")[1]])
    assert widest <= 16


def test_held_ids_come_out_with_the_end() -> None:
    detokenizer = Detokenizer(TOKENIZER)
    detokenizer.hold(TOKENIZER.encode("ab"))
    assert (detokenizer.finish(), detokenizer.finish()) == ("ab", "")
