"""Weights as ONNX Runtime's MatMulNBits reads them: rows in blocks of codes around a middle, a scale for each block.

A matrix stays as it is stored, [out, in]. Arrays in, arrays out. Knows nothing about files, graphs or layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..checkpoint.tensor_file import FloatArray
from .rounding import packed

TILE = 64  # rows rounded at once: they fit the processor's cache, and the memory for it stays small


@dataclass(frozen=True)
class RowBlocks:
    """How a row is cut into blocks and rounded.

    Attributes:
        bits: of a code, 4 or 8.
        size: how many inputs share a scale. 32 is the block of GGUF's Q4_0 and Q8_0.
        shares: how much of the distance from a block's least to its largest value its codes may span. Each is tried,
            with the middles next to it, and what has the smallest squared error is used. Values beyond the span are cut
            off, which makes the steps of the others finer. None are tried where the middle is the same for all blocks.
    """

    bits: int
    size: int
    shares: tuple[float, ...] = ()

    def count(self, width: int) -> int:
        """Return how many blocks a row of `width` inputs has; the last may be filled up with zeros."""
        return -(-width // self.size)

    @property
    def nbytes(self) -> int:
        """Bytes of a block's codes."""
        return self.size * self.bits // 8

    @property
    def middle(self) -> int:
        """The code that stands for zero where blocks have no middle of their own."""
        return 1 << (self.bits - 1)


FOUR_BITS = RowBlocks(4, 32, (1.0, 0.95, 0.9, 0.85))
EIGHT_BITS = RowBlocks(8, 32)


class Rounded(NamedTuple):
    """Rows as codes: value ~ (code - middle) * scale. Of two 4-bit numbers the first is in the low half of a byte.

    Attributes:
        codes: uint8 [n, blocks, bytes].
        scales: float32 [n, blocks]; a scale may be negative.
        middles: uint8 [n, blocks / 2, rounded up], two in a byte; None where every block has the same.
    """

    codes: NDArray[np.uint8]
    scales: FloatArray
    middles: NDArray[np.uint8] | None


def round_row_blocks(values: FloatArray, blocks: RowBlocks) -> Rounded:
    """Round rows, values float32 [n, in]. Blocks of GGUF's Q4_0 and Q8_0 come out as they are."""
    rows, width = values.shape
    count = blocks.count(width)
    codes = np.empty((rows, count, blocks.nbytes), np.uint8)
    scales, middles = np.empty((rows, count), np.float32), np.empty((rows, count), np.uint8)
    for start in range(0, rows, TILE):
        tile = slice(start, start + TILE)
        padded = np.pad(values[tile], ((0, 0), (0, count * blocks.size - width)))
        whole, scales[tile], middles[tile] = _nearest(padded.reshape(-1, count, blocks.size), blocks)
        codes[tile] = whole if blocks.bits == 8 else packed(whole.astype(np.uint8))
    own = packed(np.pad(middles, ((0, 0), (0, count % 2)))) if blocks.shares else None
    return Rounded(codes, scales, own)


def _nearest(parts: FloatArray, blocks: RowBlocks) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return codes [n, blocks, size], scales and middles [n, blocks], of all that are tried the best for each block."""
    scales, middles = _gguf_grid(parts, blocks)
    whole = _codes(parts, scales, middles, blocks)
    if blocks.shares:
        error = _squared_error(parts, whole, scales, middles)
        for step, middle in _other_grids(parts, blocks):
            other = _codes(parts, step, middle, blocks)
            fitted = _least_squares(parts, other - middle[..., None], step)
            other_error = _squared_error(parts, other, fitted, middle)
            better = other_error < error
            error[better], scales[better], middles[better] = other_error[better], fitted[better], middle[better]
            whole[better] = other[better]
    return whole, scales, middles


def _gguf_grid(parts: FloatArray, blocks: RowBlocks) -> tuple[FloatArray, FloatArray]:
    """Return scales and middles [n, blocks] as Q4_0 has them, the largest value at -8, or Q8_0, at 127 or -127."""
    at = np.abs(parts).argmax(axis=2)[..., None]
    largest = np.take_along_axis(parts, at, axis=2)[..., 0]  # with its sign
    scales = largest / np.float32(-8 if blocks.bits == 4 else 127)
    return _no_zeros(scales), np.full(scales.shape, blocks.middle, np.float32)


def _other_grids(parts: FloatArray, blocks: RowBlocks) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Yield scales and middles [n, blocks] that span some share of a block's values, in 4 bits 15 steps."""
    low, high = parts.min(axis=2), parts.max(axis=2)
    last = np.float32((1 << blocks.bits) - 1)
    for share in blocks.shares:
        step = _no_zeros((high - low) * np.float32(share) / last)
        middle = (last - (low + high) / step) / 2
        for nearby in (np.floor(middle), np.ceil(middle)):
            yield step, nearby.clip(0, last)


def _codes(parts: FloatArray, scales: FloatArray, middles: FloatArray, blocks: RowBlocks) -> FloatArray:
    whole = np.rint(parts / scales[..., None])
    whole += middles[..., None]
    return whole.clip(0, (1 << blocks.bits) - 1, out=whole)


def _least_squares(parts: FloatArray, whole: FloatArray, scales: FloatArray) -> FloatArray:
    """Return the scales with which `whole` [n, blocks, size] is nearest; those given where all of it is zero."""
    size = np.einsum("nbk,nbk->nb", whole, whole)
    return np.where(size > 0, np.einsum("nbk,nbk->nb", whole, parts) / np.maximum(size, 1), scales).astype(np.float32)


def _squared_error(parts: FloatArray, whole: FloatArray, scales: FloatArray, middles: FloatArray) -> FloatArray:
    """Return the squared error of each block  # [n, blocks]."""
    off = (whole - middles[..., None]) * scales[..., None] - parts
    return np.asarray(np.einsum("nbk,nbk->nb", off, off), np.float32)


def _no_zeros(scales: FloatArray) -> FloatArray:
    """Return scales of 1 for blocks of one value, which has any scale."""
    return np.where(scales == 0, np.float32(1.0), scales).astype(np.float32)
