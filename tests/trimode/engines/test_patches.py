"""Pictures are cut into patches cell by cell, and what comes of them goes back to each."""

from __future__ import annotations

import numpy as np
import pytest
from trimode.bundle.vision_facts import VisionFacts
from trimode.engines.base import Floats
from trimode.engines.patches import cut
from trimode.errors import EngineError

FACTS = VisionFacts(patch=2, merge=2, side=6, start=18, pad=19, row_break=20, end=21)


def picture(height: int, width: int) -> Floats:
    """Each value says its channel, row and column."""
    channels, rows, columns = np.indices((3, height, width))
    return np.asarray(channels * 10000 + rows * 100 + columns, dtype=np.float32)


def test_patches_of_a_cell_lie_side_by_side() -> None:
    found = cut([picture(4, 8)], FACTS)
    corners = [(0, 0), (0, 2), (2, 0), (2, 2), (0, 4), (0, 6), (2, 4), (2, 6)]
    assert [(int(one[0]) // 100, int(one[0]) % 100) for one in found.values] == corners
    assert found.positions.tolist() == [0, 1, 6, 7, 2, 3, 8, 9]


def test_a_patch_is_its_channels_rows_and_columns() -> None:
    (patch, *_) = cut([picture(4, 4)], FACTS).values
    assert patch.tolist() == [0, 1, 100, 101, 10000, 10001, 10100, 10101, 20000, 20001, 20100, 20101]


def test_pictures_of_any_size_are_one_sequence() -> None:
    found = cut([picture(4, 4), picture(8, 4), picture(4, 8)], FACTS)
    assert found.starts.tolist() == [0, 4, 12, 20]
    assert found.numbers.tolist() == [0] * 4 + [1] * 8 + [2] * 8
    rows = np.arange(5.0, dtype=np.float32)[:, None]
    assert [one[:, 0].tolist() for one in found.split(rows, FACTS.merge)] == [[0], [1, 2], [3, 4]]


@pytest.mark.parametrize(("height", "width"), [(4, 6), (2, 4), (4, 16), (16, 4), (0, 0)])
def test_sides_that_are_no_cells_or_too_long_are_refused(height: int, width: int) -> None:
    with pytest.raises(EngineError, match=f"{width} x {height} pixels: expected whole cells of 4 pixels up to 12"):
        cut([picture(height, width)], FACTS)
