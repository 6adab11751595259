"""Which rows share a compiled call over the GPU's cache, at which shape, and where each of its lanes writes.

Rows of a call are lanes of the cache, neighbours from `first` on, because the graph (scatter form) writes it in place.
What a call writes, padding and lanes without a row included, lands where no later row looks before it is written anew:

- a row that is kept writes at `start`; its padding lands behind what the slot then holds;
- a row that is not kept writes behind what the slot holds, wherever it starts, and the mask hides what lies between;
- a lane between the rows that has none runs as an idle row, which writes behind what its slot holds.

Pure arithmetic over lanes and lengths; knows nothing of devices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ...bundle.compilation import Profile
from ...bundle.manifest import Manifest
from ...errors import EngineError
from ..base import Ints, Row
from .call import Shape

LOGIT_ROWS_STEP = 8
"""Rows of logits are rounded up to a multiple of this, so that shapes recur."""
TOKENS_STEP = 64
"""Likewise the tokens of a prompt's chunk; those of a block to a power of two from SMALLEST_BLOCK on."""
SMALLEST_BLOCK = 4
PREFILL = "prefill"
"""The profile whose calls are one row each: a prompt's chunk fills the GPU alone, and its mask is the largest."""


class Lanes(Protocol):
    """What is asked of the cache."""

    def lane(self, slot: int) -> int:
        """Return where a slot lives."""
        ...

    def held_at(self, lane: int) -> int:
        """Return how many entries there matter to a later row."""
        ...


@dataclass(frozen=True)
class Window:
    """One compiled call.

    Attributes:
        members: place in the batch -> index of the row that runs there.
        writes: for each place, the entry from which on its lane is written.
    """

    shape: Shape
    members: dict[int, int]
    writes: list[int]

    @property
    def places(self) -> dict[int, int]:
        """Index of a row -> its place in the batch."""
        return {index: place for place, index in self.members.items()}


class Windows:
    """Makes windows for one plan and one cache."""

    def __init__(self, manifest: Manifest, lanes: Lanes) -> None:
        assert manifest.compiled is not None
        self._profiles = manifest.compiled.profiles
        self._buckets, self._capacity = manifest.buckets, manifest.capacity
        self._lanes = lanes

    def over(self, rows: Sequence[Row]) -> Window | None:
        """Return one call for all `rows`, or None if their lanes, lengths or the plan's profiles do not allow it."""
        size, wanted = max(len(row.tokens) for row in rows), max(len(row.want) for row in rows)
        number = self._profile(size)
        if number is None:
            return None
        profile = self._profiles[number]
        places = [self._lanes.lane(row.slot) for row in rows]
        first = min(places)
        batch = max(places) - first + 1
        most = 1 if profile.name == PREFILL else profile.batch[2]
        if batch > most or wanted > profile.rows[2]:
            return None
        writes = [self._lanes.held_at(lane) for lane in range(first, first + batch)]
        for lane, row in zip(places, rows, strict=True):
            writes[lane - first] = row.start if row.keep else max(row.start, writes[lane - first])
        room = self._capacity - max(writes)
        if room < size:
            return None
        seq = min(_rounded_tokens(size, profile), room)
        asked = min(_rounded_rows(wanted), profile.rows[2])
        shape = Shape(number, first, batch, seq, asked, self.bucket(max(writes) + seq))
        return Window(shape, {lane - first: index for index, lane in enumerate(places)}, writes)

    def groups(self, rows: Sequence[Row]) -> list[list[int]]:
        """Return `rows` by index in groups of neighbours that can share a call; one alone may need cutting."""
        groups: list[list[int]] = []
        for index in sorted(range(len(rows)), key=lambda index: self._lanes.lane(rows[index].slot)):
            if groups and self.over([rows[other] for other in (*groups[-1], index)]) is not None:
                groups[-1].append(index)
            else:
                groups.append([index])
        return groups

    def pieces(self, row: Row) -> list[tuple[Ints, Row]]:
        """Cut a row that asks for more than a profile holds into rows to run one after another.

        Returns:
            For each piece the places in `row.want` that it answers, and the piece.

        Raises:
            EngineError: it cannot be cut: not causal, or not kept, and longer than every profile.
        """
        longest = max(self._profiles, key=lambda profile: profile.seq[2])
        size, most = len(row.tokens), longest.rows[2]
        whole = np.arange(len(row.want))
        if isinstance(row.sees, str) and row.sees == "causal" and row.keep:
            step = longest.seq[2] if len(row.want) <= most else min(longest.seq[2], most)
            cut = []
            for at in range(0, size, step):
                inside = whole[(row.want >= at) & (row.want < at + step)]
                tokens, want = row.tokens[at : at + step], row.want[inside] - at
                cut.append((inside, row._replace(tokens=tokens, start=row.start + at, want=want)))
            return cut
        if size > longest.seq[2]:
            limit = f"the plan's longest profile, {longest.name}, holds {longest.seq[2]}"
            raise EngineError(f"a pass of {size} tokens that is not both causal and kept cannot be cut; {limit}")
        parts = [whole[at : at + most] for at in range(0, max(len(whole), 1), most)]
        return [(part, row._replace(want=row.want[part])) for part in parts]

    def bucket(self, length: int) -> int:
        """Return how many entries attention reads where `length` matter."""
        return next(bucket for bucket in self._buckets if bucket >= length)

    def _profile(self, size: int) -> int | None:
        """Return the first profile, the one with the fewest tokens, that holds rows of `size` tokens."""
        fitting = (n for n, profile in enumerate(self._profiles) if profile.seq[0] <= size <= profile.seq[2])
        return next(fitting, None)


def _rounded_tokens(size: int, profile: Profile) -> int:
    if size == 1:
        return 1
    rounded = -(-size // TOKENS_STEP) * TOKENS_STEP
    if size <= TOKENS_STEP:
        rounded = max(SMALLEST_BLOCK, 1 << (size - 1).bit_length())
    return min(rounded, profile.seq[2])


def _rounded_rows(wanted: int) -> int:
    return wanted if wanted < 2 else -(-wanted // LOGIT_ROWS_STEP) * LOGIT_ROWS_STEP
