"""One .gguf file: its metadata, and its tensors as float32, some rows at a time; quantised blocks are dequantised.

The package `gguf` reads the header and turns blocks into numbers. The data is read here, because the package maps the
file, whose pages then count as this process's memory. Knows the container; knows no architecture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from trimode.errors import CheckpointError

from ..tensor_file import FloatArray, Tensor, TensorFile

BLOCK_TYPES = ("Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q6_K")
TYPES = ("F32", "F16", "BF16", *BLOCK_TYPES)
"""The types of tensors that can be read, by ggml's names."""


@dataclass(frozen=True)
class GgufTensor(Tensor):
    """A tensor of a GGUF file.

    `heads` is above 0 where the rows of each of so many heads are stored in pairs, as llama.cpp rotates them; they are
    read in halves, as everybody else does.
    """

    heads: int = 0

    def rows(self, start: int, stop: int) -> FloatArray:
        """Return rows [start, stop) of the first axis as float32.

        Raises:
            CheckpointError: the file ends early, or a value is not finite.
        """
        if not self.heads:
            return self._stored_rows(start, stop)
        size = self.shape[0] // self.heads
        first, last = start // size, -(-stop // size)
        pairs = self._stored_rows(first * size, last * size).reshape(last - first, size // 2, 2, self.shape[1])
        halves = pairs.swapaxes(1, 2).reshape(-1, self.shape[1])
        return halves[start - first * size : stop - first * size]

    def _stored_rows(self, start: int, stop: int) -> FloatArray:
        width = math.prod(self.shape[1:])
        kind = gguf.GGMLQuantizationType[self.dtype]
        block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
        row_bytes = width // block * block_bytes
        raw = self.file.read(self.offset + start * row_bytes, (stop - start) * row_bytes)
        packed = np.frombuffer(raw, np.uint8).reshape(stop - start, row_bytes)
        values: FloatArray = gguf.dequantize(packed, kind).reshape(stop - start, *self.shape[1:])
        return self._checked(values)


@dataclass(eq=False)
class GgufFile(TensorFile):
    """An open .gguf file: its tensors by the names in the file, and its metadata as Python values."""

    metadata: dict[str, Any] = field(default_factory=dict)

    def _read_header(self, size: int) -> None:
        if size < 4 or self.read(0, 4) != b"GGUF":
            raise CheckpointError(f"{self.path}: expected a GGUF file, found other bytes at its start")
        try:
            reader = gguf.GGUFReader(self.path)
            self.metadata |= {name: value.contents() for name, value in reader.fields.items()}
        except Exception as exc:  # the package checks little: a broken file fails anywhere, in any way
            raise CheckpointError(f"{self.path}: cannot be read as GGUF, cut short? {exc}") from exc
        if reader.endianess is not gguf.GGUFEndian.LITTLE:
            raise CheckpointError(f"{self.path}: expected little-endian numbers, found big-endian")
        for tensor in reader.tensors:
            self._add_tensor(tensor, size)

    def _add_tensor(self, tensor: gguf.ReaderTensor, size: int) -> None:
        dtype, shape = tensor.tensor_type.name, tuple(int(n) for n in reversed(tensor.shape))
        allowed = TYPES if len(shape) == 2 else TYPES[:3]
        if dtype not in allowed:
            raise CheckpointError(
                f"{self.path}: tensor {tensor.name}: expected one of {', '.join(allowed)}, found {dtype}"
            )
        if (end := int(tensor.data_offset + tensor.n_bytes)) > size:
            raise CheckpointError(f"{self.path}: tensor {tensor.name}: cut short: expected {end} bytes, found {size}")
        self.tensors[tensor.name] = GgufTensor(self, tensor.name, dtype, shape, int(tensor.data_offset))


def open_gguf(path: Path) -> GgufFile:
    """Open a GGUF file and check its header.

    Raises:
        CheckpointError: missing, cut short, no GGUF, or a type of tensor that cannot be read.
    """
    return GgufFile.open(path)
