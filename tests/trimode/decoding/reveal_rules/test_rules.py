"""The scores of the reveal rules, computed by hand, and what each rule declares."""

from __future__ import annotations

import numpy as np
from trimode.decoding.reveal_rules import entropy, leftmost, steps, threshold
from trimode.decoding.reveal_rules import margin as margin_module
from trimode.decoding.reveal_rules.base import confidence
from trimode.decoding.reveal_rules.entropy import negative_entropy
from trimode.decoding.reveal_rules.margin import margin

from tests.support.arrays import Array

LN2, LN3 = np.log(2), np.log(3)


def logs(*rows: list[float]) -> Array:
    return np.log(np.array(rows, dtype=np.float32))


def test_confidence_is_the_chosen_probability() -> None:
    chosen = np.array([0.25, 0.5], dtype=np.float32)
    assert confidence(np.zeros((2, 3), dtype=np.float32), chosen) is chosen


def test_margin_is_the_lead_over_the_second() -> None:
    logits = logs([0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.4, 0.4, 0.2])
    np.testing.assert_allclose(margin(logits, np.zeros(3, dtype=np.float32)), [0.2, 0.7, 0.0], atol=1e-6)


def test_negative_entropy_of_flat_half_and_certain() -> None:
    logits = np.array([[0, 0, 0], [0, 0, -1e9], [1e9, 0, 0]], dtype=np.float32)
    expected = [0.0, 1 - LN2 / LN3, 1.0]
    np.testing.assert_allclose(negative_entropy(logits, np.zeros(3, dtype=np.float32)), expected, atol=1e-6)


def test_rules_declare_what_they_look_at_and_from_where() -> None:
    rules = [module.RULE for module in (threshold, steps, leftmost, entropy, margin_module)]
    assert [rule.needs_logits for rule in rules] == [False, False, False, True, True]
    assert [rule.from_the_left for rule in rules] == [False, False, True, False, False]
