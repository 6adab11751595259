"""How large a picture becomes."""

from __future__ import annotations

import pytest
from trimode.vision.size import cells_of


@pytest.mark.parametrize(
    ("width", "height", "cap", "cells"),
    [
        (1, 1, 1400, (1, 1)),
        (28, 28, 1400, (1, 1)),
        (29, 28, 1400, (2, 1)),
        (448, 336, 1400, (16, 12)),
        (1024, 768, 1400, (37, 28)),
        (1400, 1400, 1400, (50, 50)),
        (4000, 4000, 1400, (50, 50)),
        (1480, 58, 1400, (50, 2)),
        (224, 113, 112, (4, 2)),  # 56.5 rounds to 56
        (224, 115, 112, (4, 3)),  # 57.5 rounds to 58
        (20000, 3, 1400, (50, 1)),  # 0.2 rounds to nothing, and counts as one
        (3, 20000, 1400, (1, 50)),
    ],
)
def test_sides_shrink_to_the_cap_and_fill_whole_cells(
    width: int, height: int, cap: int, cells: tuple[int, int]
) -> None:
    assert cells_of(width, height, cap) == cells
