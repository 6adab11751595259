"""DeviceCache: keys and values of all live sequences on the GPU, one lane each, written in place by the graph.

Knows which lane a slot has, how much it holds and where that lies in memory. Knows nothing of tokens or calls.
"""

from __future__ import annotations

import numpy as np

from ...errors import EngineError
from ..base import Floats
from ..lanes import Lanes
from .cuda import Cuda, Pitched


class DeviceCache(Lanes):
    """One array (planes, lanes, heads, capacity, head_dim), zeros at first; plane 2l holds the keys of layer l."""

    def __init__(self, cuda: Cuda, *, planes: int, lanes: int, heads: int, capacity: int, entry_bytes: int) -> None:
        """Allocate; `entry_bytes` is the size of one head's key of one token, a multiple of 4.

        Raises:
            EngineError: CUDA refuses.
        """
        super().__init__(lanes)
        self.capacity = capacity
        self._cuda, self._planes, self._heads, self._entry = cuda, planes, heads, entry_bytes
        self.lane_bytes = heads * capacity * entry_bytes
        size = planes * lanes * self.lane_bytes
        self._base = cuda.allocate(size)
        cuda.clear(self._base, size)

    def address(self, plane: int, lane: int) -> int:
        """Return where a lane of a plane begins."""
        return self._base + (plane * self.lanes + lane) * self.lane_bytes

    def copy_out(self, slot: int, start: int, count: int) -> Floats:
        """Return (planes, heads, count, bytes / 4): the bytes of entries, whatever their type is."""
        found = np.empty((self._planes, self._heads, count, self._entry // 4), dtype=np.float32)
        if found.size:
            self._cuda.use()
            source = self._box(self._lane_of[slot], start)
            self._cuda.download_box(self._host_box(found), source, self._extent(count))
            self._cuda.wait()
        return found

    def copy_in(self, slot: int, start: int, entries: Floats) -> None:
        """Put what `copy_out` returned at `start`.

        Raises:
            EngineError: it does not fit the capacity.
        """
        count = entries.shape[2]
        if start + count > self.capacity:
            raise EngineError(f"a sequence of {start + count} tokens exceeds the engine's capacity of {self.capacity}")
        if count:
            self._cuda.use()
            whole = np.ascontiguousarray(entries)
            target = self._box(self._lane_of[slot], start)
            self._cuda.upload_box(target, self._host_box(whole), self._extent(count))
            self._cuda.wait()  # until then `whole` must live
        self._held[slot] = max(self._held[slot], start + count)

    def _move(self, lane: int, there: int, held: int) -> None:
        self._cuda.use()
        self._cuda.move_box(self._box(there, 0), self._box(lane, 0), self._extent(held))

    def _clear(self, lane: int) -> None:
        self._cuda.use()
        for plane in range(self._planes):
            self._cuda.clear(self.address(plane, lane), self.lane_bytes)

    def _box(self, lane: int, start: int) -> Pitched:
        """Where entries from `start` on lie: a row per head, a slice per plane."""
        address = self.address(0, lane) + start * self._entry
        return Pitched(address, self.capacity * self._entry, self.lanes * self._heads)

    def _host_box(self, entries: Floats) -> Pitched:
        return Pitched(entries.ctypes.data, entries.shape[2] * self._entry, self._heads)

    def _extent(self, count: int) -> tuple[int, int, int]:
        return count * self._entry, self._heads, self._planes
