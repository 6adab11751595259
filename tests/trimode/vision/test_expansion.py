"""The places that a picture takes in a prompt."""

from __future__ import annotations

import pytest
from trimode.errors import RequestError
from trimode.vision.expansion import expand, expand_all, expanded_length


def test_rows_of_cells_are_parted_by_breaks() -> None:
    assert expand((1, 1)) == [18, 19, 21]
    assert expand((3, 2)) == [18, 19, 19, 19, 20, 19, 19, 19, 21]
    assert len(expand((50, 50))) == expanded_length((50, 50)) == 2551


def test_each_start_becomes_a_picture_in_order() -> None:
    assert expand_all([5, 18, 6, 18], [(1, 1), (1, 2)], "input_ids") == [5, 18, 19, 21, 6, 18, 19, 20, 19, 21]


@pytest.mark.parametrize("ids", [[5], [18, 18], [18, 19], [18, 21]])
def test_other_numbers_of_starts_and_inner_ids_are_refused(ids: list[int]) -> None:
    with pytest.raises(RequestError, match="id 18 once for each") as caught:
        expand_all(ids, [(1, 1)], "input_ids")
    assert caught.value.error_type == "bad_image"
