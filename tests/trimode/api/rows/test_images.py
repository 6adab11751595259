"""How large a picture may be made."""

from __future__ import annotations

import pytest
from trimode.api.rows.images import DEFAULT_MAX_IMAGE_SIZE, MOST_IMAGE_SIZE, check_max_image_size
from trimode.errors import RequestError


def test_multiples_of_a_cell_within_the_bounds_are_taken() -> None:
    assert check_max_image_size("max_image_size", 28) == 28
    assert check_max_image_size("max_image_size", DEFAULT_MAX_IMAGE_SIZE) == MOST_IMAGE_SIZE


@pytest.mark.parametrize("size", [-28, 0, 27, 29, 1399, 1428])
def test_others_are_refused(size: int) -> None:
    with pytest.raises(RequestError, match="max_image_size must be"):
        check_max_image_size("max_image_size", size)
