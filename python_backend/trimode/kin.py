"""Kin: earlier requests whose prompts have the same words, and what their drafts and blocks were worth.

Prompts are compared by the tokens near their end, where the question stands, each counted the more the fewer prompts
have it: what all begin with, a chat template or a system prompt, makes nobody alike. Knows nothing of costs or modes.
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
MARKS = 1024
"""Token ids are told apart by their remainder."""
NEAREST = 6
"""Most requests that a prior is made of."""
STRANGE = 0.15
"""Cosine of two prompts below which one says nothing of the other."""
WORTH = 10.0
"""Requests that the nearest count for together, if one of them is just alike."""
ALL = 0.25
"""Requests that what is known of everyone counts for."""
FADING = 0.9
"""What remains of everyone's older counts at each new request."""


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
        self._everyone, self._figures_of_everyone, self._answers = empty.counts, empty.figures, 0.0
        self._learnt = 0

    def prior(self, prompt: Sequence[int]) -> Prior:
        """Return what is known of the requests most like one with `prompt`, and a little of all others."""
        known = min(self._learnt, KEPT)
        if not known:
            return Prior()
        cosines = self._cosines(prompt, known)
        nearest = np.argsort(-cosines)[:NEAREST]
        nearest = nearest[cosines[nearest] > STRANGE]
        weights = cosines[nearest] ** 2
        kinship = float(cosines[nearest].max(initial=0.0))
        if len(nearest):
            weights *= WORTH * kinship / weights.sum()
        share = ALL / self._answers
        counts = np.tensordot(weights, self._counts[nearest], 1) + share * self._everyone
        figures = weights @ self._figures[nearest] + share * self._figures_of_everyone
        return Prior(counts, figures, kinship)

    def learn(self, prompt: Sequence[int], own: Acceptance) -> None:
        """Add what a finished request has shown; the oldest one is forgotten for it."""
        if not own.figures.any():
            return
        place = self._learnt % KEPT
        self._learnt += 1
        self._mark(place, _marks(prompt))
        self._counts[place], self._figures[place] = own.counts, own.figures
        self._everyone = FADING * self._everyone + own.counts
        self._figures_of_everyone = FADING * self._figures_of_everyone + own.figures
        self._answers = FADING * self._answers + 1.0

    def _mark(self, place: int, marks: npt.NDArray[np.int64]) -> None:
        """Put a prompt in a place; sizes are worked out anew each time that twice as much is known."""
        old = self._marks[place]
        self._has[old, place] = 0.0
        self._frequency[old] -= 1.0
        self._marks[place] = marks
        self._has[marks, place] = 1.0
        self._frequency[marks] += 1.0
        if self._learnt & (self._learnt - 1) == 0 or self._learnt % KEPT == 0:
            self._sizes = self._rarity(np.arange(MARKS)) @ self._has
        else:
            self._sizes[place] = self._rarity(marks).sum()

    def _rarity(self, marks: npt.NDArray[np.int64]) -> Floats:
        """Return the square of each mark's inverse document frequency."""
        rarity: Floats = np.log1p((min(self._learnt, KEPT) + 1.0) / (self._frequency[marks] + 0.5)) ** 2
        return rarity

    def _cosines(self, prompt: Sequence[int], known: int) -> Floats:
        """Return (known,) cosines of the prompts kept with this one, about."""
        marks = _marks(prompt)
        rarity = self._rarity(marks)
        common = rarity @ self._has[marks, :known]
        cosines: Floats = common / np.sqrt(np.maximum(self._sizes[:known] * rarity.sum(), 1e-12))
        return cosines.clip(0.0, 1.0)


def _marks(prompt: Sequence[int]) -> npt.NDArray[np.int64]:
    """Return the marks of the tokens that a prompt has, each once."""
    marks: npt.NDArray[np.int64] = np.unique(np.asarray(prompt[-READ:], dtype=np.int64) % MARKS)
    return marks
