"""What may be chosen from a row's logits, narrowed down."""

from __future__ import annotations

import numpy as np
import pytest
from trimode.engines.base import RowResult

LOGITS = np.array([[3.0, 2.0, 1.0, 0.0], [3.0, 2.0, 1.0, 0.0]], dtype=np.float32)
MASK = 3


def test_without_some_ids_the_next_best_is_chosen_and_the_rest_share_their_probability() -> None:
    narrowed = RowResult(LOGITS, MASK).without((0,))
    assert narrowed.top_id.tolist() == [1, 1]
    assert narrowed.top_prob.tolist() == pytest.approx([np.exp(2) / np.exp([2, 1, 0]).sum()] * 2)
    assert LOGITS[0, 0] == 3.0, "the engine's buffer is left alone"


def test_only_some_ids_can_be_chosen_in_some_rows() -> None:
    narrowed = RowResult(LOGITS, MASK).without((0,), {1: np.array([0, 2])})
    assert narrowed.top_id.tolist() == [1, 2]
    assert narrowed.top_prob[1] == pytest.approx(1.0)


def test_with_nothing_left_out_it_is_the_same_result() -> None:
    result = RowResult(LOGITS, MASK)
    assert result.without(()) is result and result.without((), {}) is result


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("at", range(4))
def test_one_logit_that_is_not_finite_is_noticed_wherever_it_is(value: float, at: int) -> None:
    for row in range(2):
        logits = LOGITS.copy()
        logits[row, at] = value
        assert not RowResult(logits, MASK).finite
        assert not RowResult(logits[row : row + 1], MASK).finite
    assert RowResult(LOGITS, MASK).finite and RowResult(LOGITS[:1], MASK).finite


def test_a_token_that_cannot_come_next_is_no_damage() -> None:
    logits = LOGITS.copy()
    logits[:, 1] = -np.inf
    assert RowResult(logits, MASK).finite
    assert not RowResult(np.full_like(LOGITS, -np.inf), MASK).finite, "no token can come next"


def test_a_pass_that_was_looked_at_can_still_be_spoiled() -> None:
    result = RowResult(LOGITS, MASK)
    assert result.finite
    result.spoil()
    assert not result.finite


def test_a_pass_without_logits_is_finite_unless_its_engine_says_otherwise() -> None:
    result = RowResult(LOGITS[:0], MASK)
    assert result.finite
    result.spoil()
    assert not result.finite


def test_log_probabilities_are_the_models_own_whatever_rules_changed() -> None:
    result, norm = RowResult(LOGITS, MASK), np.log(np.exp([3, 2, 1, 0]).sum())
    forbidden = result.reshaped(np.full_like(LOGITS, -1.0))
    for one in (result, forbidden):
        assert one.log_prob_of(1, 2) == pytest.approx(1 - norm)
        assert one.log_probs_of(np.array([0, 2])) == pytest.approx([3 - norm, 1 - norm])
        assert one.log_probs_of(np.array([1]), slice(1, 2)) == pytest.approx([2 - norm])
        assert one.log_probs_of(np.array([1]), np.array([False, True])) == pytest.approx([2 - norm])
