"""Shapes of quadratic passes: the masks behind each token, by the draft's length."""

from __future__ import annotations

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
