"""One TensorRT call: a shape bound to memory, into which a pass is written row by row.

Knows the scatter form's tensors by name. Knows nothing of slots' lives, of TensorRT's objects or of CUDA's functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...bundle.manifest import Manifest
from ..base import Row
from ..inputs import Singles, fill_mask, fill_positions, positions_from_zero
from .buffers import Buffers
from .layout import Shape, Types, choices, inputs


class Call:
    """A shape bound to memory: arrays into which a pass is written, and the shapes and addresses that a context needs.

    Attributes:
        shapes: of every input, by name. addresses: of every tensor, by name.
        top_id, top_prob: (batch, rows), where a pass leaves its choices.
        graph, context: the captured CUDA graph and the context it was captured from; the executor sets both.
        uses: passes so far that were not launched as a graph; the executor counts them.
    """

    def __init__(self, shape: Shape, buffers: Buffers, types: Types, manifest: Manifest, caches: list[int]) -> None:
        """Bind; `caches` are the addresses of the batch's first lane, keys and values of layer after layer."""
        self.shape = shape
        self.graph: Any = None
        self.context: Any = None
        self.uses = 0
        taken, given = inputs(shape, types, manifest.hidden_size), choices(shape, types)
        self.input_bytes, self.choice_bytes = taken.size, given.size
        views = taken.views(buffers.host_inputs, types)
        self._ids, self._positions, self._rows = views["input_ids"], views["position_ids"], views["logit_rows"]
        self._write, self._mask, self._adapter = views["write_indices"], views["attn_mask"], views.get("lora_scale")
        self._images, self._image_index = views.get("image_rows"), views.get("image_index")
        chosen = given.views(buffers.host_choices, types)
        self.top_id, self.top_prob = chosen["top_id"], chosen["top_prob"]
        cache = (shape.batch, manifest.num_kv_heads, manifest.capacity, manifest.head_dim)
        self.shapes = {name: sizes for name, (_, sizes) in taken.tensors.items()}
        self.addresses = {name: buffers.inputs + offset for name, (offset, _) in taken.tensors.items()}
        self.addresses |= {name: buffers.choices + offset for name, (offset, _) in given.tensors.items()}
        self.addresses["logits"] = buffers.logits
        for plane, address in enumerate(caches):
            name = ("key", "value")[plane % 2] + f".{plane // 2}"
            self.shapes[f"past_{name}"] = cache
            self.addresses[f"past_{name}"] = self.addresses[f"present_{name}"] = address

    def fill(self, line: int, row: Row, write: int) -> None:
        """Write a row into line `line` of the batch; its keys and values will go to its lane from entry `write` on.

        It sees the slot's first `start` entries and, of what it writes, what `row.sees` says.
        """
        size, want = len(row.tokens), len(row.want)
        self._ids[line, :size] = row.tokens
        self._ids[line, size:] = 0
        fill_positions(self._positions[line, :size], row)
        self._positions[line, size:] = row.start
        self._rows[line, :want] = row.want
        self._rows[line, want:] = 0
        self._write[line] = write
        if self._adapter is not None:
            self._adapter[line, :size] = row.adapter
            self._adapter[line, size:] = 0
        self._show(line, row)
        mask = self._mask[line, 0]  # (seq, length)
        mask[:] = False
        mask[:size, : row.start] = True
        fill_mask(mask[:size, write : write + size], row)

    def fill_singles(self, lines: Sequence[int], rows: Sequence[Row], writes: Sequence[int]) -> None:
        """Write rows of a single token each into these lines, all others idle: as `fill` and `idle`, for all at once.

        Args:
            writes: of every line of the batch, the entry of its lane to which its keys and values go.
        """
        singles, starts = Singles.of(rows), np.zeros(self.shape.batch, dtype=np.int64)
        starts[lines] = singles.starts
        for array in (self._ids, self._positions, self._rows):
            array[:] = 0
        self._ids[lines, 0], self._positions[lines, 0] = singles.tokens, singles.positions
        self._write[:] = writes
        if self._adapter is not None:
            self._adapter[:] = 0
            self._adapter[lines, 0] = singles.adapter
        mask = self._mask[:, 0, 0]  # (batch, length)
        np.less(positions_from_zero(mask.shape[1]), starts[:, None], out=mask)
        mask[lines, [writes[line] for line in lines]] = True

    def idle(self, line: int, write: int) -> None:
        """Make line `line` an idle row: zeros, whose keys and values go to its lane from entry `write` on."""
        for array in (self._ids, self._positions, self._rows, self._mask):
            array[line] = 0
        self._write[line] = write
        if self._adapter is not None:
            self._adapter[line] = 0
        if self._image_index is not None:
            self._image_index[line] = -1

    def _show(self, line: int, row: Row) -> None:
        """Write the rows that stand for pictures in line `line`: each line's from its first token's place on."""
        if self._images is None or self._image_index is None:
            return
        index = self._image_index[line]  # (seq,)
        index[:] = -1
        if row.features is not None:
            places, rows = row.features
            first = line * len(index)
            self._images[first : first + len(rows)] = rows
            index[places] = first + np.arange(len(rows))
