"""What the inputs of every engine's call have in common: expected values by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from trimode.engines.base import Row
from trimode.engines.inputs import Singles, fill_mask, lower_triangle, positions_from_zero, rounded_rows

OWN_MATRIX = np.array([[True, False], [False, True]])


@pytest.mark.parametrize(
    ("wanted", "most", "expected"),
    [(0, 64, 0), (1, 64, 1), (2, 64, 8), (9, 64, 16), (9, 12, 12), (9, 1, 9)],
)
def test_logit_rows_are_rounded_so_that_few_shapes_occur(wanted: int, most: int, expected: int) -> None:
    assert rounded_rows(wanted, most) == expected


@pytest.mark.parametrize(
    ("sees", "expected"),
    [("causal", [[1, 0], [1, 1]]), ("block", [[1, 1], [1, 1]]), (OWN_MATRIX, [[1, 0], [0, 1]])],
)
@pytest.mark.parametrize("before", [False, True])
def test_the_mask_of_new_tokens_is_what_the_row_says(sees: Any, expected: list[list[int]], *, before: bool) -> None:
    mask = np.full((3, 3), before)
    fill_mask(mask[:2, 1:], Row(0, np.array([5, 6]), 9, sees, np.array([1]), keep=True))
    assert mask[:2, 1:].astype(int).tolist() == expected
    assert (mask[2] == before).all() and (mask[:, 0] == before).all()


def test_what_recurs_is_made_once() -> None:
    assert positions_from_zero(3).tolist() == [0, 1, 2]
    assert lower_triangle(2).tolist() == [[True, False], [True, True]]
    assert positions_from_zero(3) is positions_from_zero(3)
    assert lower_triangle(2) is lower_triangle(2)


def test_single_tokens_are_taken_apart() -> None:
    rows = [
        Row(0, np.array([5]), 9, "causal", np.array([0]), keep=True),
        Row(2, np.array([6]), 3, "block", np.array([], np.int64), keep=False, adapter=True),
        Row(1, np.array([7]), 4, np.ones((1, 1), bool), np.array([0]), True, np.array([True]), np.array([8])),
    ]
    found = Singles.of(rows)
    assert (found.tokens.tolist(), found.starts.tolist()) == ([5, 6, 7], [9, 3, 4])
    assert (found.positions.tolist(), found.adapter.tolist()) == ([9, 3, 8], [False, True, True])
