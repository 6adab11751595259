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
        self._marks = np.zeros((KEPT, MARKS), dtype=np.float32)
        self._frequency = np.zeros(MARKS, dtype=np.float32)  # of those kept, how many have it
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
        self._frequency -= self._marks[place]
        self._marks[place] = _marks(prompt)
        self._frequency += self._marks[place]
        self._counts[place], self._figures[place] = own.counts, own.figures
        self._everyone = FADING * self._everyone + own.counts
        self._figures_of_everyone = FADING * self._figures_of_everyone + own.figures
        self._answers = FADING * self._answers + 1.0
        self._learnt += 1

    def _cosines(self, prompt: Sequence[int], known: int) -> Floats:
        """Return (known,) cosines of the prompts kept with this one, marks weighted by how rare they are."""
        rarity = np.log((known + 1.0) / (self._frequency + 0.5)).clip(0.0) ** 2
        own = np.flatnonzero(_marks(prompt))
        common = self._marks[:known, own] @ rarity[own]
        size = (self._marks[:known] @ rarity) * rarity[own].sum()
        cosines: Floats = (common / np.sqrt(np.maximum(size, 1e-12))).astype(np.float64)
        return cosines


def _marks(prompt: Sequence[int]) -> npt.NDArray[np.float32]:
    """Return (MARKS,) ones for the tokens that a prompt has."""
    found = np.zeros(MARKS, dtype=np.float32)
    found[np.asarray(prompt[-READ:], dtype=np.int64) % MARKS] = 1.0
    return found
