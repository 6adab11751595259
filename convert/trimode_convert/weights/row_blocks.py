"""Weights as ONNX Runtime's MatMulNBits reads them: rows in blocks of codes around a middle, a scale for each block.

A matrix stays as it is stored, [out, in]. Arrays in, arrays out. Knows nothing about files, graphs or layers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..checkpoint.tensor_file import FloatArray

TILE = 64  # rows rounded at once: they fit the processor's cache, and the memory for it stays small


@dataclass(frozen=True)
class RowBlocks:
    """How a row is cut into blocks and rounded.

    Attributes:
        bits: of a code, 4 or 8. The middle, 8 or 128, stands for zero.
        size: how many inputs share a scale. 32 is the block of GGUF's Q4_0 and Q8_0.
        places: the codes, counted from the middle, that a block's largest value may be put at. Beyond the lowest or
            the highest code it is cut off, which makes the steps of the others finer. The place with the smallest
            squared error is used.
    """

    bits: int
    size: int
    places: tuple[float, ...]

    def count(self, width: int) -> int:
        """Return how many blocks a row of `width` inputs has; the last may be filled up with zeros."""
        return -(-width // self.size)

    @property
    def nbytes(self) -> int:
        """Bytes of a block's codes."""
        return self.size * self.bits // 8


# Q4_0 puts a block's largest value at -8 and Q8_0 at 127 or -127: their blocks come out as they are.
FOUR_BITS = RowBlocks(4, 32, (-8.0, -8.6, -9.3, 7.0, 7.6))
EIGHT_BITS = RowBlocks(8, 32, (127.0,))


def round_row_blocks(values: FloatArray, blocks: RowBlocks) -> tuple[NDArray[np.uint8], FloatArray]:
    """Round rows to codes  # values [n, in] -> codes uint8 [n, blocks, bytes], scales float32 [n, blocks].

    value ~ (code - middle) * scale. A scale may be negative. Of two 4-bit codes the first is in the low half of a byte.
    """
    rows, width = values.shape
    count = blocks.count(width)
    codes = np.empty((rows, count, blocks.nbytes), np.uint8)
    scales = np.empty((rows, count), np.float32)
    for start in range(0, rows, TILE):
        some = values[start : start + TILE]
        padded = np.pad(some, ((0, 0), (0, count * blocks.size - width)))
        whole, scales[start : start + TILE] = _nearest(padded.reshape(len(some), count, blocks.size), blocks)
        raised = (whole + np.float32(1 << (blocks.bits - 1))).astype(np.uint8)
        codes[start : start + TILE] = raised if blocks.bits == 8 else raised[..., 0::2] | (raised[..., 1::2] << 4)
    return codes, scales


def _nearest(parts: FloatArray, blocks: RowBlocks) -> tuple[FloatArray, FloatArray]:
    """Return codes from the middle [n, blocks, size] and scales [n, blocks], of the places the best for each block."""
    at = np.abs(parts).argmax(axis=2)[..., None]
    largest = np.take_along_axis(parts, at, axis=2)[..., 0]  # with its sign
    whole, scales = _placed(parts, largest, blocks, blocks.places[0])
    if len(blocks.places) > 1:
        error = _squared_error(parts, whole, scales)
        for place in blocks.places[1:]:
            other, other_scales = _placed(parts, largest, blocks, place)
            other_error = _squared_error(parts, other, other_scales)
            better = other_error < error
            error[better], scales[better], whole[better] = other_error[better], other_scales[better], other[better]
    return whole, scales


def _placed(parts: FloatArray, largest: FloatArray, blocks: RowBlocks, place: float) -> tuple[FloatArray, FloatArray]:
    middle = 1 << (blocks.bits - 1)
    scales = (largest / np.float32(place)).astype(np.float32)
    scales[scales == 0] = 1.0  # a block of zeros
    whole = np.rint(parts / scales[..., None])
    np.clip(whole, -middle, middle - 1, out=whole)
    return whole, scales


def _squared_error(parts: FloatArray, whole: FloatArray, scales: FloatArray) -> FloatArray:
    """Return the squared error of each block  # [n, blocks]."""
    off = whole * scales[..., None] - parts
    return np.asarray(np.einsum("nbk,nbk->nb", off, off), np.float32)
