"""Where rules meet logits: which tokens each row of a pass sees around its place, and what comes of no token at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from trimode.api.defaults import Defaults
from trimode.api.params import GenerationParams
from trimode.decoding.choice import next_token
from trimode.decoding.rules.tokens import Allowed, Bad
from trimode.decoding.sequence import Phase, SequenceState
from trimode.decoding.shaping import places_of, shaped, surest_first
from trimode.engines.base import Row, RowResult
from trimode.errors import RequestError

MASK = 1
PROMPT = [3, 4, 5]


def sequence(**given: Any) -> SequenceState:
    asked = {"input_ids": PROMPT, "max_tokens": 6, "mode": "diffusion", **given}
    params = GenerationParams.parse(asked, Defaults(vocab_size=10, block_length=4, end_id=0))
    return SequenceState(params, PROMPT, MASK, slot=0)


def known(seq: SequenceState, row: Row) -> list[tuple[list[int], list[int]]]:
    """The tokens before and after the place of each row."""
    places = places_of(seq, row, row.want)
    return [(list(places.before(line)), list(places.after(line))) for line in range(len(row.want))]


def test_the_prompt_is_no_part_of_the_answer() -> None:
    seq = sequence()
    assert known(seq, Row(0, np.array(PROMPT), 0, "causal", np.array([2]), keep=True)) == [([], [])]


def test_a_row_of_a_verification_sees_the_draft_before_it() -> None:
    seq = sequence()
    seq.tokens = [6]
    row = Row(0, np.array([6, 7, 8]), 3, "causal", np.arange(3), keep=True)
    assert known(seq, row) == [([6], []), ([7, 6], []), ([8, 7, 6], [])]
    assert places_of(seq, row, row.want).indices.tolist() == [1, 2, 3]


def test_a_place_in_a_block_sees_what_is_decided_on_both_sides() -> None:
    seq = sequence()
    seq.tokens, seq.cached = [6, 7], 5
    seq.open_block(8, {}, 4)
    block = seq.current
    block.tokens[2], block.open[2] = 9, False
    row = Row(0, block.tokens.copy(), block.start, "block", np.flatnonzero(block.open), keep=False)
    assert known(seq, row) == [([8, 7, 6], [9]), ([9], [])]


def test_masks_beyond_the_limit_are_not_decided() -> None:
    seq = sequence()
    seq.tokens, seq.cached = [6, 7, 8, 9], 7
    seq.open_block(2, {}, 2)
    row = Row(0, seq.current.tokens.copy(), 7, "block", np.array([1]), keep=False)
    assert known(seq, row) == [([2, 9, 8, 7, 6], [])]


def test_scores_are_not_touched() -> None:
    seq = sequence()
    seq.rules, seq.phase = (Bad([2]),), Phase.SCORE
    result = RowResult(np.zeros((1, 10), dtype=np.float32), MASK)
    assert shaped(seq, Row(0, np.array([6]), 3, "causal", np.array([0]), keep=True), result) is result


def test_the_models_own_logits_stay_beside_the_changed_ones() -> None:
    seq = sequence(mode="autoregressive", return_log_probs=True)
    seq.rules = (Bad([9]),)
    logits = np.arange(10, dtype=np.float32)[None]
    row = Row(0, np.array(PROMPT), 0, "causal", np.array([2]), keep=True)
    token, log_prob = next_token(seq, shaped(seq, row, RowResult(logits, MASK)), 0, 0)
    assert token == 8
    assert log_prob == pytest.approx(8 - np.log(np.exp(np.arange(10.0)).sum()))  # 9 counts though it is forbidden


def test_no_token_at_all_is_an_error_that_names_the_fields() -> None:
    seq = sequence(mode="autoregressive")
    seq.rules = (Allowed([MASK, 9]), Bad([9]))
    row = Row(0, np.array(PROMPT), 0, "causal", np.array([2]), keep=True)
    result = shaped(seq, row, RowResult(np.zeros((1, 10), dtype=np.float32), MASK))
    with pytest.raises(RequestError, match="must leave a token to choose at each place, got none after 0 tokens") as at:
        next_token(seq, result, 0, 0)
    assert (at.value.field, at.value.error_type) == ("allowed_token_ids, bad_token_ids", "not_applicable")


def test_the_surest_come_first_and_equals_from_the_left() -> None:
    kept = np.array([True, False, True, True])
    assert surest_first(kept, np.array([0.2, 0.9, 0.5, 0.5], dtype=np.float32)).tolist() == [2, 3, 0]
