"""Which rows share a TensorRT call over the GPU's cache, with which shape, and where each lane of the call writes.

Pure arithmetic over lanes and lengths. Knows nothing of devices or of what a row's tokens are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...bundle.compilation import Profile
from ...bundle.manifest import Manifest
from ...errors import EngineError
from ..base import Ints, Row
from ..inputs import rounded_rows
from ..lanes import Lanes
from ..window import Window
from .layout import Shape

TOKENS_STEP = 64
"""Tokens of a prompt's chunk; their number is rounded up to a multiple of this, so that shapes recur."""
SMALLEST_BLOCK = 4
"""Tokens of the shortest block; the number of a block's tokens is rounded up to a power of two from this on."""
PREFILL = "prefill"
"""The profile whose calls are one row each: a prompt's chunk fills the GPU alone, and its mask is the largest."""


class Windows:
    """Makes windows for one plan and one cache.

    Rows of a call are neighbouring lanes of the cache from `first` on, because the graph (scatter form) writes it in
    place. A call writes its padding and its lanes without a row too. All of it lands where no later row looks before
    that entry is written again:

    - a row that is kept writes from `start`; its padding lands after the entries that the slot then holds;
    - a row that is not kept writes after the entries that the slot holds, wherever it starts, and the mask hides what
      lies between;
    - a lane between the rows that has no row runs as an idle row, which writes after the entries that its slot holds.
    """

    def __init__(self, manifest: Manifest, lanes: Lanes) -> None:
        assert manifest.compiled is not None
        self._profiles = manifest.compiled.profiles
        self._buckets, self._capacity = manifest.buckets, manifest.capacity
        self._reads_pictures = manifest.vision is not None
        self._lanes = lanes

    def over(self, rows: Sequence[Row]) -> Window[Shape] | None:
        """Return one call for all `rows`; None if their lanes, their lengths or the plan's profiles do not allow it."""
        size, wanted = max(len(row.tokens) for row in rows), max(len(row.want) for row in rows)
        number = self._profile(size, wanted)
        if number is None:
            return None
        profile = self._profiles[number]
        lanes = [self._lanes.lane(row.slot) for row in rows]
        first = min(lanes)
        batch = max(lanes) - first + 1
        most = 1 if profile.name == PREFILL else profile.batch[2]
        if batch > most:
            return None
        writes = [self._lanes.held_at(lane) for lane in range(first, first + batch)]
        for lane, row in zip(lanes, rows, strict=True):
            writes[lane - first] = row.start if row.keep else max(row.start, writes[lane - first])
        room = self._capacity - max(writes)
        if room < size:
            return None
        seq = min(_rounded_tokens(size, profile), room)
        asked = rounded_rows(wanted, profile.rows[2])
        shape = Shape(number, first, batch, seq, asked, self.bucket(max(writes) + seq), self._images(rows, batch * seq))
        return Window(shape, {lane - first: index for index, lane in enumerate(lanes)}, writes)

    def groups(self, rows: Sequence[Row]) -> list[list[int]]:
        """Return the indices of `rows` in groups of neighbours that share a call; a row alone may have to be cut."""
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
            For each piece the indices into `row.want` that it answers, and the piece.

        Raises:
            EngineError: the row is longer than every profile and cannot be cut, being not causal or not kept.
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
                seen = None if row.features is None else row.features.within(at, len(tokens))
                piece = row._replace(tokens=tokens, start=row.start + at, want=want, features=seen)
                cut.append((inside, piece))
            return cut
        if size > longest.seq[2]:
            limit = f"the plan's longest profile, {longest.name}, holds {longest.seq[2]}"
            raise EngineError(f"a pass of {size} tokens that is not both causal and kept cannot be cut; {limit}")
        parts = [whole[at : at + most] for at in range(0, max(len(whole), 1), most)]
        return [(part, row._replace(want=row.want[part])) for part in parts]

    def bucket(self, length: int) -> int:
        """Return how many entries attention reads if `length` of them matter."""
        return next(bucket for bucket in self._buckets if bucket >= length)

    def _images(self, rows: Sequence[Row], tokens: int) -> int:
        """Return how many rows of pictures a call of so many tokens has; see Shape."""
        if not self._reads_pictures:
            return 0
        return tokens if any(row.features is not None for row in rows) else 1

    def _profile(self, size: int, wanted: int) -> int | None:
        """Return the first profile that holds rows of `size` tokens of which `wanted` give logits, if there is one."""
        fitting = (
            number
            for number, profile in enumerate(self._profiles)
            if profile.seq[0] <= size <= profile.seq[2] and wanted <= profile.rows[2]
        )
        return next(fitting, None)


def _rounded_tokens(size: int, profile: Profile) -> int:
    if size == 1:
        return 1
    rounded = -(-size // TOKENS_STEP) * TOKENS_STEP
    if size <= TOKENS_STEP:
        rounded = max(SMALLEST_BLOCK, 1 << (size - 1).bit_length())
    return min(rounded, profile.seq[2])
