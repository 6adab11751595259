"""How large a picture becomes: the size rule of the family, in cells of 28 x 28 pixels. Knows no pixels."""

from __future__ import annotations

from ..api.rows.images import CELL, MOST_IMAGE_SIZE
from ..bundle.vision_facts import VisionFacts
from ..errors import BundleError


def check_facts(facts: VisionFacts, where: str) -> None:
    """Check that pictures of every size that a request may ask for can be cut for a tower.

    Args:
        where: the manifest's file, for errors.

    Raises:
        BundleError: its cells have another size, or the longest side is longer than it has positions for.
    """
    if facts.cell != CELL:
        raise BundleError(
            f"{where}: vision.patch x vision.merge must be {CELL} pixels, a cell's side, got {facts.cell}"
        )
    if facts.side * facts.patch < MOST_IMAGE_SIZE:
        limit = f"must be at least {MOST_IMAGE_SIZE} pixels, the longest side of a picture"
        raise BundleError(f"{where}: vision.side x vision.patch {limit}, got {facts.side * facts.patch}")


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
