"""The torch engine's keys and values: one tensor, one lane for each live sequence, written in place by the passes.

Knows which lane a slot has and how entries travel between a lane and the host. Knows nothing of tokens or calls.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...bundle.manifest import Manifest
from ...errors import EngineError
from ..base import Floats
from ..lanes import Lanes
from .device import Device


class Cache(Lanes):
    """(planes, lanes, kv_heads, entries, head_dim), zeros at first; plane 2l has the keys of layer l.

    It always holds numbers: what a pass leaves that is none is cleared when its slot is given back.
    """

    def __init__(self, device: Device, manifest: Manifest, lanes: int, entries: int, dtype: torch.dtype) -> None:
        """Allocate room for `entries` tokens in each of `lanes` lanes."""
        super().__init__(lanes)
        self._device, self._capacity = device, manifest.capacity
        shape = (2 * manifest.num_layers, lanes, manifest.num_kv_heads, entries, manifest.head_dim)
        self.data = device.zeros(shape, dtype)

    def lanes_from(self, first: int, batch: int) -> Tensor:
        """Return neighbouring lanes, a view  # (planes, batch, kv_heads, entries, head_dim)."""
        return self.data[:, first : first + batch]

    def copy_out(self, slot: int, start: int, count: int) -> Floats:
        """Return (planes, kv_heads, count, bytes / 4): the bytes of entries, whatever their type is.

        Raises:
            EngineError: they are not finite.
        """
        entries = self.entries(slot, start, count).contiguous()
        if self.doubts(slot) and not bool(torch.isfinite(entries).all()):
            raise EngineError(f"the entries of slot {slot} are not finite")
        if not entries.numel():
            return np.zeros((*entries.shape[:3], entries.shape[3] * entries.element_size() // 4), np.float32)
        found: Floats = self._device.fetch(entries.view(torch.uint8)).view(np.float32)
        return found

    def copy_in(self, slot: int, start: int, entries: Floats) -> None:
        """Put what `copy_out` returned at `start`.

        Raises:
            EngineError: it does not fit the capacity.
        """
        count = entries.shape[2]
        if start + count > self._capacity:
            raise EngineError(f"a sequence of {start + count} tokens exceeds the engine's capacity of {self._capacity}")
        if count:
            there = self._device.send(np.ascontiguousarray(entries).view(np.uint8)).view(self.data.dtype)
            self.entries(slot, start, count).copy_(there)
        self.hold(slot, max(self.held(slot), start + count))

    def entries(self, slot: int, start: int, count: int) -> Tensor:
        """Return a slot's entries, a view  # (planes, kv_heads, count, head_dim)."""
        return self.data[:, self.lane(slot), :, start : start + count]

    def _move(self, lane: int, there: int, held: int) -> None:
        self.data[:, there, :, :held] = self.data[:, lane, :, :held]

    def _clear(self, lane: int) -> None:
        self.data[:, lane] = 0
