"""Patches: how pictures are cut for the tower, the same for every engine. Knows nothing of weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..bundle.vision_facts import VisionFacts
from ..errors import EngineError
from .base import Floats, Ints


class Patches(NamedTuple):
    """Pictures as one sequence of patches, cell by cell, those of a cell side by side.

    Attributes:
        values: (n, 3 * patch * patch) float32, of each patch its channels, rows and columns.
        positions: (n,) int64, row * side + column of each patch in its picture.
        starts: (pictures + 1,) int64, where each picture begins, and the end.
    """

    values: Floats
    positions: Ints
    starts: Ints

    @property
    def numbers(self) -> Ints:
        """(n,) int64, the number of each patch's picture."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    def split(self, rows: Floats, merge: int) -> list[Floats]:
        """Cut the rows of all cells, (cells, hidden), into those of each picture, each an array of its own."""
        return [one.copy() for one in np.split(rows, self.starts[1:-1] // merge**2)]


def cut(pictures: Sequence[Floats], facts: VisionFacts) -> Patches:
    """Cut pictures, (3, H, W) float32 each, into patches.

    Raises:
        EngineError: a side is no whole number of cells, or longer than the tower's positions reach.
    """
    values, positions, starts = list[Floats](), list[Ints](), [0]
    for picture in pictures:
        height, width = picture.shape[1:]
        if height % facts.cell or width % facts.cell or not 0 < max(height, width) <= facts.side * facts.patch:
            limit = f"whole cells of {facts.cell} pixels up to {facts.side * facts.patch}"
            raise EngineError(f"a picture of {width} x {height} pixels: expected {limit}")
        down, across = height // facts.cell, width // facts.cell
        grid = picture.reshape(3, down, facts.merge, facts.patch, across, facts.merge, facts.patch)
        values.append(grid.transpose(1, 4, 2, 5, 0, 3, 6).reshape(-1, 3 * facts.patch**2))
        places = np.arange(down * facts.merge)[:, None] * facts.side + np.arange(across * facts.merge)
        places = places.reshape(down, facts.merge, across, facts.merge).transpose(0, 2, 1, 3)
        positions.append(places.reshape(-1))
        starts.append(starts[-1] + len(values[-1]))
    return Patches(np.concatenate(values), np.concatenate(positions), np.array(starts, dtype=np.int64))
