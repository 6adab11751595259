"""Picture: what the vision tower reads of one picture, and `prepare`, which makes it from the bytes of a file.

Follows the family's preprocessing as the public mistral-common package and two ports of the official code have it; the
official file itself could not be seen. Knows nothing of prompts.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..api.rows.images import CELL, DEFAULT_MAX_IMAGE_SIZE, check_max_image_size
from .limits import ImageLimits
from .picture_file import read
from .resample import resize
from .size import cells_of
from .until import Until

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Of red, green and blue, as shares of full brightness: the constants of CLIP, with which the tower was trained."""
DIGEST_BYTES = 32


@dataclass(frozen=True, eq=False)
class Picture:
    """A prepared picture.

    Attributes:
        pixels: normalised, float32, (3, H, W) with H and W multiples of 28.
        cells: (across, down), of 28 x 28 pixels each.
        digest: names the pixels and the size setting that they were made with; equal pictures have equal digests.
    """

    pixels: npt.NDArray[np.float32]
    cells: tuple[int, int]
    digest: bytes


def prepare(
    data: bytes,
    max_image_size: int = DEFAULT_MAX_IMAGE_SIZE,
    *,
    limits: ImageLimits | None = None,
    field: str = "image_bytes_input",
    until: Until | None = None,
) -> Picture:
    """Return the picture of a PNG, JPEG, WebP or GIF file, resized and normalised.

    Args:
        data: the file's bytes.
        max_image_size: pixels of the longer side at most, a multiple of 28.
        limits: what is too large; the defaults without it.
        field: where it came from, for errors.
        until: heard once it is decoded; nothing is heard without it.

    Raises:
        RequestError: bad_image, for what is no picture or too large; invalid_value, for `max_image_size`.
        CancelledError, DeadlineError: see Until.check.
    """
    check_max_image_size("max_image_size", max_image_size)
    pixels = read(data, limits or ImageLimits(), field)  # (H, W, 3)
    if until is not None:
        until.check()
    cells = cells_of(pixels.shape[1], pixels.shape[0], max_image_size)
    normalised = normalise(resize_to(pixels, cells))
    normalised.setflags(write=False)
    return Picture(normalised, cells, digest_of(normalised, max_image_size))


def resize_to(pixels: npt.NDArray[np.uint8], cells: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Return pixels (H, W, 3) in the size of `cells`, as float32 from 0 to 255; those of that size are not changed."""
    width, height = cells[0] * CELL, cells[1] * CELL
    if pixels.shape[:2] == (height, width):
        return pixels.astype(np.float32)
    return resize(pixels, width, height)


def normalise(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return pixels (H, W, 3) of 0 to 255 as the tower takes them, (3, H, W)."""
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    planes /= np.float32(255)
    planes -= np.asarray(MEAN, dtype=np.float32)[:, None, None]
    planes /= np.asarray(STD, dtype=np.float32)[:, None, None]
    return planes


def digest_of(pixels: npt.NDArray[np.float32], max_image_size: int) -> bytes:
    """Return the name of prepared pixels (3, H, W) under a size setting, DIGEST_BYTES long."""
    found = hashlib.blake2b(digest_size=DIGEST_BYTES)
    found.update(f"{pixels.shape[1]} {pixels.shape[2]} {max_image_size} ".encode())
    found.update(np.ascontiguousarray(pixels, dtype="<f4").data)
    return found.digest()
