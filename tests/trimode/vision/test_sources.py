"""Base64 and data: URLs; what is neither goes to the fetcher."""

from __future__ import annotations

import base64

import pytest
from trimode.errors import RequestError
from trimode.vision.fetch import Fetcher
from trimode.vision.limits import ImageLimits
from trimode.vision.sources import of_base64, of_url
from trimode.vision.until import Until

LIMITS = ImageLimits(most_bytes=100)
DATA = bytes(range(70))
TEXT = base64.b64encode(DATA).decode()


def test_base64_with_line_ends_and_without_padding_is_read() -> None:
    assert of_base64(TEXT, LIMITS, "image") == DATA
    assert of_base64(f"{TEXT[:40]}\r\n{TEXT[40:]}\n", LIMITS, "image") == DATA
    assert of_base64(TEXT.rstrip("=").encode(), LIMITS, "image") == DATA


@pytest.mark.parametrize(
    "url",
    [
        f"data:image/png;base64,{TEXT}",
        f"DATA:;charset=x;BASE64,{TEXT}",
        f"data:image/png;base64,{TEXT.replace('+', '%2B').replace('=', '%3D')}",
        "data:image/png," + "".join(f"%{byte:02x}" for byte in DATA),
    ],
)
def test_a_data_url_holds_its_bytes(url: str) -> None:
    assert of_url(url, LIMITS, Fetcher(), "image", Until.of()) == DATA


@pytest.mark.parametrize(
    ("url", "error_type"),
    [
        ("data:image/png;base64,****", "bad_image"),
        ("data:image/png;base64,é", "bad_image"),
        ("data:image/png;base64", "bad_image_url"),
        ("data:" + "x" * 300 + ",", "bad_image_url"),
        ("data:;base64," + "A" * 1000, "bad_image"),
        ("data:," + "a" * 1000, "bad_image"),
        ("http://localhost/a.png", "bad_image_url"),
        ("file:///etc/passwd", "bad_image_url"),
    ],
)
def test_what_holds_no_picture_is_refused(url: str, error_type: str) -> None:
    with pytest.raises(RequestError) as caught:
        of_url(url, LIMITS, Fetcher(), "image", Until.of())
    assert caught.value.error_type == error_type
