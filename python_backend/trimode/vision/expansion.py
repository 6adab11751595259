"""The places that a picture takes in a prompt, as ids: constants of the family, in no file of a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence

from ..api.rows.images import IMAGE_BREAK, IMAGE_END, IMAGE_IDS, IMAGE_PAD, IMAGE_START
from ..errors import Described, RequestError


def expand(cells: tuple[int, int]) -> list[int]:
    """Return the ids of a picture of (across, down) cells: 1 + down * (across + 1) of them."""
    across, down = cells
    row = [IMAGE_PAD] * across
    return [IMAGE_START, *[*row, IMAGE_BREAK] * (down - 1), *row, IMAGE_END]


def expanded_length(cells: tuple[int, int]) -> int:
    """Return how many places a picture of (across, down) cells takes."""
    return 1 + cells[1] * (cells[0] + 1)


def expand_all(ids: Sequence[int], pictures: Sequence[tuple[int, int]], field: str) -> list[int]:
    """Return `ids` with each IMAGE_START replaced by the places of a picture, in order.

    Args:
        ids: of a prompt in which one IMAGE_START stands for each picture.
        pictures: the cells (across, down) of each.
        field: where the ids came from, for errors.

    Raises:
        RequestError: there are more or fewer of them than pictures, or an id of a place inside a picture.
    """
    if inside := next((token for token in ids if token in IMAGE_IDS[1:]), None):
        limit = f"must hold id {IMAGE_START} once for each picture, which the server expands"
        raise RequestError(field, limit, Described(f"id {inside}"), error_type="bad_image")
    if (places := sum(token == IMAGE_START for token in ids)) != len(pictures):
        limit = f"must hold id {IMAGE_START} once for each of {len(pictures)} pictures"
        raise RequestError(field, limit, Described(f"{places} of them"), error_type="bad_image")
    left, result = iter(pictures), list[int]()
    for token in ids:
        result += expand(next(left)) if token == IMAGE_START else [token]
    return result
