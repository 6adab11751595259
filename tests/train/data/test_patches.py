"""Pictures as rows of patches: values in the order of the convolution, cells in raster order, nothing lost."""

from __future__ import annotations

import numpy as np
import pytest
from trimode_train.data.patches import Gallery, Pixels, cells_of, patches_of

RNG = np.random.default_rng(0)


def picture(across: int, down: int) -> Pixels:
    return RNG.integers(0, 256, (28 * down, 28 * across, 3), dtype=np.uint8)


def test_a_patch_holds_the_pixels_of_its_place_by_channel_row_and_column() -> None:
    pixels = picture(3, 2)
    patches, places = patches_of(pixels)
    assert patches.shape == (24, 588) and len({tuple(place) for place in places}) == 24
    for values, (row, column) in zip(patches, places, strict=True):
        block = pixels[14 * row : 14 * row + 14, 14 * column : 14 * column + 14]
        assert np.array_equal(values.reshape(3, 14, 14), block.transpose(2, 0, 1))


def test_four_patches_after_another_make_a_cell_in_raster_order() -> None:
    places = patches_of(picture(3, 2))[1].reshape(6, 4, 2)
    assert (places // 2 == places[:, :1] // 2).all()
    assert [tuple(cell) for cell in places[:, 0] // 2] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    assert [tuple(place) for place in places[0]] == [(0, 0), (0, 1), (1, 0), (1, 1)]


@pytest.mark.parametrize("shape", [(27, 28, 3), (28, 30, 3)])
def test_sides_must_be_whole_cells(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="multiples of 28"):
        cells_of(np.zeros(shape, dtype=np.uint8))


def test_pictures_are_put_where_there_is_room_and_all_or_none_of_a_document() -> None:
    gallery = Gallery(2, 32)
    one, two, three = picture(4, 1), picture(2, 3), picture(4, 1)  # 16, 24 and 16 patches
    assert gallery.add((one,)) == [0, 1, 2, 3]
    assert gallery.add((two,)) == [8, 9, 10, 11, 12, 13]
    assert gallery.add((three, three)) is None
    assert gallery.add((three,)) == [4, 5, 6, 7]
    rows = gallery.rows(np.zeros((1, 1), dtype=np.int64))
    assert rows.picture.tolist() == [[0] * 16 + [1] * 16, [0] * 24 + [-1] * 8]
    assert np.array_equal(rows.patches[0, 16:], patches_of(three)[0])
    assert np.array_equal(rows.places[1, :24], patches_of(two)[1])


def test_a_row_holds_whole_cells() -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        Gallery(1, 30)
