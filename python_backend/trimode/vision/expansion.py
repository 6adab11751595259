"""The places that a picture takes in a prompt, as ids, which the manifest of a bundle gives."""

from __future__ import annotations

from collections.abc import Sequence

from ..bundle.vision_facts import PictureIds
from ..errors import Described, RequestError


def expand(cells: tuple[int, int], places: PictureIds) -> list[int]:
    """Return the ids of a picture of (across, down) cells: 1 + down * (across + 1) of them."""
    across, down = cells
    row = [places.pad] * across
    return [places.start, *[*row, places.row_break] * (down - 1), *row, places.end]


def expanded_length(cells: tuple[int, int]) -> int:
    """Return how many places a picture of (across, down) cells takes."""
    return 1 + cells[1] * (cells[0] + 1)


def check_places(ids: Sequence[int], pictures: int, places: PictureIds, field: str) -> None:
    """Check that one id of a picture's start stands in a prompt for each picture.

    Args:
        ids: of the prompt.
        pictures: how many there are.
        field: where the ids came from, for errors.

    Raises:
        RequestError: bad_image; there are more or fewer of them, or an id of a place inside a picture.
    """
    if inside := next((token for token in ids if token in places[1:]), None):
        limit = f"must hold id {places.start} once for each picture, which the server expands"
        raise RequestError(field, limit, Described(f"id {inside}"), error_type="bad_image")
    if (found := sum(token == places.start for token in ids)) != pictures:
        limit = f"must hold id {places.start} once for each of {pictures} pictures"
        raise RequestError(field, limit, Described(f"{found} of them"), error_type="bad_image")


def expand_all(ids: Sequence[int], pictures: Sequence[tuple[int, int]], places: PictureIds, field: str) -> list[int]:
    """Return `ids` with each id of a picture's start replaced by the places of a picture, in order.

    Args:
        ids: of a prompt.
        pictures: the cells (across, down) of each.
        places: the ids of a picture's places.
        field: where the ids came from, for errors.

    Raises:
        RequestError: see check_places.
    """
    check_places(ids, len(pictures), places, field)
    left, result = iter(pictures), list[int]()
    for token in ids:
        result += expand(next(left), places) if token == places.start else [token]
    return result
