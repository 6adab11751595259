"""Lanes: which lane of a device's cache each slot has, and how much it holds.

Knows nothing of calls or of how memory is copied: an engine's cache says how a lane is moved and cleared.
"""

from __future__ import annotations

from ..errors import EngineError
from .base import Row


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
        self._doubtful: dict[int, int] = {}
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
            del self._doubtful[slot]
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

    def doubt(self, row: Row) -> None:
        """Note that what `row` leaves in its slot may not be finite: no logits have shown that."""
        self._doubtful[row.slot] = max(self._doubtful.get(row.slot, 0), row.start + row.stored)

    def passed(self, row: Row, *, finite: bool) -> None:
        """Note what a pass over `row` left in its slot, and whether the logits that it asked for are `finite`.

        With them all is that the token of one of them sees. A slot that was in doubt stays so unless that is all that
        was: a row that starts before entries which an earlier one left does not see these.
        """
        stored = row.stored
        if row.keep:
            self._held[row.slot] = row.start + stored
        if not (finite and _sees_all(row)):
            self.doubt(row)
        elif self._doubtful and row.start + stored >= self._doubtful.get(row.slot, 0):
            self._doubtful.pop(row.slot, None)

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


def _sees_all(row: Row) -> bool:
    """Whether a token whose logits a row asks for sees all its tokens, and all its slot's entries before them."""
    if not isinstance(row.sees, str) or not len(row.want):
        return False
    return row.sees == "block" or bool(row.want[-1] == len(row.tokens) - 1)
