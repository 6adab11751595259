"""Lanes: which lane of a device's cache each slot has, and how much it holds.

Knows nothing of tokens, calls or of how memory is copied: an engine's cache says how a lane is moved and cleared.
"""

from __future__ import annotations

from ..errors import EngineError


class Lanes:
    """The bookkeeping of a cache with one lane for each live sequence.

    A lane is a row of a call's batch, so a call over neighbouring lanes reads and writes them where they are. Slots of
    single tokens take lanes from the bottom, slots of blocks from the top. A slot keeps its lane while it lives, unless
    its rows change from one kind to the other: a CUDA graph can be used again only while addresses stay the same.
    """

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
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
        if held := self._held[slot]:
            self._move(lane, there, held)
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

    def _move(self, lane: int, there: int, held: int) -> None:
        """Copy the first `held` entries of a lane to another one."""
        raise NotImplementedError

    def _clear(self, lane: int) -> None:
        """Write zeros over a whole lane, with what passes left there after the slot's entries."""
        raise NotImplementedError

    def _free_lane(self, *, block: bool) -> int:
        return max(self._free_lanes) if block else min(self._free_lanes)

    def _enter(self, slot: int, lane: int, *, block: bool) -> None:
        self._free_lanes.remove(lane)
        self._lane_of[slot], self._slot_at[lane], self._blocks[slot] = lane, slot, block

    def _leave(self, slot: int) -> None:
        lane = self._lane_of.pop(slot)
        del self._slot_at[lane]
        self._free_lanes.add(lane)
