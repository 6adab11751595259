"""The rules of single tokens, on values worked out by hand."""

from __future__ import annotations

import numpy as np
from trimode.decoding.rules.base import LogitRule, Places
from trimode.decoding.rules.tokens import Allowed, Bad, Bias, NoEarlyEnd


def shaped(rule: LogitRule, indices: list[int] | None = None) -> list[list[float]]:
    indices = indices or [0]
    scores = np.tile(np.array([0.0, 1.0, 2.0, 3.0], dtype=np.float32), (len(indices), 1))
    rule.shape(scores, Places(np.array(indices), lambda index: None))
    rows: list[list[float]] = scores.tolist()
    return rows


NEVER = float("-inf")


def test_a_bias_is_added() -> None:
    assert shaped(Bias({1: 5.0, 3: -2.5})) == [[0.0, 6.0, 2.0, 0.5]]


def test_only_what_is_allowed_is_left() -> None:
    assert shaped(Allowed([2, 0, 2])) == [[0.0, NEVER, 2.0, NEVER]]


def test_what_is_bad_is_forbidden() -> None:
    assert shaped(Bad([3, 1])) == [[0.0, NEVER, 2.0, NEVER]]


def test_ends_are_forbidden_up_to_the_least_length() -> None:
    rows = shaped(NoEarlyEnd(2, [0, 3]), [0, 1, 2])
    assert rows == [[NEVER, 1.0, 2.0, NEVER], [NEVER, 1.0, 2.0, NEVER], [0.0, 1.0, 2.0, 3.0]]
