"""Slots for keys and values: one array, one lane per live sequence, resized as sequences come, grow and leave.

Lanes of single-token rows fill up from the bottom and lanes of block rows from the top, without gaps, so that the
rows of one engine call are neighbours and can be passed without a copy. Knows nothing of tokens or graphs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...errors import EngineError

Floats = npt.NDArray[np.float32]


class Slots:
    """Keys and values of all live sequences, (planes, lanes, heads, capacity, head_dim) float32.

    A plane is one layer's keys or values: plane 2l the keys, 2l + 1 the values of layer l. Slot numbers are stable for
    the caller; which lane a slot has may change whenever a slot is freed. Arrays of capacities used before are kept, so
    that buffers bound to them stay valid; pages that were never written take no memory.
    """

    def __init__(self, planes: int, heads: int, head_dim: int, buckets: Sequence[int], max_slots: int) -> None:
        self._shape = (planes, heads, head_dim)
        self._buckets = tuple(buckets)
        self._max_slots = max_slots
        self._low: list[int] = []  # slots in lanes 0, 1, …
        self._high: list[int] = []  # slots in the last lane, the one before, …
        self._lengths: dict[int, int] = {}
        self._free = list(range(max_slots - 1, -1, -1))
        self._arrays: dict[int, Floats] = {}
        self.data = self._array(buckets[0])

    @property
    def capacity(self) -> int:
        """Entries a lane of `data` holds at the moment."""
        return self.data.shape[3]

    def allocate(self, *, block: bool) -> int:
        """Return a free slot.

        Raises:
            EngineError: all slots are taken.
        """
        if not self._free:
            raise EngineError(f"all {self._max_slots} slots are taken")
        slot = self._free.pop()
        (self._high if block else self._low).append(slot)
        self._lengths[slot] = 0
        return slot

    def free(self, slot: int) -> None:
        """Give `slot` back."""
        self._leave(slot)
        del self._lengths[slot]
        self._free.append(slot)
        needed = self._bucket(max(self._lengths.values(), default=0))
        if needed < self.capacity and needed in self._arrays:  # giving back must not need memory
            self._resize(needed)

    def place(self, slot: int, *, block: bool) -> None:
        """Move `slot` with its entries to the side of blocks, or of single tokens, unless it is there already."""
        side = self._high if block else self._low
        if slot in side:
            return
        length = self._lengths[slot]
        held = self.copy_out(slot, 0, length)
        self._leave(slot)
        side.append(slot)
        self.data[:, self.lane(slot), :, :length] = held

    def copy_out(self, slot: int, start: int, count: int) -> Floats:
        """Return (planes, heads, count, head_dim), a copy of the entries from `start` on."""
        return self.data[:, self.lane(slot), :, start : start + count].copy()

    def copy_in(self, slot: int, start: int, entries: Floats) -> None:
        """Put (planes, heads, count, head_dim) at `start`."""
        count = entries.shape[2]
        self.reserve(slot, start + count)
        self.data[:, self.lane(slot), :, start : start + count] = entries

    def _leave(self, slot: int) -> None:
        """Take `slot` from its side; the outermost lane of that side moves into the gap."""
        side = self._high if slot in self._high else self._low
        last = side[-1]
        if last != slot:
            length = self._lengths[last]
            self.data[:, self.lane(slot), :, :length] = self.data[:, self.lane(last), :, :length]
            side[side.index(slot)] = last
        side.pop()

    def lane(self, slot: int) -> int:
        """Return where `slot` lives in `data` at the moment."""
        return self._low.index(slot) if slot in self._low else self._max_slots - 1 - self._high.index(slot)

    def reserve(self, slot: int, length: int) -> None:
        """Make room for `length` entries in `slot`.

        Raises:
            EngineError: no sequence can be that long.
        """
        if length > self.capacity:
            self._resize(self._bucket(length))
        self._lengths[slot] = max(self._lengths[slot], length)

    def _bucket(self, length: int) -> int:
        for bucket in self._buckets:
            if length <= bucket:
                return bucket
        raise EngineError(f"a sequence of {length} tokens exceeds the engine's capacity of {self._buckets[-1]}")

    def _array(self, capacity: int) -> Floats:
        if capacity not in self._arrays:
            planes, heads, head_dim = self._shape
            # zeros, not empty: what lies past a sequence's length is masked, but must be finite
            shape = (planes, self._max_slots, heads, capacity, head_dim)
            self._arrays[capacity] = np.zeros(shape, dtype=np.float32)
        return self._arrays[capacity]

    def _resize(self, capacity: int) -> None:
        old, new = self.data, self._array(capacity)
        for slot, length in self._lengths.items():
            lane = self.lane(slot)
            new[:, lane, :, :length] = old[:, lane, :, :length]
        self.data = new
