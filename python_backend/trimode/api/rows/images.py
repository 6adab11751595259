"""Pictures of a request: rows of the table, and how large a picture is made. Knows no pixels."""

from __future__ import annotations

from ...errors import RequestError

CELL = 28
"""Pixels of a side of a cell, of which the language model sees one feature row: 2 x 2 patches of 14."""
DEFAULT_MAX_IMAGE_SIZE = 1400
"""Pixels of the longer side at most: the family's own value, 50 cells."""
LEAST_IMAGE_SIZE = CELL
MOST_IMAGE_SIZE = 1400
"""The bounds of `max_image_size`, in pixels; above the family's own value no picture was read in training."""


def check_max_image_size(field: str, value: int) -> int:
    """Return a size that pictures can be made to fit.

    Raises:
        RequestError: it is out of bounds, or no multiple of 28.
    """
    if not LEAST_IMAGE_SIZE <= value <= MOST_IMAGE_SIZE:
        raise RequestError(field, f"must be between {LEAST_IMAGE_SIZE} and {MOST_IMAGE_SIZE}", value)
    if value % CELL:
        raise RequestError(field, f"must be a multiple of {CELL}", value)
    return value
