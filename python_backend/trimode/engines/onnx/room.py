"""Room: memory that the calls of every shape share, since only one call runs at a time. Knows nothing of calls."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..base import Floats


class Room:
    """A buffer of float32 that grows. Arrays of any shape are views of its beginning, so they overlap.

    It begins as zeros, so that what no call wrote is a number; pages that no call touched take no memory.
    """

    def __init__(self) -> None:
        self._values = np.zeros(0, dtype=np.float32)

    @property
    def size(self) -> int:
        """Bytes, touched or not."""
        return self._values.nbytes

    def grow(self, shape: Sequence[int]) -> bool:
        """Make room for an array of `shape`; return whether arrays given before are views of other memory now."""
        count = math.prod(shape)
        if count <= self._values.size:
            return False
        self._values = np.zeros(1 << (count - 1).bit_length(), dtype=np.float32)  # doubling keeps moves rare
        return True

    def array(self, shape: Sequence[int]) -> Floats:
        """Return an array of `shape`, for which there must be room."""
        return self._values[: math.prod(shape)].reshape(shape)
