"""How large a picture becomes: the size rule of the family, in cells of 28 x 28 pixels. Knows no pixels."""

from __future__ import annotations

from ..api.rows.images import CELL


def cells_of(width: int, height: int, max_image_size: int) -> tuple[int, int]:
    """Return the cells (across, down) of a picture of `width` x `height` pixels, each at least 1.

    The longer side becomes `max_image_size` if it is longer, the other one keeps the ratio, and both are rounded up to
    whole cells. As in mistral-common's image encoder, sides are rounded by Python's round, halves to even; a side that
    rounds to nothing counts as one pixel.
    """
    ratio = max(height / max_image_size, width / max_image_size)
    if ratio > 1:
        width, height = round(width / ratio), round(height / ratio)
    return max(-(-width // CELL), 1), max(-(-height // CELL), 1)
