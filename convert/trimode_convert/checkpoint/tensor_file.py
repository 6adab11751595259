"""One .safetensors file: its header, checked against the file's size, and its tensors as float32, some rows at a time.

Why not the library `safetensors`: its numpy side does not know bfloat16, the type of every official weight, and it maps
the file, whose pages then count as this process's memory. Here at most a slice of rows is in memory at a time.
Knows the container (8-byte length, JSON header, raw little-endian data); knows nothing about models.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from trimode.errors import CheckpointError

from . import plain_file

FloatArray = NDArray[np.float32]

ITEM_SIZES = {"BF16": 2, "F16": 2, "F32": 4}  # bytes of a value
SLICE_BYTES = 32 << 20  # float32 bytes of one slice; peak memory is a small multiple of it
HEADER_LIMIT = 100 << 20  # bytes; the limit of the safetensors format itself


@dataclass(frozen=True)
class Tensor:
    """A tensor on disk. `offset` is in bytes from the start of the file."""

    file: TensorFile
    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int

    def read(self) -> FloatArray:
        """Return the whole tensor as float32, in its own shape."""
        return self.rows(0, self.shape[0]) if self.shape else self._decode(0, 1).reshape(())

    def rows(self, start: int, stop: int) -> FloatArray:
        """Return rows [start, stop) of the first axis as float32.

        Raises:
            CheckpointError: the file ends early, or a value is not finite.
        """
        width = math.prod(self.shape[1:])
        return self._decode(start * width, (stop - start) * width).reshape(stop - start, *self.shape[1:])

    def slices(self) -> Iterator[tuple[int, FloatArray]]:
        """Yield (first row, rows as float32), each slice at most about SLICE_BYTES and of whole pairs of rows."""
        step = 2 * max(1, SLICE_BYTES // (8 * max(1, math.prod(self.shape[1:]))))
        for start in range(0, self.shape[0], step):
            yield start, self.rows(start, min(start + step, self.shape[0]))

    def _decode(self, first: int, count: int) -> FloatArray:
        size = ITEM_SIZES[self.dtype]
        raw = self.file.read(self.offset + first * size, count * size)
        values: FloatArray
        if self.dtype == "BF16":  # the upper half of a float32
            wide = np.frombuffer(raw, "<u2").astype(np.uint32)
            wide <<= 16
            values = wide.view(np.float32)
        elif self.dtype == "F16":
            values = np.frombuffer(raw, "<f2").astype(np.float32)
        else:
            values = np.frombuffer(raw, "<f4")
        return self._checked(values)

    def _checked(self, values: FloatArray) -> FloatArray:
        with np.errstate(all="ignore"):  # a sum is the fastest look at every value; look closely only if it is odd
            suspicious = not math.isfinite(float(values.sum()))
        if suspicious and not np.isfinite(values).all():
            raise CheckpointError(f"{self.file.path}: tensor {self.name}: expected finite values, found inf or NaN")
        return values


@dataclass(eq=False)
class TensorFile:
    """An open .safetensors file and the tensors that its header names."""

    path: Path
    tensors: dict[str, Tensor] = field(default_factory=dict)
    _descriptor: int = -1

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open `path` and check its header.

        Raises:
            CheckpointError: the file is missing, cut short or no safetensors file, or has a dtype that weights do not.
        """
        plain_file.check(path)
        opened = cls(path)
        try:
            opened._descriptor = os.open(path, os.O_RDONLY)
            size = os.fstat(opened._descriptor).st_size
            opened._read_header(size)
        except OSError as exc:
            opened.close()
            raise CheckpointError(f"{path}: cannot be read: {exc.strerror}") from exc
        except CheckpointError:
            opened.close()
            raise
        return opened

    def close(self) -> None:
        """Close the file; later reads fail."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def read(self, offset: int, count: int) -> bytes:
        """Return `count` bytes from `offset`.

        Raises:
            CheckpointError: the file ends too early, or the disk fails.
        """
        pieces: list[bytes] = []
        got = 0
        try:
            while got < count:  # Linux returns at most 2 GiB per call, and less when a signal arrives
                piece = os.pread(self._descriptor, count - got, offset + got)
                if not piece:
                    raise CheckpointError(f"{self.path}: cut short: expected {count} bytes at {offset}, found {got}")
                pieces.append(piece)
                got += len(piece)
        except OSError as exc:
            raise CheckpointError(f"{self.path}: cannot be read: {exc.strerror}") from exc
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read_header(self, size: int) -> None:
        if size < 8:
            raise CheckpointError(f"{self.path}: expected a safetensors file, found {size} bytes")
        (length,) = struct.unpack("<Q", self.read(0, 8))
        if length > min(size - 8, HEADER_LIMIT):
            raise CheckpointError(f"{self.path}: header: expected at most {size - 8} bytes, found {length}: cut short?")
        try:
            header = json.loads(self.read(8, length))
        except ValueError as exc:
            raise CheckpointError(f"{self.path}: header is not JSON: {exc}") from exc
        if not isinstance(header, dict):
            raise CheckpointError(f"{self.path}: header: expected an object, found {type(header).__name__}")
        header.pop("__metadata__", None)
        start = 8 + length
        end = 0
        for name, entry in sorted(header.items(), key=lambda item: _begin(item[1])):
            end = self._add(name, entry, start, end)
        if start + end != size:
            state = "cut short" if start + end > size else "has bytes that no tensor claims"
            raise CheckpointError(f"{self.path}: {state}: expected {start + end} bytes, found {size}")

    def _add(self, name: str, entry: Any, start: int, previous_end: int) -> int:
        """Check one header entry, keep it, and return where its data ends."""
        try:
            dtype = entry["dtype"]
            shape = tuple(int(n) for n in entry["shape"])
            begin, end = (int(n) for n in entry["data_offsets"])
        except (TypeError, KeyError, ValueError) as exc:
            raise CheckpointError(f"{self.path}: tensor {name}: its header entry is malformed: {entry!r}") from exc
        if dtype not in ITEM_SIZES:
            raise CheckpointError(f"{self.path}: tensor {name}: expected dtype BF16, F16 or F32, found {dtype}")
        expected = math.prod(shape) * ITEM_SIZES[dtype]
        if end - begin != expected:
            raise CheckpointError(
                f"{self.path}: tensor {name}: expected {expected} bytes for {dtype} {list(shape)}, found {end - begin}"
            )
        if begin != previous_end:
            raise CheckpointError(f"{self.path}: tensor {name}: expected its data at {previous_end}, found {begin}")
        self.tensors[name] = Tensor(self, name, dtype, shape, start + begin)
        return end


def _begin(entry: Any) -> int:
    """Return where an entry's data begins; 0 for a malformed entry, which `_add` then names."""
    try:
        return int(entry["data_offsets"][0])
    except (TypeError, KeyError, ValueError, IndexError):
        return 0
