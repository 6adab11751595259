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
FEW = 16
REFRESHED = 32
"""How rare each mark is, and so how much every prompt has to share, is worked out anew after each of the first FEW
requests, and after every so many later ones."""
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

Marks = npt.NDArray[np.int64]
Singles = npt.NDArray[np.float32]


class _Average:
    """Everyone's counts, older ones faded."""

    def __init__(self, size: int) -> None:
        self._sum: Floats = np.zeros(size)
        self.known = 0.0

    def add(self, counts: Floats) -> None:
        self._sum *= FADING
        self._sum += counts
        self.known = FADING * self.known + 1.0

    def times(self, number: float) -> Floats:
        """Return what so many requests show, zeros where none is known."""
        return self._sum * (number / max(self.known, 1.0))


class Kin:
    """What is known of requests, by the words of their prompts. Not thread-safe."""

    def __init__(self) -> None:
        empty = Acceptance()
        self._shape, size = empty.counts.shape, empty.counts.size
        self._has = np.zeros((MARKS, KEPT), dtype=np.float32)  # [mark, place]: whether the prompt kept there has it
        self._frequency = np.zeros(MARKS, dtype=np.float32)  # of the prompts kept, how many have it
        self._rarity = np.zeros(MARKS, dtype=np.float32)
        self._sizes = np.ones(KEPT, dtype=np.float32)
        self._marks = [np.zeros(0, dtype=np.int64)] * KEPT
        self._counts = np.zeros((KEPT, size), dtype=np.float32)
        self._figures = np.zeros((KEPT, *empty.figures.shape), dtype=np.float32)
        # drafts and blocks apart: an answer shows one of them, and says nothing of the other
        self._drafts, self._blocks = _Average(1 + size), _Average(3)
        self._learnt = 0

    def prior(self, marks: Marks) -> Prior:
        """Return what is known of the requests most like one whose prompt has `marks`, and a little of all others."""
        known = min(self._learnt, KEPT)
        if not known:
            return Prior()
        cosines, figures = self._cosines(marks, known), self._figures[:known]
        counts, blocks = self._drafts.times(ALL), self._blocks.times(ALL)
        kinship = evidence = 0.0
        near, weights = self._nearest(cosines * (figures[:, 0] > 0))
        if len(near):
            counts[0] += weights @ figures[near, 0]
            counts[1:] += weights @ self._counts[near]
            kinship, evidence = float(cosines[near].max()), float(cosines[near] @ figures[near, 0])
        if self._blocks.known:
            near, weights = self._nearest(cosines * (figures[:, 1] > 0))
            blocks += weights @ figures[near, 1:]
        return Prior(counts[1:].reshape(self._shape), (float(counts[0]), *blocks.tolist()), kinship, evidence)

    def learn(self, marks: Marks, own: Acceptance) -> None:
        """Add what a finished request has shown, whose prompt has `marks`; the oldest one is forgotten for it."""
        if not own.figures.any():
            return
        place = self._learnt % KEPT
        self._learnt += 1
        self._mark(place, marks)
        self._counts[place], self._figures[place] = own.counts.ravel(), own.figures
        if own.figures[0]:
            self._drafts.add(np.concatenate((own.figures[:1], own.counts.ravel())))
        if own.figures[1]:
            self._blocks.add(own.figures[1:])

    def _nearest(self, cosines: Singles) -> tuple[npt.NDArray[np.int64], Singles]:
        """Return the places of the nearest requests, of equals the latest, and what each of them counts for."""
        age = (self._learnt - 1 - np.arange(len(cosines))) % KEPT
        near = np.argsort(cosines - 1e-6 * age)[-NEAREST:]
        near = near[cosines[near] > STRANGE]
        weights = cosines[near] ** 2
        if len(near):
            weights *= min(WORTH, 2.0 * len(near)) * cosines[near].max() / weights.sum()
        return near, weights

    def _mark(self, place: int, marks: Marks) -> None:
        """Put a prompt in a place; how rare marks are is worked out anew for all of them only now and then."""
        old = self._marks[place]
        self._has[old, place] = 0.0
        self._frequency[old] -= 1.0
        self._marks[place] = marks
        self._has[marks, place] = 1.0
        self._frequency[marks] += 1.0
        if self._learnt <= FEW or self._learnt % REFRESHED == 0:
            self._rarity[:] = self._worth(np.arange(MARKS))
            np.dot(self._rarity, self._has, out=self._sizes)
        else:
            self._rarity[marks] = self._worth(marks)
            self._sizes[place] = self._rarity[marks].sum()

    def _worth(self, marks: Marks) -> Singles:
        """Return the square of each mark's inverse document frequency."""
        frequency = np.log((min(self._learnt, KEPT) + 1.0) / (self._frequency[marks] + 0.5))
        worth: Singles = np.maximum(frequency, COMMON).astype(np.float32) ** 2
        return worth

    def _cosines(self, marks: Marks, known: int) -> Singles:
        """Return (known,) cosines of the prompts kept with the one that has `marks`."""
        rarity = self._rarity[marks]
        common = rarity @ self._has[marks, :known]
        cosines: Singles = common / np.sqrt(self._sizes[:known] * rarity.sum() + 1e-12)
        return np.minimum(cosines, 1.0, out=cosines)


def marks_of(prompt: Sequence[int]) -> Marks:
    """Return (M,) the marks of the tokens that a prompt has, each once."""
    return np.array(list({token % MARKS for token in prompt[-READ:]}), dtype=np.int64)
