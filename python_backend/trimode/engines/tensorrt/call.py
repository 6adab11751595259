"""The shapes of one TensorRT call, and the buffers it runs in: inputs and outputs laid out in memory made once.

Knows the scatter form's tensors by name. Knows nothing of slots' lives, of TensorRT's objects or of CUDA's calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...bundle.manifest import Manifest
from ..base import Row, counted, lower_triangle

ALIGNMENT = 256
Types = Mapping[str, npt.DTypeLike]


class Shape(NamedTuple):
    """What a call's graph depends on.

    Attributes:
        profile: index of the plan's profile.
        first: lane of the cache that the batch begins with.
        batch: rows, lanes `first` and those that follow.
        seq: tokens of a row.
        rows: rows of logits of a row.
        length: entries of the cache that attention reads.
    """

    profile: int
    first: int
    batch: int
    seq: int
    rows: int
    length: int


@dataclass(frozen=True)
class Layout:
    """Where each tensor of a call lies: name -> (offset, shape), aligned, and the bytes they take together."""

    places: dict[str, tuple[int, tuple[int, ...]]]
    size: int

    @classmethod
    def of(cls, shapes: Mapping[str, tuple[int, ...]], types: Types) -> Layout:
        """Put tensors one behind another."""
        places, end = {}, 0
        for name, shape in shapes.items():
            places[name] = (end, shape)
            end += aligned(prod(shape) * np.dtype(types[name]).itemsize)
        return cls(places, max(end, ALIGNMENT))

    def views(self, memory: npt.NDArray[np.uint8], types: Types) -> dict[str, npt.NDArray[Any]]:
        """Return the tensors as arrays over `memory`."""
        found = {}
        for name, (offset, shape) in self.places.items():
            kind = np.dtype(types[name])
            found[name] = memory[offset : offset + prod(shape) * kind.itemsize].view(kind).reshape(shape)
        return found


def inputs(shape: Shape, types: Types) -> Layout:
    """Return how a call's inputs lie, the mask last; one copy takes them all to the GPU."""
    batch, seq = shape.batch, shape.seq
    shapes: dict[str, tuple[int, ...]] = {"input_ids": (batch, seq), "position_ids": (batch, seq)}
    shapes |= {"logit_rows": (batch, shape.rows), "write_indices": (batch,)}
    if "lora_scale" in types:
        shapes["lora_scale"] = (batch,)
    return Layout.of(shapes | {"attn_mask": (batch, 1, seq, shape.length)}, types)


def choices(shape: Shape, types: Types) -> Layout:
    """Return how the outputs lie that are always fetched; one copy takes them all to the host."""
    return Layout.of({name: (shape.batch, shape.rows) for name in ("top_id", "top_prob")}, types)


def aligned(size: int) -> int:
    """Return `size` rounded up to ALIGNMENT."""
    return -(-size // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True)
class Buffers:
    """Memory that all calls share, one at a time: addresses on the GPU and page-locked arrays beside them.

    `logits` (rows of the largest call, V) float32 are copied to the host only where they are asked for; `kept`, with
    room for every slot's, has those of a call after which another one of the same `run` came.
    """

    inputs: int
    choices: int
    logits: int
    kept: int
    host_inputs: npt.NDArray[np.uint8]
    host_choices: npt.NDArray[np.uint8]
    host_logits: npt.NDArray[np.uint8]


class Call:
    """A shape bound to memory: views to write a pass into, and what a context has to be told.

    Attributes:
        shapes: of every input, by name. addresses: of every tensor, by name.
        top_id, top_prob: (batch, rows), where a pass leaves its choices.
        graph, context: the captured CUDA graph and the context it was captured from, once there are any.
        uses: passes so far that were not launched as a graph.
    """

    def __init__(self, shape: Shape, buffers: Buffers, types: Types, manifest: Manifest, caches: list[int]) -> None:
        """Bind; `caches` are the addresses of the batch's first lane, keys and values of layer after layer."""
        self.shape = shape
        self.graph: Any = None
        self.context: Any = None
        self.uses = 0
        taken, given = inputs(shape, types), choices(shape, types)
        self.input_bytes, self.choice_bytes = taken.size, given.size
        views = taken.views(buffers.host_inputs, types)
        self._ids, self._positions, self._rows = views["input_ids"], views["position_ids"], views["logit_rows"]
        self._write, self._mask, self._adapter = views["write_indices"], views["attn_mask"], views.get("lora_scale")
        chosen = given.views(buffers.host_choices, types)
        self.top_id, self.top_prob = chosen["top_id"], chosen["top_prob"]
        cache = (shape.batch, manifest.num_kv_heads, manifest.capacity, manifest.head_dim)
        self.shapes = {name: place[1] for name, place in taken.places.items()}
        self.addresses = {name: buffers.inputs + place[0] for name, place in taken.places.items()}
        self.addresses |= {name: buffers.choices + place[0] for name, place in given.places.items()}
        self.addresses["logits"] = buffers.logits
        for plane, address in enumerate(caches):
            name = ("key", "value")[plane % 2] + f".{plane // 2}"
            self.shapes[f"past_{name}"] = cache
            self.addresses[f"past_{name}"] = self.addresses[f"present_{name}"] = address

    def fill(self, place: int, row: Row, write: int) -> None:
        """Write a row into line `place`; its keys and values will go to entries `write` and on of its lane.

        It sees the slot's first `start` entries and, of what it writes, what `row.sees` says.
        """
        size, want = len(row.tokens), len(row.want)
        self._ids[place, :size] = row.tokens
        self._ids[place, size:] = 0
        self._positions[place] = row.start
        self._positions[place, :size] += counted(size)
        self._rows[place, :want] = row.want
        self._rows[place, want:] = 0
        self._write[place] = write
        if self._adapter is not None:
            self._adapter[place] = row.adapter
        mask = self._mask[place, 0]  # (seq, length)
        mask[:] = False
        mask[:size, : row.start] = True
        own = mask[:size, write : write + size]
        if isinstance(row.sees, np.ndarray):
            own[:] = row.sees
        else:
            own[:] = True if row.sees == "block" else lower_triangle(size)

    def idle(self, place: int, write: int) -> None:
        """Make line `place` a row of nothing: tokens that see only themselves and write where nobody looks."""
        for array in (self._ids, self._positions, self._rows, self._mask):
            array[place] = 0
        self._write[place] = write
        if self._adapter is not None:
            self._adapter[place] = 0
