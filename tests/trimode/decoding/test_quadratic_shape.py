"""Shapes of quadratic passes: the masks behind each token, by the draft's length."""

from __future__ import annotations

import pytest
from trimode.decoding.quadratic_shape import QuadraticShape


def test_the_released_shape_has_as_many_masks_everywhere_whatever_the_drafts_length() -> None:
    shape = QuadraticShape.official(4)
    assert [shape.masks(heads) for heads in (1, 3, 4)] == [(4,), (4, 4, 4), (4, 4, 4, 4)]
    assert shape.length == 4


def test_in_two_passes_only_a_single_token_has_masks() -> None:
    shape = QuadraticShape.two_pass(4)
    assert [shape.masks(heads) for heads in (1, 2, 4)] == [(4,), (0, 0), (0, 0, 0, 0)]


def test_the_last_token_of_a_draft_has_masks_of_its_own() -> None:
    shape = QuadraticShape((2, 0, 0), (4, 3, 2, 4))
    assert [shape.masks(heads) for heads in (1, 2, 3, 4)] == [(4,), (2, 3), (2, 0, 2), (2, 0, 0, 4)]


def test_a_draft_of_another_shape_may_be_longer() -> None:
    """As where the shape is changed between two passes."""
    assert QuadraticShape((2,), (3, 2)).masks(5) == (2, 2, 0, 0, 0)


@pytest.mark.parametrize("shape", [QuadraticShape.official(4), QuadraticShape.two_pass(4)])
def test_a_shape_whose_longest_drafts_are_met_stays_as_it_is(shape: QuadraticShape) -> None:
    assert shape.up_to(shape.reached) == shape


def test_drafts_that_no_other_leads_to_are_left_out() -> None:
    none = (0,) * 8

    def cut(inner: tuple[int, ...], last: tuple[int, ...]) -> QuadraticShape:
        shape = QuadraticShape(inner, last)
        return shape.up_to(shape.reached)

    assert cut(none[:7], (3, *none[:7])) == QuadraticShape.two_pass(3)
    assert cut(none[:7], (2, 5, *none[:6])) == QuadraticShape(none[:4], (2, 5, 0, 0, 0))
    assert cut((4, *none[:6]), none) == QuadraticShape((), (0,))  # nothing follows a single token
