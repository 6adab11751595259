"""Pictures as the tower's rows: patches in the order of cells, several pictures in a row. Numpy; knows no network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
PATCH = 14
"""Pixels of a side of a patch; a cell is 2 x 2 of them."""
CELL = 2 * PATCH
VALUES = 3 * PATCH * PATCH


def cells_of(pixels: Pixels) -> tuple[int, int]:
    """Return the cells across and down of (H, W, 3). Raises ValueError unless both sides are whole cells."""
    height, width = pixels.shape[:2]
    if height % CELL or width % CELL:
        raise ValueError(f"a picture's sides must be multiples of {CELL} pixels, got {width} x {height}")
    return width // CELL, height // CELL


def patches_of(pixels: Pixels) -> tuple[Pixels, npt.NDArray[np.int64]]:
    """Return a picture's patches (patches, 588) and their rows and columns (patches, 2), four after another a cell.

    A patch's values are in the order of the convolution's weights: channel, row, column. Cells are in raster order, and
    so are the four patches of each.
    """
    across, down = cells_of(pixels)
    # (down, 2, 14, across, 2, 14, 3) -> (down, across, 2, 2, 3, 14, 14)
    split = pixels.reshape(down, 2, PATCH, across, 2, PATCH, 3).transpose(0, 3, 1, 4, 6, 2, 5)
    row, column = np.divmod(np.arange(4 * across * down).reshape(2 * down, 2 * across), 2 * across)
    places = np.stack([row, column], axis=-1).reshape(down, 2, across, 2, 2).transpose(0, 2, 1, 3, 4)
    return split.reshape(-1, VALUES), places.reshape(-1, 2)


@dataclass(frozen=True)
class PictureRows:
    """Pictures packed into rows of equal length; filling has picture -1.

    Attributes:
        patches: (rows, length, 588), 0 to 255.
        places: (rows, length, 2), row and column of a patch in its picture.
        picture: (rows, length), the number of its picture inside the row.
        pads: (text rows, text length), for each place of a text that takes a feature the number of its cell among all
            cells of all rows, and -1 elsewhere.
    """

    patches: Pixels
    places: npt.NDArray[np.int64]
    picture: npt.NDArray[np.int64]
    pads: npt.NDArray[np.int64]


class Gallery:
    """Rows of patches while they are filled."""

    def __init__(self, rows: int, length: int) -> None:
        if length % 4:
            raise ValueError(f"a row of patches must hold whole cells, so a multiple of 4, got {length}")
        self.length = length
        self.patches = np.zeros((rows, length, VALUES), dtype=np.uint8)
        self.places = np.zeros((rows, length, 2), dtype=np.int64)
        self.picture = np.full((rows, length), -1, dtype=np.int64)
        self.used, self.pictures = [0] * rows, [0] * rows

    def add(self, pictures: tuple[Pixels, ...]) -> list[int] | None:
        """Put pictures in the first rows that have room; returns their cells' numbers, or None where not all fit."""
        before, cells = (list(self.used), list(self.pictures)), list[int]()
        for pixels in pictures:
            size = 4 * np.prod(cells_of(pixels), dtype=int)
            row = next((row for row, used in enumerate(self.used) if used + size <= self.length), None)
            if row is None:
                self._forget(*before)
                return None
            start = self.used[row]
            self.patches[row, start : start + size], self.places[row, start : start + size] = patches_of(pixels)
            self.picture[row, start : start + size] = self.pictures[row]
            self.pictures[row] += 1
            self.used[row] += int(size)
            first = (row * self.length + start) // 4
            cells += range(first, first + int(size) // 4)
        return cells

    def _forget(self, used: list[int], pictures: list[int]) -> None:
        for row, (before, now) in enumerate(zip(used, self.used, strict=True)):
            self.picture[row, before:now] = -1
        self.used, self.pictures = used, pictures

    def rows(self, pads: npt.NDArray[np.int64]) -> PictureRows:
        """Return the rows, with the places of a text that take their cells."""
        return PictureRows(self.patches, self.places, self.picture, pads)
