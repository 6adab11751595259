"""The inputs that the calls of every engine have: positions, masks, the number of logit rows.

Pure functions of a row. Knows nothing of a graph's form, of slots or of devices.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .base import Bools, Ints, Row

LOGIT_ROWS_STEP = 8
"""Rows of logits of one call; the number asked for is rounded up to a multiple of this, so that few shapes occur."""
CACHED_SIZES = 256
"""Arrays that are remembered by size, the last ones used: the lengths of blocks and of prompt chunks recur."""


def rounded_rows(wanted: int, most: int) -> int:
    """Return how many rows of logits a call has if a row asks for `wanted`.

    That is `wanted` up to 1, then a multiple of LOGIT_ROWS_STEP, but not more than `most` unless more are wanted.
    """
    return wanted if wanted < 2 else min(-(-wanted // LOGIT_ROWS_STEP) * LOGIT_ROWS_STEP, max(most, wanted))


def fill_mask(own: npt.NDArray[np.bool_], row: Row) -> None:
    """Write into `own` (S, S), query by key, which of its new tokens each new token of `row` sees."""
    if isinstance(row.sees, np.ndarray):
        own[:] = row.sees
    else:
        own[:] = True if row.sees == "block" else lower_triangle(len(own))


def fill_positions(out: Ints, row: Row) -> None:
    """Write into `out` (S,) the position of each new token of `row`."""
    if row.positions is None:
        np.add(positions_from_zero(len(out)), row.start, out=out)
    else:
        out[:] = row.positions


class Singles(NamedTuple):
    """Rows of a single token each, which sees its slot's first `starts` entries and itself: an array entry for each."""

    tokens: Ints
    starts: Ints
    positions: Ints
    adapter: Bools  # whether it runs with the draft adapter

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Singles:
        """Take them apart."""
        starts = [row.start for row in rows]
        positions = [row.start if row.positions is None else row.positions[0] for row in rows]
        adapter = np.array([np.all(row.adapter) if row.adapter else False for row in rows], dtype=bool)
        return cls(np.concatenate([row.tokens for row in rows]), np.array(starts), np.array(positions), adapter)


@lru_cache(maxsize=CACHED_SIZES)
def lower_triangle(size: int) -> npt.NDArray[np.bool_]:
    """Return the (size, size) causal mask; do not write to it."""
    return np.tri(size, dtype=bool)


@lru_cache(maxsize=CACHED_SIZES)
def positions_from_zero(size: int) -> Ints:
    """Return (size,) int64: 0, 1, 2 …; do not write to it."""
    return np.arange(size, dtype=np.int64)
