"""The engine's weight file: first a layout of names, offsets and sizes, then one streaming pass that fills it.

Because the layout needs only shapes, the graph and the file's size are known before any weight is read. Knows how a
tensor is laid out and rounded for the graph; does not know what the graph does with it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from trimode.errors import CheckpointError

from ..checkpoint.tensor_file import FloatArray, Tensor
from .rounding import ITEM_BITS, Codes, packed, round_blocks, shared_scale, stored
from .row_blocks import RowBlocks, round_row_blocks

ALIGNMENT = 4096  # bytes; a page, so that a runtime can map each weight by itself
TILE = 32  # rows transposed at once: they fit the processor's cache, which is three times as fast as a whole slice


@dataclass(frozen=True)
class Blob:
    """One named array in the weight file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def nbytes(self) -> int:
        """Its size in bytes, without padding."""
        return self.bytes_of(math.prod(self.shape))

    def bytes_of(self, count: int) -> int:
        """Return the bytes of `count` of its values; for 4-bit values `count` is even."""
        return count * ITEM_BITS[self.dtype] // 8


@dataclass(frozen=True)
class Part:
    """A stored [out, in] tensor that becomes columns of a matrix, multiplied by a factor."""

    tensor: Tensor
    factor: float = 1.0


@dataclass(frozen=True)
class Quantized:
    """A matrix as codes, its scales, and for NVFP4 the scale of the scales."""

    codes: Blob  # [in, out]
    scales: Blob  # (out,) or [in / block, out]
    shared: Blob | None  # ()


@dataclass(frozen=True)
class Blocks:
    """A matrix of `width` inputs in blocks of its rows; see row_blocks.Rounded for its arrays."""

    form: RowBlocks
    width: int
    codes: Blob  # [out, blocks, bytes]
    scales: Blob  # [out, blocks]
    middles: Blob | None  # [out, blocks / 2]


Fill = Callable[["Sink"], None]


@dataclass
class WeightLayout:
    """The contents of the weight file, in order, and how each blob is filled when the file is written."""

    blobs: list[Blob] = field(default_factory=list)
    total_bytes: int = 0
    _fills: list[Fill] = field(default_factory=list)

    def copy(self, name: str, tensor: Tensor, dtype: str = "float32") -> Blob:
        """Add a tensor with its axes as they are stored."""
        blob = self._reserve(name, dtype, tensor.shape)
        width = math.prod(tensor.shape[1:])

        def fill(sink: Sink) -> None:
            for row, values in tensor.slices():
                sink.write(blob, row * width, _stored(values, dtype, tensor))

        self._fills.append(fill)
        return blob

    def array(self, name: str, make: Callable[[], NDArray[Any]], shape: tuple[int, ...]) -> Blob:
        """Add a computed float32 array; `make` runs when the file is written."""
        blob = self._reserve(name, "float32", shape)
        self._fills.append(lambda sink: sink.write(blob, 0, make()))
        return blob

    def matrix(self, name: str, parts: Sequence[Part], dtype: str = "float32") -> Blob:
        """Add a matrix [in, out]: the parts transposed, side by side."""
        blob = self._reserve(name, dtype, _joined_shape(parts))

        def fill(sink: Sink) -> None:
            for part, column, values in _columns(parts):
                sink.write_columns(blob, column, _stored(values, dtype, part.tensor))

        self._fills.append(fill)
        return blob

    def int8_matrix(self, name: str, parts: Sequence[Part], *, scale_factor: float) -> tuple[Blob, Blob]:
        """Add a matrix [in, out] in symmetric int8 and each output channel's scale times `scale_factor`  # (out,)."""
        blob = self._reserve(name, "int8", _joined_shape(parts))
        scales = self._reserve(f"{name}.scale", "float32", blob.shape[1:])

        def fill(sink: Sink) -> None:
            for _, column, values in _columns(parts):
                whole, scale = round_rows(values)
                sink.write_columns(blob, column, whole)
                sink.write(scales, column, _scaled(scale, scale_factor))

        self._fills.append(fill)
        return blob, scales

    def int8_rows(self, name: str, tensor: Tensor) -> tuple[Blob, Blob]:
        """Add a tensor as it is stored, in symmetric int8, and the scale of each of its rows  # (rows,)."""
        blob = self._reserve(name, "int8", tensor.shape)
        scales = self._reserve(f"{name}.scale", "float32", tensor.shape[:1])

        def fill(sink: Sink) -> None:
            for row, values in tensor.slices():
                whole, scale = round_rows(values)
                sink.write(blob, row * tensor.shape[1], whole)
                sink.write(scales, row, scale)

        self._fills.append(fill)
        return blob, scales

    def row_blocks(self, name: str, parts: Sequence[Part], blocks: RowBlocks) -> Blocks:
        """Add the parts' rows, one part after the other, as codes, scales and middles of blocks."""
        width, rows = _joined_shape(parts)
        count, pairs = blocks.count(width), -(-blocks.count(width) // 2)
        codes = self._reserve(name, "uint8", (rows, count, blocks.nbytes))
        scales = self._reserve(f"{name}.scale", "float32", (rows, count))
        middles = self._reserve(f"{name}.middle", "uint8", (rows, pairs)) if blocks.shares else None

        def fill(sink: Sink) -> None:
            for _, row, values in _columns(parts):
                rounded = round_row_blocks(values, blocks)
                sink.write(codes, row * count * blocks.nbytes, rounded.codes)
                sink.write(scales, row * count, rounded.scales)
                if middles is not None and rounded.middles is not None:
                    sink.write(middles, row * pairs, rounded.middles)

        self._fills.append(fill)
        return Blocks(blocks, width, codes, scales, middles)

    def quantized(self, name: str, parts: Sequence[Part], codes: Codes, scale_dtype: str) -> Quantized:
        """Add a matrix [in, out] as codes, with scales in `scale_dtype`; NVFP4's are in float8 under a shared scale.

        Raises:
            CheckpointError: the inputs are not whole blocks, or 4-bit outputs are not pairs.
        """
        shape = _joined_shape(parts)
        _check_blocks(parts, codes)
        blob = self._reserve(name, codes.dtype, shape)
        scale_shape = shape[1:] if codes.block is None else (shape[0] // codes.block, shape[1])
        scales = self._reserve(f"{name}.scale", "float8e4m3" if codes.shared else scale_dtype, scale_shape)
        shared = self._reserve(f"{name}.shared_scale", scale_dtype, ()) if codes.shared else None

        def fill(sink: Sink) -> None:
            whole_scale = 1.0
            if shared is not None:  # reads the parts twice, so that one scale fits every block
                whole_scale = shared_scale(max(float(np.abs(values).max()) for _, _, values in _columns(parts)))
                sink.write(shared, 0, stored(np.full(1, whole_scale, np.float32), scale_dtype))
            for _, column, values in _columns(parts):
                rounded, scale = round_blocks(values, codes, scales.dtype, whole_scale)  # [n, in], [n, blocks]
                sink.write_columns(blob, column, rounded)
                if codes.block is None:
                    sink.write(scales, column, stored(scale[:, 0], scales.dtype))
                else:
                    sink.write_columns(scales, column, stored(scale, scales.dtype))

        self._fills.append(fill)
        return Quantized(blob, scales, shared)

    def write(self, path: Path, advance: Callable[[int], None] = lambda _: None) -> None:
        """Write the file; `advance` is called with the number of bytes of each piece that is written.

        Raises:
            OSError: the file system refuses.
            CheckpointError: a tensor file is cut short or has values that are not finite.
        """
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            os.truncate(descriptor, self.total_bytes)
            sink = Sink(descriptor, advance)
            for fill in self._fills:
                fill(sink)
        finally:
            os.close(descriptor)

    def _reserve(self, name: str, dtype: str, shape: tuple[int, ...]) -> Blob:
        offset = -(-self.total_bytes // ALIGNMENT) * ALIGNMENT
        blob = Blob(name, dtype, shape, offset)
        self.blobs.append(blob)
        self.total_bytes = offset + blob.nbytes
        return blob


@dataclass(frozen=True)
class Sink:
    """The open weight file: positioned writes into a blob."""

    descriptor: int
    advance: Callable[[int], None]

    def write(self, blob: Blob, first: int, values: NDArray[Any]) -> None:
        """Write a contiguous run of values, starting at element `first`."""
        self._put(np.ascontiguousarray(values), blob.offset + blob.bytes_of(first))
        self.advance(values.nbytes)

    def write_columns(self, blob: Blob, column: int, rows: NDArray[Any]) -> None:
        """Write `rows` [n, in] as the columns column … column+n-1 of an [in, out] matrix."""
        turned = np.empty((rows.shape[1], rows.shape[0]), rows.dtype)  # (in, n)
        for start in range(0, len(rows), TILE):
            turned[:, start : start + TILE] = rows[start : start + TILE].T
        whole = turned.shape[1] == blob.shape[1]
        if ITEM_BITS[blob.dtype] == 4:
            turned = packed(turned)
        if whole:
            self._put(turned, blob.offset)
        else:
            for index, run in enumerate(turned):
                self._put(run, blob.offset + blob.bytes_of(index * blob.shape[1] + column))
        self.advance(turned.nbytes)

    def _put(self, values: NDArray[Any], offset: int) -> None:
        view = values.data.cast("B")
        written = 0
        while written < len(view):  # a write may be short, at 2 GiB or just before the disk is full
            written += os.pwrite(self.descriptor, view[written:], offset + written)


def round_rows(values: FloatArray) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Round each row to int8 by its own scale: values = whole * scale[:, None], off by at most half a scale."""
    largest = np.abs(values).max(axis=1)
    scale = np.where(largest > 0, largest / np.float32(127.0), np.float32(1.0)).astype(np.float32)
    whole = np.rint(values / scale[:, None]).clip(-127, 127).astype(np.int8)
    return whole, scale


def _scaled(values: FloatArray, factor: float) -> FloatArray:
    return values if factor == 1.0 else values * np.float32(factor)


def _columns(parts: Sequence[Part]) -> Iterator[tuple[Part, int, FloatArray]]:
    """Yield (part, first column, slice of its rows times its factor): rows [n, in] become columns of the matrix."""
    start = 0
    for part in parts:
        for row, values in part.tensor.slices():
            yield part, start + row, _scaled(values, part.factor)
        start += part.tensor.shape[0]


def _stored(values: FloatArray, dtype: str, tensor: Tensor) -> NDArray[Any]:
    try:
        return stored(values, dtype)
    except OverflowError as exc:
        raise CheckpointError(f"{tensor.file.path}: tensor {tensor.name}: {exc}") from exc


def _check_blocks(parts: Sequence[Part], codes: Codes) -> None:
    pair = 2 if ITEM_BITS[codes.dtype] == 4 else 1
    for tensor in (part.tensor for part in parts):
        for axis, unit in ((1, codes.block or 1), (0, pair)):
            if tensor.shape[axis] % unit:
                raise CheckpointError(
                    f"{tensor.file.path}: tensor {tensor.name}: axis {axis}: expected a multiple of {unit} for "
                    f"{codes.dtype}, found {tensor.shape[axis]}"
                )


def _joined_shape(parts: Sequence[Part]) -> tuple[int, int]:
    return parts[0].tensor.shape[1], sum(part.tensor.shape[0] for part in parts)
