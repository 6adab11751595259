"""The tensors of one shape of call, bound to an ONNX Runtime session once; inputs are written before each pass.

Knows the delta form's tensors by name. Knows nothing of slots or of which call comes when.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort

from ...bundle.manifest import Manifest
from ..base import Floats, Row
from ..inputs import fill_mask, fill_positions


class Binding:
    """The tensors of one shape of call: batch, seq, rows, and neighbouring lanes or a gathered copy of lanes.

    Attributes:
        input_ids, position_ids, lora_scale: (batch, seq). past_len: (batch,). block_mask: (batch, seq, seq).
        logit_rows: (batch, rows), the rows whose logits the call returns.
        logits: (batch, rows, V). new: (planes, batch, seq, heads, head_dim), keys and values in turn. Other bindings
            share their memory: they are what the call that ran last wrote.
        past: (planes, batch, heads, capacity, head_dim), whose planes are contiguous.
        images: (batch * seq, hidden), the rows that stand for tokens of pictures, each line's from line * seq on, and
            image_index: (batch, seq) int64, which of them a token reads, or -1; one row where no token does. `images`
            shares its memory with other bindings, and is None for a model that reads text alone.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        manifest: Manifest,
        rows: int,
        *,
        logits: Floats,
        new: Floats,
        past: Floats,
        images: Floats | None,
    ) -> None:
        """Bind; `rows` is how many rows of logits each line of the batch asks for."""
        batch, seq = new.shape[1:3]
        self.logits, self.new, self.past, self.images = logits, new, past, images
        self.input_ids = np.zeros((batch, seq), dtype=np.int64)
        self.position_ids = np.zeros((batch, seq), dtype=np.int64)
        self.past_len = np.zeros(batch, dtype=np.int64)
        self.block_mask = np.zeros((batch, seq, seq), dtype=bool)
        self.logit_rows = np.zeros((batch, rows), dtype=np.int64)
        self.lora_scale = np.zeros((batch, seq), dtype=np.float32)
        self.io = session.io_binding()
        for name in ("input_ids", "position_ids", "past_len", "block_mask", "logit_rows"):
            self._input(name, getattr(self, name))
        if images is not None:
            self.image_index = np.full((batch, seq), -1, dtype=np.int64)
            self._input("image_rows", images)
            self._input("image_index", self.image_index)
        if manifest.adapter:
            self._input("lora_scale", self.lora_scale)
        self._output("logits", self.logits)
        for plane in range(len(new)):
            name = ("key", "value")[plane % 2] + f".{plane // 2}"
            self._output(f"new_{name}", new[plane].reshape(batch, seq, -1))
            self._input(f"past_{name}", past[plane])

    def fill(self, line: int, row: Row) -> None:
        """Write `row` into line `line` of the inputs; a row shorter than the call is padded with tokens nobody sees."""
        size, seq = len(row.tokens), self.input_ids.shape[1]
        self.past_len[line] = row.start
        self.lora_scale[line, :size] = row.adapter
        if self.images is not None and len(self.images) >= seq:
            self._show(self.images, line, row)
        if seq == 1:  # a single token always sees itself, and its only row is the one asked for
            self.input_ids[line, 0] = row.tokens[0]
            self.position_ids[line, 0] = row.start
            self.block_mask[line, 0, 0] = True
            return
        self.input_ids[line, :size] = row.tokens
        self.input_ids[line, size:] = 0
        fill_positions(self.position_ids[line, :size], row)
        self.position_ids[line, size:] = row.start
        mask = self.block_mask[line]  # (seq, seq)
        if size < seq:
            mask[:] = False
        fill_mask(mask[:size, :size], row)
        self.logit_rows[line, : len(row.want)] = row.want
        self.logit_rows[line, len(row.want) :] = 0

    def _show(self, images: Floats, line: int, row: Row) -> None:
        """Write the rows that stand for pictures in line `line`."""
        index, first = self.image_index[line], line * len(self.image_index[line])
        index[:] = -1
        if row.features is not None:
            places, rows = row.features
            images[first : first + len(rows)] = rows
            index[places] = first + np.arange(len(rows))

    def _input(self, name: str, array: np.ndarray[Any, Any]) -> None:
        self.io.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array))

    def _output(self, name: str, array: np.ndarray[Any, Any]) -> None:
        self.io.bind_ortvalue_output(name, ort.OrtValue.ortvalue_from_numpy(array))
