"""The resampler against a slow one, pixel by pixel, and against what must hold of the kernel."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from trimode.vision.resample import BAND, resize, taps


def kernel(x: float) -> float:
    """Keys' cubic with A = -0.75 (IEEE Trans. ASSP 29, 1981), in its own form."""
    a, x = -0.75, abs(x)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def slow(line: npt.NDArray[np.uint8], wanted: int) -> list[float]:
    """One side of one channel, with the border repeated."""
    size, found = len(line), []
    for new in range(wanted):
        centre = (new + 0.5) * size / wanted - 0.5
        near = range(math.floor(centre) - 1, math.floor(centre) + 3)
        found.append(sum(kernel(centre - at) * float(line[min(max(at, 0), size - 1)]) for at in near))
    return found


@pytest.mark.parametrize(("size", "wanted"), [(1, 28), (2, 28), (28, 28), (31, 56), (90, 28), (1000, 56), (57, 140)])
def test_each_side_is_what_the_kernel_makes_of_it(size: int, wanted: int) -> None:
    line = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8)
    across = resize(line[None, :, None], wanted, 1)
    down = resize(line[:, None, None], 1, wanted)
    assert across.dtype == np.float32 and across.shape == (1, wanted, 1)
    np.testing.assert_allclose(across[0, :, 0], slow(line, wanted), atol=2e-4)
    np.testing.assert_allclose(down[:, 0, 0], slow(line, wanted), atol=2e-4)


def test_both_sides_and_all_channels_are_resized_apart() -> None:
    """More rows than are computed at once."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (37, 300, 3), dtype=np.uint8)
    found = resize(pixels, 56, BAND + 12)
    whole = np.array([[slow(pixels[row, :, c], 56) for c in range(3)] for row in range(37)])  # (H, C, width)
    rows, weights = taps(37, BAND + 12)
    expected = np.einsum("nk,nkcw->nwc", weights, whole[rows])
    np.testing.assert_allclose(found, expected, atol=5e-4)


def test_one_colour_stays_and_an_edge_overshoots() -> None:
    assert np.allclose(resize(np.full((30, 50, 3), 77, dtype=np.uint8), 84, 28), 77, atol=1e-4)
    edge = np.repeat(np.array([0, 255], dtype=np.uint8), 10)[None, :, None]
    found = resize(edge, 56, 28)
    assert found.min() < -1 and found.max() > 256
