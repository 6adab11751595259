"""The shape of a TensorRT call, and where its inputs and outputs lie in the buffers that all calls share.

Knows the scatter form's tensors by name. Allocates nothing; knows nothing of rows or slots.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

ALIGNMENT = 256
"""Bytes: TensorRT asks it of every tensor's address, and cudaMalloc gives it."""
Types = Mapping[str, npt.DTypeLike]
"""The type of each tensor that is not a cache, by name."""


class Shape(NamedTuple):
    """All that a call's CUDA graph depends on.

    Attributes:
        profile: index of the plan's profile.
        first: the lane of the cache with which the batch begins.
        batch: rows of the call; they use lane `first` and those that follow it.
        seq: tokens of a row.
        rows: rows of logits for each row of the batch.
        length: entries of the cache that attention reads.
        images: rows of pictures; 0 where the model reads text alone, 1, which nobody looks at, where the call reads
            none, else one for each token.
    """

    profile: int
    first: int
    batch: int
    seq: int
    rows: int
    length: int
    images: int = 0


@dataclass(frozen=True)
class Layout:
    """Where each tensor of a call lies in one buffer.

    Attributes:
        tensors: name -> (offset in bytes, a multiple of ALIGNMENT; shape).
        size: bytes of all of them together.
    """

    tensors: dict[str, tuple[int, tuple[int, ...]]]
    size: int

    @classmethod
    def of(cls, shapes: Mapping[str, tuple[int, ...]], types: Types) -> Layout:
        """Put the tensors one after another."""
        tensors, end = {}, 0
        for name, shape in shapes.items():
            tensors[name] = (end, shape)
            end += aligned(prod(shape) * np.dtype(types[name]).itemsize)
        return cls(tensors, max(end, ALIGNMENT))

    def views(self, memory: npt.NDArray[np.uint8], types: Types) -> dict[str, npt.NDArray[Any]]:
        """Return the tensors as arrays over `memory`."""
        found = {}
        for name, (offset, shape) in self.tensors.items():
            kind = np.dtype(types[name])
            found[name] = memory[offset : offset + prod(shape) * kind.itemsize].view(kind).reshape(shape)
        return found


def inputs(shape: Shape, types: Types, hidden_size: int = 0) -> Layout:
    """Return where a call's inputs lie, the mask and the rows of pictures last; one copy takes them all to the GPU.

    Args:
        hidden_size: numbers of a row of pictures, where the model reads any.
    """
    batch, seq = shape.batch, shape.seq
    shapes: dict[str, tuple[int, ...]] = {"input_ids": (batch, seq), "position_ids": (batch, seq)}
    shapes |= {"logit_rows": (batch, shape.rows), "write_indices": (batch,)}
    if "lora_scale" in types:
        shapes["lora_scale"] = (batch, seq)
    shapes["attn_mask"] = (batch, 1, seq, shape.length)
    if shape.images:
        shapes |= {"image_index": (batch, seq), "image_rows": (shape.images, hidden_size)}
    return Layout.of(shapes, types)


def tower_inputs(patches: int, width: int, types: Types) -> Layout:
    """Return where the inputs of a tower's pass lie over so many patches of `width` numbers."""
    return Layout.of({"positions": (patches,), "pictures": (patches,), "patches": (patches, width)}, types)


def choices(shape: Shape, types: Types) -> Layout:
    """Return where the outputs lie that every call fetches; one copy takes them all to the host."""
    return Layout.of({name: (shape.batch, shape.rows) for name in ("top_id", "top_prob")}, types)


def aligned(size: int) -> int:
    """Return `size` rounded up to ALIGNMENT."""
    return -(-size // ALIGNMENT) * ALIGNMENT
