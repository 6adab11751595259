"""Matches: where the last tokens of a text stand in another one, more of them at each step. Knows tokens alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

LONGEST_MATCH = 4
"""Tokens that are looked for at most."""


def matches(text: Ints, tail: Ints, first: int = 0, last: int | None = None) -> Iterator[tuple[int, Ints]]:
    """Yield (size, ends) for 1, 2 and up to LONGEST_MATCH tokens, as long as there is a match.

    Args:
        text: (N,) int64, what is searched.
        tail: (T,) int64, whose last `size` tokens are looked for.
        first, last: a match ends at one of the places from `first` up to but not including `last`.

    Returns:
        Pairs of a size, and (M,) int64, M > 0: the place in `text` of each match's last token, in order.
    """
    if not len(tail):
        return
    ends = first + np.flatnonzero(text[first:last] == tail[-1])
    for size in range(1, min(LONGEST_MATCH, len(tail)) + 1):
        if size > 1:
            ends = ends[ends >= size - 1]
            ends = ends[text[ends - size + 1] == tail[-size]]
        if not len(ends):
            return
        yield size, ends
