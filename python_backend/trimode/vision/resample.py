"""Bicubic resizing as OpenCV's INTER_CUBIC does it, in numpy, separably: each side is resized by itself.

Four pixels of the original make each new one, however much it shrinks: there is no antialiasing, borders are repeated,
and results may lie outside 0 to 255. OpenCV itself needs numpy 2, and Triton's Python backend numpy 1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

A = -0.75
"""The kernel's parameter, as in OpenCV (cv::interpolateCubic); Pillow's bicubic has -0.5 and antialiases."""
BAND = 128
"""Rows of the result that are computed at once, which bounds the memory of what lies between."""


def resize(pixels: npt.NDArray[np.uint8], width: int, height: int) -> npt.NDArray[np.float32]:
    """Return `pixels` (H, W, C) resized to (height, width, C), in the range of the original but for overshoots."""
    rows, of_rows = taps(pixels.shape[0], height)
    columns, of_columns = taps(pixels.shape[1], width)
    used, columns = np.unique(columns, return_inverse=True)  # of a wide picture most columns are not looked at
    columns = columns.reshape(width, 4)
    if len(used) < pixels.shape[1]:
        pixels = pixels[:, used]
    result = np.empty((height, width, pixels.shape[2]), dtype=np.float32)
    for start in range(0, height, BAND):
        part = slice(start, min(start + BAND, height))
        tall = _weighted(pixels, rows[part], of_rows[part])  # (band, W, C)
        across = np.ascontiguousarray(tall.transpose(1, 0, 2))  # (W, band, C): whole rows are gathered quickest
        result[part] = _weighted(across, columns, of_columns).transpose(1, 0, 2)
    return result


def taps(size: int, wanted: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """Return which of `size` pixels make each of `wanted` new ones, (wanted, 4), and their weights, which sum to 1.

    Centres are aligned: the middle of new pixel d lies at (d + 0.5) size / wanted - 0.5 of the old ones.
    """
    centres = (np.arange(wanted) + 0.5) * (size / wanted) - 0.5
    first = np.floor(centres)
    x = centres - first  # 0 to 1 beyond the second of the four
    far, near = x + 1, 1 - x
    weights = np.empty((wanted, 4))
    weights[:, 0] = ((A * far - 5 * A) * far + 8 * A) * far - 4 * A
    weights[:, 1] = ((A + 2) * x - (A + 3)) * x * x + 1
    weights[:, 2] = ((A + 2) * near - (A + 3)) * near * near + 1
    weights[:, 3] = 1 - weights[:, :3].sum(axis=1)
    places = first[:, None].astype(np.intp) + np.arange(-1, 3)
    return np.clip(places, 0, size - 1), weights.astype(np.float32)


def _weighted(
    source: npt.NDArray[np.uint8] | npt.NDArray[np.float32],
    places: npt.NDArray[np.intp],
    weights: npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    """Return (N, …): for each of N new rows the sum of four rows of `source`, by `places` and `weights` (N, 4)."""
    total = source[places[:, 0]] * weights[:, 0, None, None]
    for tap in range(1, 4):
        total += source[places[:, tap]] * weights[:, tap, None, None]
    return np.asarray(total, dtype=np.float32)
