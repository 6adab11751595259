"""The places that a picture takes in a prompt."""

from __future__ import annotations

import pytest
from trimode.bundle.vision_facts import PictureIds
from trimode.errors import RequestError
from trimode.vision.expansion import expand, expand_all, expanded_length

from tests.support.pictures import FACTS

IDS = FACTS.ids


def test_rows_of_cells_are_parted_by_breaks() -> None:
    assert expand((1, 1), IDS) == [18, 19, 21]
    assert expand((3, 2), IDS) == [18, 19, 19, 19, 20, 19, 19, 19, 21]
    assert len(expand((50, 50), IDS)) == expanded_length((50, 50)) == 2551


def test_each_start_becomes_a_picture_in_order() -> None:
    assert expand_all([5, 18, 6, 18], [(1, 1), (1, 2)], IDS, "input_ids") == [5, 18, 19, 21, 6, 18, 19, 20, 19, 21]


@pytest.mark.parametrize("ids", [[5], [18, 18], [18, 19], [18, 21]])
def test_other_numbers_of_starts_and_inner_ids_are_refused(ids: list[int]) -> None:
    with pytest.raises(RequestError, match="id 18 once for each") as caught:
        expand_all(ids, [(1, 1)], IDS, "input_ids")
    assert caught.value.error_type == "bad_image"


def test_the_ids_are_those_of_the_bundle() -> None:
    other = PictureIds(28, 29, 30, 31)
    assert expand((1, 2), other) == [28, 29, 30, 29, 31]
    assert expand_all([18, 28], [(1, 1)], other, "input_ids") == [18, 28, 29, 31]
    with pytest.raises(RequestError, match="id 28 once for each"):
        expand_all([18], [(1, 1)], other, "input_ids")
