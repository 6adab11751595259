"""Kin: earlier requests whose prompts share rare words with a new one, and what their drafts and blocks were worth.

Prompts are compared by the tokens near their end, where the question stands, each counted the more the fewer of the
prompts kept have it: once a few requests are known, what all begin with, a chat template or a system prompt, makes
nobody alike. Knows nothing of costs or modes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .acceptance import Acceptance, Floats, Prior

KEPT = 256
"""Requests that are remembered, the latest."""
READ = 256
"""Tokens of a prompt that it is compared by, the last ones."""
MARKS = 4096
"""Token ids are told apart by their remainder; so many that two long prompts without a common token seem unlike."""
COMMON = 0.1
"""Least inverse document frequency, of marks that all have: between equal prompts they are all there is."""
REFRESHED = 16
"""Requests learnt after which the sizes of all prompts kept are worked out anew."""
NEAREST = 6
"""Most requests that a prior is made of; of those equally near the latest."""
STRANGE = 0.15
"""Cosine of two prompts below which one says nothing of the other."""
WORTH = 10.0
"""Requests that the nearest count for together at most, if one of them is just alike; each counts for two at most."""
ALL = 0.25
"""Requests that the average of everyone counts for."""
FADING = 0.9
"""What remains of everyone's older counts at each new request."""


class _Average:
    """Everyone's counts, older ones faded."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._sum: Floats = np.zeros(shape)
        self._number = 0.0

    def add(self, counts: Floats) -> None:
        self._sum = FADING * self._sum + counts
        self._number = FADING * self._number + 1.0

    def times(self, number: float) -> Floats:
        """Return what so many requests show, zeros where none is known."""
        return self._sum * (number / max(self._number, 1.0))


class Kin:
    """What is known of requests, by the words of their prompts. Not thread-safe."""

    def __init__(self) -> None:
        empty = Acceptance()
        self._has = np.zeros((MARKS, KEPT), dtype=np.float32)  # [mark, place]: whether the prompt kept there has it
        self._frequency = np.zeros(MARKS)  # of the prompts kept, how many have it
        self._sizes = np.zeros(KEPT)
        self._marks = [np.zeros(0, dtype=np.int64)] * KEPT
        self._counts = np.zeros((KEPT, *empty.counts.shape))
        self._figures = np.zeros((KEPT, *empty.figures.shape))
        # drafts and blocks apart: an answer shows one of them, and says nothing of the other
        self._drafts, self._verifications = _Average(empty.counts.shape), _Average(())
        self._blocks = _Average((3,))
        self._learnt = 0

    def prior(self, prompt: Sequence[int]) -> Prior:
        """Return what is known of the requests most like one with `prompt`, and a little of all others."""
        known = min(self._learnt, KEPT)
        if not known:
            return Prior()
        cosines = self._cosines(prompt, known)
        drafted, weights = self._nearest(cosines, self._figures[:known, 0] > 0)
        counts = np.tensordot(weights, self._counts[drafted], 1) + self._drafts.times(ALL)
        verifications = float(weights @ self._figures[drafted, 0] + self._verifications.times(ALL))
        evidence = float(cosines[drafted] @ self._figures[drafted, 0])
        kinship = float(cosines[drafted].max(initial=0.0))
        denoised, weights = self._nearest(cosines, self._figures[:known, 1] > 0)
        blocks = weights @ self._figures[denoised, 1:] + self._blocks.times(ALL)
        return Prior(counts, np.array([verifications, *blocks]), kinship, evidence)

    def learn(self, prompt: Sequence[int], own: Acceptance) -> None:
        """Add what a finished request has shown; the oldest one is forgotten for it."""
        if not own.figures.any():
            return
        place = self._learnt % KEPT
        self._learnt += 1
        self._mark(place, _marks(prompt))
        self._counts[place], self._figures[place] = own.counts, own.figures
        if own.figures[0]:
            self._drafts.add(own.counts)
            self._verifications.add(own.figures[0])
        if own.figures[1]:
            self._blocks.add(own.figures[1:])

    def _nearest(self, cosines: Floats, among: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], Floats]:
        """Return the places of the nearest requests `among` those kept, and what each of them counts for."""
        places = np.flatnonzero(among & (cosines > STRANGE))
        age = (self._learnt - 1 - places) % KEPT
        nearest = places[np.lexsort((age, -cosines[places].round(3)))[:NEAREST]]
        weights = cosines[nearest] ** 2
        if len(nearest):
            weights *= min(WORTH, 2.0 * len(nearest)) * cosines[nearest].max() / weights.sum()
        return nearest, weights

    def _mark(self, place: int, marks: npt.NDArray[np.int64]) -> None:
        """Put a prompt in a place."""
        old = self._marks[place]
        self._has[old, place] = 0.0
        self._frequency[old] -= 1.0
        self._marks[place] = marks
        self._has[marks, place] = 1.0
        self._frequency[marks] += 1.0
        if self._learnt <= REFRESHED or self._learnt % REFRESHED == 0:
            self._sizes = self._rarity(np.arange(MARKS)) @ self._has
        else:
            self._sizes[place] = self._rarity(marks).sum()

    def _rarity(self, marks: npt.NDArray[np.int64]) -> Floats:
        """Return the square of each mark's inverse document frequency."""
        frequency = np.log((min(self._learnt, KEPT) + 1.0) / (self._frequency[marks] + 0.5))
        rarity: Floats = np.maximum(frequency, COMMON) ** 2
        return rarity

    def _cosines(self, prompt: Sequence[int], known: int) -> Floats:
        """Return (known,) cosines of the prompts kept with this one; sizes may be of some requests ago."""
        marks = _marks(prompt)
        rarity = self._rarity(marks)
        common = rarity @ self._has[marks, :known]
        cosines: Floats = common / np.sqrt(np.maximum(self._sizes[:known] * rarity.sum(), 1e-12))
        return cosines.clip(0.0, 1.0)


def _marks(prompt: Sequence[int]) -> npt.NDArray[np.int64]:
    """Return the marks of the tokens that a prompt has, each once."""
    marks: npt.NDArray[np.int64] = np.unique(np.asarray(prompt[-READ:], dtype=np.int64) % MARKS)
    return marks
