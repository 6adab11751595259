"""What is asked to be sent back."""

from __future__ import annotations

import pytest
from trimode.api.rows.returns import ReturnOptions


@pytest.mark.parametrize(
    ("asked", "probs", "causal"),
    [
        (ReturnOptions(), False, False),
        (ReturnOptions(stream_provisional=True), True, False),
        (ReturnOptions(return_log_probs=True), True, False),
        (ReturnOptions(return_log_probs=True, log_probs_kind="causal"), True, True),
        (ReturnOptions(log_probs_kind="causal"), False, False),
    ],
)
def test_probabilities_are_kept_for_who_asks_for_them(asked: ReturnOptions, probs: bool, causal: bool) -> None:
    assert (asked.wants_probs, asked.causal_log_probs) == (probs, causal)
