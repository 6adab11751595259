"""The layout of a quadratic pass: who sees whom, where each token stands, which logits are asked for."""

from __future__ import annotations

import numpy as np
import pytest
from trimode.decoding.quadratic_pass import QuadraticPass
from trimode.decoding.quadratic_shape import QuadraticShape


def official(length: int, remaining: int | None = None) -> QuadraticPass:
    return QuadraticPass.of(QuadraticShape.official(length), length, remaining)


def test_a_draft_of_two_as_the_released_loop_lays_it_out() -> None:
    """Heads d0 d1, then the masks of d0 and those of d1."""
    layout = official(2)
    assert layout.offsets.tolist() == [0, 1, 1, 2, 2, 3]
    assert layout.want.tolist() == [0, 1, 3, 5]
    assert layout.is_mask.tolist() == [False, False, True, True, True, True]
    assert layout.sees.astype(int).tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 0, 1, 1, 0, 0],
        [1, 0, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 1],
        [1, 1, 0, 0, 1, 1],
    ]


@pytest.mark.parametrize("length", [2, 3, 4, 8, 16, 32])
def test_sizes_of_a_whole_pass(length: int) -> None:
    layout = official(length)
    assert len(layout.offsets) == length * (length + 1)
    assert len(layout.want) == length * length
    drafted = [layout.want[layout.drafted(group)] for group in range(length)]
    assert np.concatenate([np.arange(length), *drafted]).tolist() == layout.want.tolist()
    for group, rows in enumerate(drafted):
        assert layout.offsets[rows].tolist() == list(range(group + 2, group + length + 1))


@pytest.mark.parametrize("length", [2, 5, 16])
@pytest.mark.parametrize("remaining", range(1, 40))
def test_nothing_beyond_the_limit_is_computed(length: int, remaining: int) -> None:
    """The tokens still wanted stand at offsets 1 … remaining."""
    layout, whole = official(length, remaining), official(length)
    assert layout.heads == min(length, remaining)
    assert layout.offsets.max() <= remaining
    for group, count in enumerate(layout.masks):
        assert count == 0 or count == min(length, remaining - group)
        rows = layout.want[layout.drafted(group)]
        assert layout.offsets[rows].tolist() == list(range(group + 2, group + count + 1))
    if remaining >= 2 * length:
        assert layout.sees.tolist() == whole.sees.tolist()


def test_a_group_of_one_mask_drafts_nothing_and_is_left_out() -> None:
    assert official(4, 1).masks == (0,)
    assert official(4, 3).masks == (3, 2, 0)


def test_groups_of_any_size_see_the_draft_up_to_their_token_and_themselves() -> None:
    layout = QuadraticPass.of(QuadraticShape((3, 0), (4, 2, 2)), 3)
    assert layout.masks == (3, 0, 2)
    assert layout.offsets.tolist() == [0, 1, 2, 1, 2, 3, 3, 4]
    assert layout.want.tolist() == [0, 1, 2, 4, 5, 7]
    assert [layout.want[layout.drafted(group)].tolist() for group in range(3)] == [[4, 5], [], [7]]
    assert layout.sees.astype(int).tolist() == [
        [1, 0, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0, 0],
        *[[1, 0, 0, 1, 1, 1, 0, 0]] * 3,
        *[[1, 1, 1, 0, 0, 0, 1, 1]] * 2,
    ]
