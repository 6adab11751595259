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
