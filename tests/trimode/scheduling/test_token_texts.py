"""The text of each token of a block that has gaps: what a detokenizer gives run by run, and remembered."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models
from trimode.scheduling.token_texts import PLACEHOLDER, TokenTexts
from trimode.text.detokenizer import Detokenizer
from trimode.text.tokenizer import Tokenizer

from tests.support.toy import EOS, VOCAB, byte_tokenizer

TOKENIZER = byte_tokenizer()
NANO = Path(__file__).parents[3] / "checkpoints" / "nano"
IDS = st.lists(st.one_of(st.none(), st.integers(0, VOCAB - 1)), min_size=1, max_size=12)


def run_by_run(ids: list[int | None], tokenizer: Tokenizer, *, special: bool = False) -> list[str]:
    texts: list[str] = []
    for masked, group in groupby(ids, key=lambda token: token is None):
        run, detokenizer = list(group), Detokenizer(tokenizer, special=special)
        shown = [PLACEHOLDER if token is None else detokenizer.push([token]) for token in run]
        texts += shown if masked else [*shown[:-1], shown[-1] + detokenizer.finish()]
    return texts


@settings(deadline=None)
@given(st.lists(IDS, min_size=1, max_size=5), st.booleans())
def test_texts_are_a_detokenizers_whatever_was_asked_before(asked: list[list[int | None]], special: bool) -> None:
    texts = TokenTexts(TOKENIZER)
    for ids in [*asked, asked[0]]:
        assert texts.of(ids, special=special) == run_by_run(ids, TOKENIZER, special=special)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.one_of(st.none(), st.integers(0, 2047)), min_size=1, max_size=32))
def test_texts_of_nanos_tokens_are_those_of_a_detokenizer(ids: list[int | None]) -> None:
    assert OF_NANO.of(ids, special=False) == run_by_run(ids, NANOS)


def test_special_tokens_have_a_text_only_where_it_is_asked_for() -> None:
    texts = TokenTexts(TOKENIZER)
    assert [texts.of([EOS], special=special) for special in (False, True, False)] == [[""], ["<eos>"], [""]]


def test_a_character_over_several_tokens_is_the_text_of_its_last_and_broken_where_a_mask_cuts_it() -> None:
    texts, (first, second) = TokenTexts(TOKENIZER), TOKENIZER.encode("é")
    assert texts.of([first, second], special=False) == ["", "é"]
    assert texts.of([first, None, second], special=False) == ["\ufffd", PLACEHOLDER, "\ufffd"]


def test_where_a_tokens_text_depends_on_those_before_it_is_read_with_them() -> None:
    backend = tokenizers.Tokenizer(models.BPE(vocab={"▁Hello": 0, "▁world": 1}, merges=[]))
    backend.decoder = decoders.Metaspace()
    tokenizer = Tokenizer(backend, None, {})
    assert not tokenizer.joins and TOKENIZER.joins
    assert TokenTexts(tokenizer).of([0, 1, None, 1], special=False) == ["Hello", " world", PLACEHOLDER, "world"]


def test_without_a_tokenizer_only_masks_have_a_text() -> None:
    assert TokenTexts(None).of([4, None, 5], special=False) == ["", PLACEHOLDER, ""]


def test_a_token_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer, decoded = byte_tokenizer(), list[Sequence[int]]()
    decode = tokenizer.decode

    def counted(ids: Sequence[int], *, special: bool = False) -> str:
        decoded.append(ids)
        return decode(ids, special=special)

    monkeypatch.setattr(tokenizer, "decode", counted)
    texts, ids = TokenTexts(tokenizer), tokenizer.encode("abca")
    assert texts.of(ids, special=False) == texts.of([*ids, None], special=False)[:-1] == [*"abca"]
    assert len(decoded) == 3


loaded = Tokenizer.load(NANO)
assert loaded is not None
NANOS = loaded
OF_NANO = TokenTexts(NANOS)
