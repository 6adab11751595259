"""A prepared picture: its pixels, its cells, and its name."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from trimode.api.rows.images import CELL
from trimode.errors import RequestError
from trimode.vision.limits import ImageLimits
from trimode.vision.picture import MEAN, STD, digest_of, normalise, prepare, resize_to

from tests.support.pictures import noise, saved


def test_a_picture_of_whole_cells_is_normalised_and_not_resized() -> None:
    image = noise(2 * CELL, CELL)
    picture = prepare(saved(image))
    assert picture.cells == (2, 1)
    assert picture.pixels.shape == (3, CELL, 2 * CELL) and picture.pixels.dtype == np.float32
    expected = (np.asarray(image).transpose(2, 0, 1) / 255 - np.array(MEAN)[:, None, None]) / np.array(STD)[
        :, None, None
    ]
    np.testing.assert_allclose(picture.pixels, expected, atol=1e-6)
    assert not picture.pixels.flags.writeable


def test_what_is_larger_than_the_setting_shrinks_to_it() -> None:
    data = saved(noise(200, 100))
    assert prepare(data).cells == (8, 4)
    assert prepare(data, 112).cells == (4, 2)
    assert prepare(data, 28).cells == (1, 1)


def test_the_digest_names_pixels_and_setting() -> None:
    image, other = noise(56, 28), noise(28, 56)
    name = prepare(saved(image)).digest
    assert name == prepare(saved(image, "WEBP", lossless=True)).digest  # another file of the same pixels
    assert len({name, prepare(saved(image), 84).digest, prepare(saved(other)).digest}) == 3
    pixels = normalise(resize_to(np.asarray(image), (2, 1)))
    assert digest_of(pixels, 1400) == name
    assert digest_of(np.ascontiguousarray(pixels.reshape(3, 56, 28)), 1400) != name


@pytest.mark.parametrize(
    ("size", "said"),
    [(0, "between 28 and 1400, got 0"), (1428, "between 28 and 1400"), (100, "a multiple of 28, got 100")],
)
def test_a_setting_that_fits_no_cells_is_refused(size: int, said: str) -> None:
    with pytest.raises(RequestError, match=said) as caught:
        prepare(saved(noise(9, 9)), size)
    assert caught.value.field == "max_image_size"


def test_extreme_pictures_become_at_least_one_cell() -> None:
    assert prepare(saved(noise(1, 1))).cells == (1, 1)
    assert prepare(saved(Image.new("RGB", (20000, 3), "red"))).cells == (50, 1)


def test_limits_and_the_field_are_the_callers() -> None:
    with pytest.raises(RequestError, match=r"^messages\[0\] must have at most 5 bytes"):
        prepare(saved(noise(9, 9)), limits=ImageLimits(most_bytes=5), field="messages[0]")
