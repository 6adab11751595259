"""Parts that are pictures, how they go with other fields, and how large a picture may be made."""

from __future__ import annotations

import pytest
from trimode.api.rows.images import (
    DEFAULT_MAX_IMAGE_SIZE,
    MOST_IMAGE_SIZE,
    ImageSource,
    check_max_image_size,
    image_part,
)
from trimode.errors import RequestError

from tests.support.parsing import parse, unparsed


def test_multiples_of_a_cell_within_the_bounds_are_taken() -> None:
    assert check_max_image_size("max_image_size", 28) == 28
    assert check_max_image_size("max_image_size", DEFAULT_MAX_IMAGE_SIZE) == MOST_IMAGE_SIZE


@pytest.mark.parametrize("size", [-28, 0, 27, 29, 1399, 1428])
def test_others_are_refused(size: int) -> None:
    with pytest.raises(RequestError, match="max_image_size must be"):
        check_max_image_size("max_image_size", size)


@pytest.mark.parametrize(
    ("part", "kind", "value", "place"),
    [
        ({"type": "image_url", "image_url": {"url": "u", "detail": "low"}}, "url", "u", "p.image_url.url"),
        ({"type": "image_url", "image_url": "u"}, "url", "u", "p.image_url"),
        ({"type": "image", "url": "u"}, "url", "u", "p.url"),
        ({"type": "image", "image": "u"}, "url", "u", "p.image"),
        ({"type": "image", "base64": "b"}, "base64", "b", "p.base64"),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "m", "data": "b"}},
            "base64",
            "b",
            "p.source.data",
        ),
        ({"type": "image", "source": {"type": "url", "url": "u"}, "cache_control": {}}, "url", "u", "p.source.url"),
    ],
)
def test_a_part_is_a_picture_in_several_shapes(part: dict[str, object], kind: str, value: str, place: str) -> None:
    found = image_part("p", part)
    assert found is not None
    assert (found.kind, found.value, found.field) == (kind, value, place)
    assert image_part("p", {"type": "text", "text": "a"}) is None


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url"},
        {"type": "image_url", "image_url": {"url": 5}},
        {"type": "image_url", "image_url": "u", "more": 1},
        {"type": "image_url", "image_url": {"url": "u", "more": 1}},
        {"type": "image"},
        {"type": "image", "url": "u", "base64": "b"},
        {"type": "image", "source": {"type": "file"}},
        {"type": "image", "source": "u"},
        {"type": "image", "source": {"type": "base64"}},
    ],
)
def test_a_part_that_holds_no_picture_is_refused(part: dict[str, object]) -> None:
    with pytest.raises(RequestError):
        image_part("p", part)


def test_pictures_stand_in_the_order_of_the_request() -> None:
    params = parse(image_url_input=["u"], image_bytes_input=["b"])
    assert params.prompt.images == (
        ImageSource("base64", "b", "image_bytes_input[0]"),
        ImageSource("url", "u", "image_url_input[0]"),
    )
    assert params.echo()["max_image_size"] == DEFAULT_MAX_IMAGE_SIZE
    assert parse(image_url_input=[]).prompt.images == ()


@pytest.mark.parametrize(
    ("given", "error_type", "said"),
    [
        ({"max_image_size": 56}, "not_applicable", "needs a picture"),
        ({"max_image_size": 57, "image_url_input": ["u"]}, "invalid_value", "multiple of 28"),
        ({"image_url_input": ["u"] * 3}, "invalid_value", "at most 2 pictures"),
        ({"image_url_input": [5]}, "wrong_type", "must be a string"),
    ],
)
def test_what_does_not_go_together_is_refused(given: dict[str, object], error_type: str, said: str) -> None:
    error = unparsed({"text_input": "a", **given})
    assert error.error_type == error_type and said in str(error)
