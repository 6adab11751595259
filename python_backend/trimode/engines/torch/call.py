"""One shape of pass: its inputs in one buffer on the host and one on the device, and where its choices arrive.

Knows the inputs of `network.Inputs` by name. Knows nothing of slots' lives, of streams or of graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..base import Floats, Ints, Row
from ..inputs import Singles, fill_mask, fill_positions
from .device import Device
from .network import Choices, Inputs, Shown
from .windows import Shape


class Read(NamedTuple):
    """Choices in the host's memory, see `network.Choices`  # (B, R) each, or of one line (R,)."""

    top_id: Ints
    top_prob: Floats
    log_norm: Floats

    def first(self, line: int, count: int) -> Read:
        """Return those of a line's first `count` rows, views  # (count,) each."""
        return Read(self.top_id[line, :count], self.top_prob[line, :count], self.log_norm[line, :count])


class Call:
    """A shape's memory: arrays into which a pass is written, and tensors from which it is computed.

    Attributes:
        shape: of the pass.
        inputs: the inputs on the device.
        host, there: (bytes,) the buffers of the inputs, on the host and on the device; one copy takes them over.
        choices: on the device, of all lines  # (B * R,) each.
        chosen, arrived: (bytes,) the buffers of the choices, on the device and on the host; one copy takes them back.
        shown: what tokens of pictures read in the pass; the engine sets it before each, never for a captured one.
        run: enqueues the whole pass, where it was captured. logits: where its last pass left them  # (B, R, V). The
            executor sets both.
    """

    def __init__(self, shape: Shape, device: Device) -> None:
        self.shape = shape
        batch, seq = shape.batch, shape.seq
        each = (batch, seq)
        layout: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {
            "ids": (torch.int64, each),
            "positions": (torch.int64, each),
            "rows": (torch.int64, (batch, shape.rows)),
            "start": (torch.int64, (batch,)),
            "write": (torch.int64, (batch,)),
            "adapter": (torch.float32, each),
            "own": (torch.bool, (batch, seq, seq)),
        }
        size = sum(_bytes(*one) for one in layout.values())
        self.host, self.there = device.host_bytes(size), device.zeros((size,), torch.uint8)
        here = {name: view.numpy() for name, view in _views(self.host, layout).items()}
        self.inputs = Inputs(**_views(self.there, layout))
        self._ids, self._positions, self._rows = here["ids"], here["positions"], here["rows"]
        self._start, self._write, self._adapter, self._own = here["start"], here["write"], here["adapter"], here["own"]
        choices: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {
            "top_id": (torch.int64, (batch, shape.rows)),
            "top_prob": (torch.float32, (batch, shape.rows)),
            "log_norm": (torch.float32, (batch, shape.rows)),
        }
        size = sum(_bytes(*one) for one in choices.values())
        self.chosen, self.arrived = device.zeros((size,), torch.uint8), device.host_bytes(size)
        made, read = _views(self.chosen, choices), _views(self.arrived, choices)
        self.choices = Choices(**{name: view.view(-1) for name, view in made.items()})
        self._read = Read(**{name: view.numpy() for name, view in read.items()})
        self._diagonal = np.eye(seq, dtype=bool)
        self.run: Callable[[], None] | None = None
        self.logits: Tensor | None = None
        self.shown: Shown | None = None
        for line in range(batch):
            self.idle(line, 0)

    def fill(self, line: int, row: Row, write: int) -> None:
        """Write a row into line `line`; its keys and values go to its lane from entry `write` on.

        It sees its lane's first `start` entries and, of the new tokens, what `row.sees` says. Padding sees itself.
        """
        size, want = len(row.tokens), len(row.want)
        self._ids[line, :size], self._ids[line, size:] = row.tokens, 0
        fill_positions(self._positions[line, :size], row)
        self._positions[line, size:] = row.start
        self._rows[line, :want], self._rows[line, want:] = row.want, 0
        self._start[line], self._write[line] = row.start, write
        self._adapter[line, :size], self._adapter[line, size:] = row.adapter, 0
        own = self._own[line]
        own[:] = self._diagonal
        if size > 1:
            fill_mask(own[:size, :size], row)
            own |= self._diagonal

    def fill_singles(self, lines: Sequence[int], rows: Sequence[Row], writes: Sequence[int]) -> None:
        """Write rows of a single token each into these lines, all others idle: as `fill` and `idle`, for all at once.

        Args:
            writes: of every line, the entry of its lane to which its keys and values go.
        """
        singles = Singles.of(rows)
        for array in (self._ids, self._positions, self._rows, self._start, self._adapter):
            array[:] = 0
        self._ids[lines, 0], self._positions[lines, 0] = singles.tokens, singles.positions
        self._start[lines], self._adapter[lines, 0] = singles.starts, singles.adapter
        self._write[:], self._own[:] = writes, True

    def idle(self, line: int, write: int) -> None:
        """Make line `line` an idle row: zeros, whose keys and values go to its lane from entry `write` on."""
        for array in (self._ids, self._positions, self._rows, self._start, self._adapter):
            array[line] = 0
        self._write[line], self._own[line] = write, self._diagonal

    def read(self) -> Read:
        """Return copies of the choices of all lines, once they have arrived."""
        read = self._read
        return Read(read.top_id.copy(), read.top_prob.copy(), read.log_norm.copy())


def _bytes(dtype: torch.dtype, shape: tuple[int, ...]) -> int:
    return prod(shape) * dtype.itemsize


def _views(buffer: Tensor, layout: dict[str, tuple[torch.dtype, tuple[int, ...]]]) -> dict[str, Any]:
    """Return tensors that lie one after another in `buffer`; the widest types come first, so all are aligned."""
    found, at = {}, 0
    for name, (dtype, shape) in layout.items():
        size = _bytes(dtype, shape)
        found[name] = buffer[at : at + size].view(dtype).view(shape)
        at += size
    return found
