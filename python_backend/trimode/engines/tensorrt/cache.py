"""DeviceCache: keys and values of all live sequences on the GPU, one lane each, written in place by the graph.

Knows which lane a slot has, how much it holds and where that lies in memory. Knows nothing of tokens or calls.
"""

from __future__ import annotations

import numpy as np

from ...errors import EngineError
from ..base import Floats
from .cuda import Cuda, Pitched


class DeviceCache:
    """One array (planes, lanes, heads, capacity, head_dim), zeros at first; plane 2l holds the keys of layer l.

    A lane is a row of a call's batch, so a call over neighbouring lanes reads and writes them where they are. Slots of
    single tokens take lanes from the bottom, slots of blocks from the top. A slot keeps its lane while it lives, unless
    its rows change from one kind to the other: a CUDA graph can be used again only while addresses stay the same.
    """

    def __init__(self, cuda: Cuda, *, planes: int, lanes: int, heads: int, capacity: int, entry_bytes: int) -> None:
        """Allocate; `entry_bytes` is the size of one head's key of one token, a multiple of 4.

        Raises:
            EngineError: CUDA refuses.
        """
        self.capacity, self.lanes = capacity, lanes
        self._cuda, self._planes, self._heads, self._entry = cuda, planes, heads, entry_bytes
        self.lane_bytes = heads * capacity * entry_bytes
        size = planes * lanes * self.lane_bytes
        self._base = cuda.allocate(size)
        cuda.clear(self._base, size)
        self._lane_of: dict[int, int] = {}
        self._blocks: dict[int, bool] = {}
        self._held: dict[int, int] = {}
        self._slot_at: dict[int, int] = {}
        self._doubtful: set[int] = set()
        self._free_lanes = set(range(lanes))
        self._free_slots = list(range(lanes - 1, -1, -1))

    def allocate(self, *, block: bool) -> int:
        """Return a free slot.

        Raises:
            EngineError: all slots are taken.
        """
        if not self._free_slots:
            raise EngineError(f"all {self.lanes} slots are taken")
        slot = self._free_slots.pop()
        self._enter(slot, self._free_lane(block=block), block=block)
        self._held[slot] = 0
        return slot

    def free(self, slot: int) -> None:
        """Give a slot back. Its lane must hold numbers alone: even masked, a NaN would spoil later passes over it."""
        lane = self._lane_of[slot]
        self._leave(slot)
        del self._blocks[slot], self._held[slot]
        self._free_slots.append(slot)
        if slot in self._doubtful:
            self._doubtful.remove(slot)
            self._clear(lane)

    def place(self, slot: int, *, block: bool) -> None:
        """Move a slot to the side of blocks, or to that of single tokens, if there is a free lane nearer to it."""
        if self._blocks[slot] == block or not self._free_lanes or slot in self._doubtful:
            return  # without a free lane the slot stays: the caller asks again before its next pass
        self._blocks[slot] = block
        lane, there = self._lane_of[slot], self._free_lane(block=block)
        if (there > lane) != block:
            return
        self._cuda.use()
        if held := self._held[slot]:
            self._cuda.move_box(self._box(there, 0), self._box(lane, 0), self._extent(held))
        self._leave(slot)
        self._enter(slot, there, block=block)

    def lane(self, slot: int) -> int:
        """Return the lane that a slot has at the moment."""
        return self._lane_of[slot]

    def held(self, slot: int) -> int:
        """Return how many entries of a slot may matter to a later row."""
        return self._held[slot]

    def held_at(self, lane: int) -> int:
        """Return the same for the slot that has a lane; 0 if the lane is free."""
        slot = self._slot_at.get(lane)
        return 0 if slot is None else self._held[slot]

    def hold(self, slot: int, count: int) -> None:
        """Note that a slot holds `count` entries; nothing will read those after them."""
        self._held[slot] = count

    def doubt(self, slot: int) -> None:
        """Note that what a slot holds may not be finite: a pass writes to it whose logits have not shown that."""
        self._doubtful.add(slot)

    def trust(self, slot: int) -> None:
        """Note that all that a slot holds is finite: logits of a token that sees all of it were."""
        self._doubtful.discard(slot)

    def doubts(self, slot: int) -> bool:
        """Whether what a slot holds may not be finite."""
        return slot in self._doubtful

    @property
    def longest(self) -> int:
        """Entries of the fullest slot."""
        return max(self._held.values(), default=0)

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

    def _clear(self, lane: int) -> None:
        """Write zeros over a whole lane, with what passes left there after the slot's entries."""
        self._cuda.use()
        for plane in range(self._planes):
            self._cuda.clear(self.address(plane, lane), self.lane_bytes)

    def _free_lane(self, *, block: bool) -> int:
        return max(self._free_lanes) if block else min(self._free_lanes)

    def _enter(self, slot: int, lane: int, *, block: bool) -> None:
        self._free_lanes.remove(lane)
        self._lane_of[slot], self._slot_at[lane], self._blocks[slot] = lane, slot, block

    def _leave(self, slot: int) -> None:
        lane = self._lane_of.pop(slot)
        del self._slot_at[lane]
        self._free_lanes.add(lane)

    def _box(self, lane: int, start: int) -> Pitched:
        """Where entries from `start` on lie: a row per head, a slice per plane."""
        address = self.address(0, lane) + start * self._entry
        return Pitched(address, self.capacity * self._entry, self.lanes * self._heads)

    def _host_box(self, entries: Floats) -> Pitched:
        return Pitched(entries.ctypes.data, entries.shape[2] * self._entry, self._heads)

    def _extent(self, count: int) -> tuple[int, int, int]:
        return count * self._entry, self._heads, self._planes
