"""Which rows share a pass of the torch engine, in which shape, and where each lane of the pass writes.

Pure arithmetic over lanes and lengths. Knows nothing of devices or of what a row's tokens are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ...errors import EngineError
from ..base import Row
from ..inputs import rounded_rows
from ..lanes import Lanes
from ..window import Window

SIZES = (1, 8, 16, 32, 64)
"""Tokens of a row, rounded up to one of these, and to a multiple of the last beyond it, so that few shapes occur."""
SMALL = 8
"""Tokens of the smallest block that has shapes of its own in the fixed list: what diffusion is asked for many rows."""
MARGIN = 320
"""Entries of a lane beyond the capacity, for what is written and not kept: the pass of a quadratic draft of 16 tokens
has 272, which are rounded up to this. A wider pass runs where its lane has room."""
SHORTEST = 256
"""Entries that attention reads at least; the number doubles from here on, which keeps the shapes few."""
LONGEST = 1024
"""Tokens of the longest pass over a text; a longer one is read in pieces, so that its logits and masks stay small."""


class Shape(NamedTuple):
    """All that a pass's CUDA graph depends on.

    Attributes:
        first: the lane with which the batch begins. batch: lanes. seq: tokens of a row.
        rows: rows of logits of each lane, at least 1. length: entries of a lane that attention reads.
    """

    first: int
    batch: int
    seq: int
    rows: int
    length: int


class Windows:
    """Makes windows for one cache.

    A pass writes its padding and its lanes without a row too. All of it lands where no later row looks before that
    entry is written again: a row that is kept writes from its `start`, any other after all that its slot holds, and so
    does a lane without a row; the mask hides what lies between.
    """

    def __init__(self, lanes: Lanes, capacity: int, *, block: int | None = None) -> None:
        """Prepare for lanes of `capacity` + MARGIN entries.

        Args:
            block: tokens of a block. Then each batch begins or ends where the lanes do, with a power of two of them,
                and rows have one token, SMALL or a block's, so that the shapes are those of `fixed`. With None a batch
                has the rows' lanes alone, and computes less.
        """
        self._lanes = lanes
        self._sizes = () if block is None else tuple(sorted({1, min(SMALL, rounded(block)), rounded(block)}))
        self.room = capacity + MARGIN
        self._lengths = [*_doubling(SHORTEST, self.room), self.room]

    def length(self, entries: int) -> int:
        """Return how many entries attention reads if `entries` of them matter."""
        return next(length for length in self._lengths if length >= entries)

    def over(self, rows: Sequence[Row]) -> list[Window[Shape]]:
        """Return the passes for `rows`: one if it has room in every lane, else one for each row.

        Raises:
            EngineError: a row alone has no room in its lane.
        """
        whole = self._window(rows, range(len(rows)), self._sizes)
        if whole is not None:
            return [whole]
        found = [self._window(rows, [index], ()) for index in range(len(rows))]
        for row, window in zip(rows, found, strict=True):
            if window is None:
                limit = f"the {self.room} entries of its lane, of which {self._written(row)} are in use"
                raise EngineError(f"a pass of {len(row.tokens)} tokens does not fit {limit}")
        return [window for window in found if window is not None]

    def fits_alone(self, row: Row) -> bool:
        """Whether a row has room in its lane as it is."""
        return self._written(row) + len(row.tokens) <= self.room

    def fixed(self) -> set[Shape]:
        """Return the shapes of single tokens and of blocks: at both ends of the lanes, as rows of a kind may end up."""
        total = self._lanes.lanes
        batches = [*_doubling(1, total), total]
        ends = {(first, batch) for batch in batches for first in (0, total - batch)}
        return {Shape(*end, seq, seq, length) for end in ends for seq in self._sizes for length in self._lengths}

    def _written(self, row: Row) -> int:
        return row.start if row.keep else max(row.start, self._lanes.held(row.slot))

    def _window(self, rows: Sequence[Row], chosen: Sequence[int], sizes: Sequence[int]) -> Window[Shape] | None:
        """Return one pass of the rows `chosen`, anchored where there are `sizes`; None if a lane has no room for it."""
        lanes = {self._lanes.lane(rows[index].slot): index for index in chosen}
        first, batch = self._span(min(lanes), max(lanes), anchored=bool(sizes))
        writes = [self._lanes.held_at(lane) for lane in range(first, first + batch)]
        for lane, index in lanes.items():
            writes[lane - first] = self._written(rows[index])
        size = max(len(rows[index].tokens) for index in chosen)
        if (room := self.room - max(writes)) < size:
            return None
        seq = min(next((one for one in sizes if one >= size), rounded(size)), room)
        wanted = max(len(rows[index].want) for index in chosen)
        asked = seq if seq in sizes else max(1, rounded_rows(wanted, seq))
        shape = Shape(first, batch, seq, asked, self.length(max(writes) + seq))
        return Window(shape, {lane - first: index for lane, index in lanes.items()}, writes)

    def _span(self, low: int, high: int, *, anchored: bool) -> tuple[int, int]:
        """Return the first lane, and the number of lanes, of a batch that contains lanes `low` to `high`."""
        if not anchored:
            return low, high - low + 1
        total = self._lanes.lanes
        from_below = high + 1 <= total - low
        needed = high + 1 if from_below else total - low
        batch = min(1 << (needed - 1).bit_length(), total)
        return (0 if from_below else total - batch), batch


def pieces(row: Row) -> list[Row]:
    """Cut a text of more than LONGEST tokens into rows that are read one after another; any other row stays whole.

    A text is causal, and all of it is kept.
    """
    causal = isinstance(row.sees, str) and row.sees == "causal"
    if len(row.tokens) <= LONGEST or not causal or row.stored < len(row.tokens):
        return [row]
    cut = []
    for at in range(0, row.stored, LONGEST):
        inside = (row.want >= at) & (row.want < at + LONGEST)
        tokens, positions = row.tokens[at : at + LONGEST], row.positions
        part = row._replace(tokens=tokens, start=row.start + at, want=row.want[inside] - at, leading=None)
        if positions is not None:
            part = part._replace(positions=positions[at : at + LONGEST])
        if row.features is not None:
            part = part._replace(features=row.features.within(at, LONGEST))
        if isinstance(row.adapter, bool):
            cut.append(part)
        else:
            cut.append(part._replace(adapter=row.adapter[at : at + LONGEST]))
    return cut


def rounded(size: int) -> int:
    """Return how many tokens a row of `size` tokens takes, padding included."""
    if size > SIZES[-1]:
        return -(-size // SIZES[-1]) * SIZES[-1]
    return next(one for one in SIZES if one >= size)


def _doubling(first: int, below: int) -> Iterator[int]:
    while first < below:
        yield first
        first *= 2
