"""Prediction: a text that the caller expects as the answer, such as a file before an edit, and the place in it.

After a difference the two texts meet again where the last tokens of the answer stand in the prediction, as an editor
compares two versions of a file. Knows tokens alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...api.counters import FreeDraft
from .matches import LONGEST_MATCH, matches

Ints = npt.NDArray[np.int64]

SURE_MATCH = 2
"""Tokens that must be found where one alone would be found by chance: for a place to count, or far away."""
NEAR = 64
"""Tokens from the expected place up to which a match is preferred to a longer one elsewhere."""
NEXT = 8
"""Tokens from the expected place up to which a single token is a match: a word was put in or left out."""
REPLACED = 2
"""Tokens after a difference for which, with no match, as many are taken to be replaced."""


class Prediction:
    """The expected text (N,) as ids, and the place in it that the answer has come to."""

    kind: FreeDraft = "prediction"

    def __init__(self, ids: Sequence[int]) -> None:
        """Expect `ids` from the answer's first token on."""
        self._ids: Ints = np.asarray(ids, dtype=np.int64)
        self._at: int | None = 0
        self._agreed = 0  # tokens that agreed, one after the other, up to `_at`
        self._sure = (0, 0)  # where they last agreed for certain: a place here, and the answer's length then

    def follow(self, token: int, length: int) -> None:
        """Go on by a token that the answer now ends with; `length` counts the answer's tokens with it."""
        at = self._at
        if at is None or at >= len(self._ids) or self._ids[at] != token:
            self._at, self._agreed = None, 0
            return
        self._at, self._agreed = at + 1, self._agreed + 1
        if self._agreed >= SURE_MATCH:
            self._sure = (at + 1, length)

    def next(self, answer: Ints, count: int) -> tuple[int, Ints]:
        """Return at most `count` tokens that should follow `answer` (A,), and how sure their place is.

        Returns:
            The tokens that agree before them, at most LONGEST_MATCH; and (n,) int64, empty where there are none.
        """
        if self._at is None:
            self._at, self._agreed = self._meeting(answer)
        if self._at is None:
            return 0, self._ids[:0]
        return min(self._agreed, LONGEST_MATCH), self._ids[self._at : self._at + count]

    def _meeting(self, answer: Ints) -> tuple[int | None, int]:
        """Return the place from which the texts should agree again, None if it is not known, and what agrees before."""
        place, length = self._sure
        expected = place + len(answer) - length
        for reach, least in ((NEAR, SURE_MATCH), (NEXT, 1), (len(self._ids) + len(answer), SURE_MATCH + 1)):
            found = self._nearest(answer, expected, reach, least)
            if found[0] is not None:
                return found
        return (expected if len(answer) - length <= REPLACED else None), 0

    def _nearest(self, answer: Ints, expected: int, reach: int, least: int) -> tuple[int | None, int]:
        """Return the end of the longest match, at least `least` tokens, within `reach`; of equals the nearest one."""
        found: int | None = None
        matched = 0
        for size, ends in matches(self._ids, answer, max(0, expected - reach), max(0, expected + reach + 1)):
            if size >= least:
                matched, found = size, 1 + int(ends[np.abs(ends + 1 - expected).argmin()])
        return found, matched
