"""From a file to pixels: formats, colours over white, first frames, limits, and what is broken."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image
from trimode.errors import RequestError
from trimode.vision.limits import ImageLimits
from trimode.vision.picture_file import read, webp_size

from tests.support.pictures import noise, png_that_claims, saved

LIMITS = ImageLimits()


@pytest.mark.parametrize(("form", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_colours_without_loss_come_as_they_are(form: str, options: dict[str, object]) -> None:
    image = noise(33, 21)
    assert np.array_equal(read(saved(image, form, **options), LIMITS, "image"), np.asarray(image))


def test_a_jpeg_is_what_pillow_decodes() -> None:
    data = saved(noise(40, 30), "JPEG", quality=90)
    assert np.array_equal(read(data, LIMITS, "image"), np.asarray(Image.open(io.BytesIO(data))))


def test_transparent_colours_are_laid_over_white_in_eight_bits() -> None:
    """More rows than are converted at once; (c a + 255 (255 - a)) / 255, rounded."""
    image = noise(5, 600, 4)
    found = read(saved(image), LIMITS, "image").astype(int)
    rgba = np.asarray(image).astype(int)
    colour, alpha = rgba[..., :3], rgba[..., 3:]
    expected = (2 * (colour * alpha + 255 * (255 - alpha)) + 255) // 510
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "I;16"])
def test_every_mode_of_png_becomes_rgb(mode: str) -> None:
    data = saved(Image.new("L", (3, 2), 255).convert(mode) if mode != "I;16" else Image.new(mode, (3, 2), 65535))
    found = read(data, LIMITS, "image")
    assert found.shape == (2, 3, 3) and found.dtype == np.uint8 and np.all(found == 255)


def test_cmyk_and_grey_jpegs_become_rgb() -> None:
    assert np.all(read(saved(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG"), LIMITS, "image") > 250)
    assert np.ptp(read(saved(Image.new("L", (8, 8), 90), "JPEG"), LIMITS, "image")) <= 1


def test_a_palette_with_a_transparent_entry_is_white_there() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1])
    assert read(saved(image, transparency=1), LIMITS, "image")[0].tolist() == [[10, 20, 30], [255, 255, 255]]


@pytest.mark.parametrize(("form", "options"), [("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True})])
def test_of_an_animation_the_first_frame_counts(form: str, options: dict[str, object]) -> None:
    first, second = Image.new("RGB", (9, 7), (255, 0, 0)), Image.new("RGB", (9, 7), (0, 255, 0))
    data = saved(first, form, save_all=True, append_images=[second], **options)
    assert np.array_equal(read(data, LIMITS, "image"), np.asarray(first))


def test_the_orientation_of_exif_is_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read(saved(noise(30, 20), "JPEG", exif=exif), LIMITS, "image").shape == (20, 30, 3)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "image must not be empty, got 0 bytes"),
        (b"GIF89a", "image must be a GIF that can be decoded, got 6 bytes"),
        (b"%PDF-1.7 and so on", "image must be a PNG, JPEG, WebP or GIF, got 18 bytes that begin with 25 50 44 46"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image must be a PNG, JPEG, WebP or GIF"),
        (saved(noise(50, 50))[:900], "image must be a PNG that can be decoded"),
        (saved(noise(50, 50), "JPEG")[:700], "image must be a JPEG that can be decoded"),
        (saved(noise(50, 50), "WEBP")[:300], "image must be a WebP that can be decoded"),
        (saved(noise(9, 9), "BMP"), "image must be a PNG, JPEG, WebP or GIF"),
        (saved(noise(9, 9), "TIFF"), "image must be a PNG, JPEG, WebP or GIF"),
        (png_that_claims(60000, 60000), "image must have at most 50000000 pixels, got 60000 x 60000 pixels"),
        (png_that_claims(10, 10), "image must be a PNG that can be decoded"),
        (bytes(ImageLimits().most_bytes + 1), "image must have at most 20971520 bytes, got 20971521 bytes"),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(data: bytes, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        read(data, LIMITS, "image")
    assert str(caught.value).startswith(said)
    assert caught.value.error_type == "bad_image"


def test_a_limit_may_be_lower() -> None:
    with pytest.raises(RequestError, match="at most 99 pixels, got 10 x 10 pixels"):
        read(saved(noise(10, 10)), ImageLimits(most_pixels=99), "image")


@pytest.mark.parametrize("options", [{"lossless": True}, {"lossless": False}, {"save_all": True, "loop": 1}])
def test_the_size_of_a_webp_is_known_from_its_header(options: dict[str, object]) -> None:
    image = noise(37, 23)
    more = {"append_images": [noise(37, 24).crop((0, 0, 37, 23))]} if "save_all" in options else {}
    assert webp_size(saved(image, "WEBP", **options, **more)) == (37, 23)


def test_a_webp_that_claims_too_much_is_not_opened() -> None:
    claim = (16383).to_bytes(3, "little") * 2
    data = b"RIFF" + struct.pack("<I", 100) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + claim + bytes(80)
    with pytest.raises(RequestError, match="got 16384 x 16384 pixels"):
        read(data, LIMITS, "image")
