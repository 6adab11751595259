"""A block whose text a guide holds: decided from the left, the dictated without a pass, nothing that does not fit."""

from __future__ import annotations

import numpy as np
import pytest
from trimode.api.defaults import Defaults
from trimode.api.params import GenerationParams
from trimode.decoding import guided_block
from trimode.decoding.choice import guided_token
from trimode.decoding.guide import only_allowed
from trimode.decoding.rules.tokens import Allowed
from trimode.decoding.sequence import SequenceState
from trimode.engines.base import Row, RowResult
from trimode.errors import RequestError

from tests.support.grammars import END, SIZE, ids, matcher, shown

MASK = 100
A, B, C = (ids(letter)[0] for letter in "abc")


def sequence(expression: str, **asked: object) -> SequenceState:
    given = {"input_ids": [3, 4], "mode": "diffusion", "max_tokens": 30, "block_length": 8, "end_id": END, **asked}
    params = GenerationParams.parse(given, Defaults(vocab_size=SIZE, block_length=8, end_id=END))
    seq = SequenceState(params, [3, 4], MASK, guide=matcher("regex", expression))
    seq.cached = 2
    return seq


def proposing(seq: SequenceState, tokens: list[int], strength: float = 20.0) -> tuple[Row, RowResult]:
    """A pass that proposes a token for each open position."""
    want = np.flatnonzero(seq.current.open)
    logits = np.zeros((len(want), SIZE), dtype=np.float32)
    logits[np.arange(len(want)), tokens[: len(want)]] = strength
    return Row(0, seq.current.tokens, 2, "block", want, keep=False), RowResult(logits, MASK)


def opened(seq: SequenceState, seed: int) -> SequenceState:
    seq.open_block(seed, {}, 8)
    guided_block.write_dictated(seq)
    return seq


def test_what_is_dictated_stands_in_the_block_before_its_first_pass() -> None:
    seq = opened(sequence("ab+(cab){2}c"), A)
    assert seq.current.tokens[1:3].tolist() == [B, MASK]
    assert seq.guide is not None and seq.guide.taken == 0


def test_proposals_are_walked_from_the_left_and_replaced_where_they_do_not_fit() -> None:
    seq = opened(sequence("[ab]{4}c"), A)
    guided_block.reveal(seq, *proposing(seq, [B, C, B, A, A, A, A]), stream=1)
    tokens = seq.current.tokens.tolist()
    assert tokens[:2] == [A, B]
    assert tokens[2] in (A, B, MASK)
    assert seq.guide is not None and seq.guide.taken == 0


def test_a_complete_text_closes_its_block() -> None:
    seq = opened(sequence("abc"), A)
    assert shown([token for token in seq.current.tokens.tolist() if token != END]) == "abc"
    assert not seq.current.open.any()


def test_an_unsure_proposal_waits_and_what_is_right_of_it_too() -> None:
    seq = opened(sequence("[abc]{8}"), A)
    row, result = proposing(seq, [B, B, A, B, A, B, A])
    result.logits[2] = 0.0
    guided_block.reveal(seq, row, result, stream=1)
    assert seq.current.open.tolist() == [False, False, False, True, True, True, True, True]
    assert seq.current.unrevealed == 5


def test_a_block_that_does_not_fit_is_known() -> None:
    seq = opened(sequence("[ab]{3}c"), A)
    assert seq.guide is not None
    seq.current.tokens[:4] = [A, B, A, C]
    assert guided_block.fits(seq.guide, seq.current, 0, 4)
    seq.current.tokens[2] = C
    assert not guided_block.fits(seq.guide, seq.current, 0, 4)


def test_what_rules_forbid_is_not_chosen_where_they_leave_nothing() -> None:
    seq = replace_rules(sequence("[abc]+", allowed_token_ids=[A]))
    forbidden = np.full((2, SIZE), -np.inf, dtype=np.float32)
    logits = np.zeros((2, SIZE), dtype=np.float32)
    logits[:, B] = 9.0
    result = RowResult(logits, MASK).reshaped(forbidden)
    assert result.line(1).stuck()
    assert result.part(slice(1, 2)).stuck(0)
    with pytest.raises(RequestError, match="allowed_token_ids must leave a token to choose at each place"):
        guided_token(seq, result, 1, 0, 0)
    assert seq.guide is not None
    with pytest.raises(RequestError, match="guided_decoding_guide must leave a token to choose at each place"):
        only_allowed(seq.guide, result, 1)


def replace_rules(seq: SequenceState) -> SequenceState:
    seq.rules = (Allowed(seq.params.choice.allowed_token_ids),)
    return seq


def test_no_token_at_all_is_an_error() -> None:
    seq = sequence("abc")
    assert seq.guide is not None
    logits = np.full((1, SIZE), -np.inf, dtype=np.float32)
    logits[0, B] = 0.0
    with pytest.raises(RequestError, match="must leave a token to choose at each place"):
        only_allowed(seq.guide, RowResult(logits, MASK), 0)
