"""The engine's weight file: first a plan of names, offsets and sizes, then one streaming pass that fills it.

Because the plan needs only shapes, the graph, the file's size and the disk space are known before any byte is
read. Knows how a tensor is laid out and rounded for the graph; does not know what the graph does with it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .tensor_file import Tensor

ALIGNMENT = 4096  # a page, so that a runtime can map each weight by itself
ITEM_SIZES = {"float32": 4, "int8": 1}
TILE = 32  # rows transposed at once: what fits the cache is three times as fast as the whole slice


@dataclass(frozen=True)
class Blob:
    """One named array in the weight file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def nbytes(self) -> int:
        """The bytes it takes, without padding."""
        return math.prod(self.shape) * ITEM_SIZES[self.dtype]


@dataclass(frozen=True)
class Part:
    """A stored [out, in] tensor that becomes columns of a matrix, times a factor folded in."""

    tensor: Tensor
    factor: float = 1.0


Fill = Callable[["Sink"], None]


@dataclass
class WeightPlan:
    """What the weight file will hold, in order, and how each piece is filled."""

    blobs: list[Blob] = field(default_factory=list)
    total_bytes: int = 0
    _fills: list[Fill] = field(default_factory=list)

    def copy(self, name: str, tensor: Tensor) -> Blob:
        """Plan a tensor as stored, in float32."""
        blob = self._reserve(name, "float32", tensor.shape)
        width = math.prod(tensor.shape[1:])

        def fill(sink: Sink) -> None:
            for row, values in tensor.slices():
                sink.write(blob, row * width, values)

        self._fills.append(fill)
        return blob

    def array(self, name: str, make: Callable[[], NDArray[Any]], shape: tuple[int, ...]) -> Blob:
        """Plan a computed float32 array; `make` runs when the file is written."""
        blob = self._reserve(name, "float32", shape)
        self._fills.append(lambda sink: sink.write(blob, 0, make()))
        return blob

    def matrix(self, name: str, parts: Sequence[Part]) -> Blob:
        """Plan [in, out] in float32: the parts transposed, side by side."""
        blob = self._reserve(name, "float32", _joined_shape(parts))

        def fill(sink: Sink) -> None:
            column = 0
            for part in parts:
                for row, values in part.tensor.slices():
                    sink.write_columns(blob, column + row, _scaled(values, part.factor))
                column += part.tensor.shape[0]

        self._fills.append(fill)
        return blob

    def int8_matrix(self, name: str, parts: Sequence[Part], *, scale_factor: float) -> tuple[Blob, Blob]:
        """Plan [in, out] in int8, symmetric, and the scale of every output channel times `scale_factor`  # (out,)."""
        blob = self._reserve(name, "int8", _joined_shape(parts))
        scales = self._reserve(f"{name}.scale", "float32", blob.shape[1:])

        def fill(sink: Sink) -> None:
            column = 0
            for part in parts:
                for row, values in part.tensor.slices():
                    whole, scale = round_rows(_scaled(values, part.factor))
                    sink.write_columns(blob, column + row, whole)
                    sink.write(scales, column + row, _scaled(scale, scale_factor))
                column += part.tensor.shape[0]

        self._fills.append(fill)
        return blob, scales

    def write(self, path: Path, advance: Callable[[int], None] = lambda _: None) -> None:
        """Write the file; `advance` is told the bytes as they are written.

        Raises:
            OSError: as the file system gives it.
            CheckpointError: a tensor file is cut or holds values that are not finite.
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
        """Write a contiguous run of values from element `first` on."""
        self._put(np.ascontiguousarray(values), blob.offset + first * ITEM_SIZES[blob.dtype])
        self.advance(values.nbytes)

    def write_columns(self, blob: Blob, column: int, rows: NDArray[Any]) -> None:
        """Write `rows` [n, in] as the columns column … column+n-1 of an [in, out] matrix."""
        turned = np.empty((rows.shape[1], rows.shape[0]), rows.dtype)  # (in, n)
        for start in range(0, len(rows), TILE):
            turned[:, start : start + TILE] = rows[start : start + TILE].T
        width = blob.shape[1]
        if turned.shape[1] == width:
            self._put(turned, blob.offset)
        else:
            size = ITEM_SIZES[blob.dtype]
            for index, run in enumerate(turned):
                self._put(run, blob.offset + (index * width + column) * size)
        self.advance(turned.nbytes)

    def _put(self, values: NDArray[Any], offset: int) -> None:
        view = values.data.cast("B")
        written = 0
        while written < len(view):  # a write may be short: at 2 GiB, or just before the disk is full
            written += os.pwrite(self.descriptor, view[written:], offset + written)


def round_rows(values: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Round each row to int8 by its own scale: values = whole * scale[:, None], off by at most half a scale."""
    largest = np.abs(values).max(axis=1)
    scale = np.where(largest > 0, largest / np.float32(127.0), np.float32(1.0)).astype(np.float32)
    whole = np.rint(values / scale[:, None]).clip(-127, 127).astype(np.int8)
    return whole, scale


def _scaled(values: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    return values if factor == 1.0 else values * np.float32(factor)


def _joined_shape(parts: Sequence[Part]) -> tuple[int, int]:
    return parts[0].tensor.shape[1], sum(part.tensor.shape[0] for part in parts)
