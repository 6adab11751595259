"""Log-probabilities of given tokens, computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from trimode.engines.log_probs import log_norms, log_prob, log_probs_of

LOGITS = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]], dtype=np.float32)) + np.float32(3)


def test_a_tokens_log_probability_does_not_depend_on_what_is_added_to_all_logits() -> None:
    assert log_prob(LOGITS[0], 1) == pytest.approx(np.log(0.25))
    assert log_probs_of(LOGITS, np.array([0, 2])) == pytest.approx(np.log([0.5, 0.7]))


def test_norms_do_not_overflow() -> None:
    assert log_norms(LOGITS) == pytest.approx([3, 3])
    assert log_norms(np.array([[1e30, 1e30]], dtype=np.float32)) == pytest.approx([1e30])


def test_no_rows_have_no_log_probabilities() -> None:
    assert log_probs_of(LOGITS[:0], np.zeros(0, dtype=np.int64)).shape == (0,)
