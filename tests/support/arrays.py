"""The type of an array in a test, and how close two results of two engines must be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Arrays = Array | Sequence[Array] | Sequence[float]


def assert_close(actual: Arrays, expected: Arrays) -> None:
    """For logits that two engines, or two ways through one, have computed."""
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=0, atol=1e-4)


def close(one: Arrays, other: Arrays) -> bool:
    return np.allclose(np.asarray(one), np.asarray(other), rtol=0, atol=1e-4)
