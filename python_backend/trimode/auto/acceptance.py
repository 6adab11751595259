"""Acceptance: what drafts and denoised blocks were worth, counted for one request and expected from what is known.

Knows nothing of other requests, of engines, or of what a pass costs; kin.py finds the requests that are alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..api.fields import MAX_BLOCK_LENGTH

HOPE = 0.9
"""Chance that a drafted token is right where nothing is known yet: drafting is tried, and soon known."""
FAITH = 3.0
"""Drafted tokens that this hope counts for."""
STRENGTH = 3.0
"""Verifications at a place of the draft that what is expected there counts for, against a request's own."""

STRETCH = 16
STRETCHES = 8
"""Runs are counted by where in the answer they begin, in so many stretches of so many tokens: answers of a kind often
end alike, and what a draft is worth depends on how much is left to say."""
LOCAL = 1.0
"""Trials in a stretch that what is known of all stretches counts for."""

FIRM = 4.0
LOOSE = 0.5
"""Refusals that the expectation of a request counts for, where others are known to be alike, and where none is."""

Floats = npt.NDArray[np.float64]


class Acceptance:
    """Trials and successes of drafted tokens by their place in the draft; of diffusion, what blocks took and gave.

    Attributes:
        trials: (1 + STRETCHES, MAX_BLOCK_LENGTH) in the whole answer [0] and in its i-th stretch [1 + i], by k from 1:
            verifications that came to draft token k. hits: of those, the ones that went on behind it.
        refused: verifications in which a token was refused.
        figures: (4,) verifications, blocks denoised, and the passes and the answer's tokens of these.
    """

    __slots__ = ("counts", "figures", "refused")

    def __init__(self) -> None:
        self.counts: Floats = np.zeros((2, 1 + STRETCHES, MAX_BLOCK_LENGTH))
        self.refused = 0
        self.figures: Floats = np.zeros(4)

    @property
    def trials(self) -> Floats:
        """See the class."""
        trials: Floats = self.counts[0]
        return trials

    @property
    def hits(self) -> Floats:
        """See the class."""
        hits: Floats = self.counts[1]
        return hits

    def note(self, committed: int, width: int, at: int) -> None:
        """Record that of a block of `width`, its seed included, `committed` tokens became the answer's, from `at` on.

        A run that the answer's end cuts short counts as refused there: what would follow is worth nothing.
        """
        for row in (0, stretch(at)):
            self.trials[row, 1 : min(committed, width - 1) + 1] += 1
            self.hits[row, 1:committed] += 1
        self.refused += committed < width
        self.figures[0] += 1

    def note_blocks(self, blocks: int, passes: int, tokens: int) -> None:
        """Record what denoising blocks took, commits included, and gave."""
        self.figures[1:] += (blocks, passes, tokens)

    def runs(self, prior: Prior, at: int) -> Floats:
        """Return (MAX_BLOCK_LENGTH + 1,) expected tokens of a cycle by block length; entry 1 is 1.

        Requests of a kind differ by how often they refuse: their refusals are taken to be as frequent as the prior's
        times a factor of their own, which is gamma-distributed around 1 (the frailty of survival analysis: Vaupel,
        Manton and Stallard, 1979), so that a few refusals at the first places tell of those behind.

        Args:
            prior: what is known of others.
            at: tokens of the answer so far.
        """
        refusal = prior.refusal(at)
        chance = self._chance(prior.kinship, refusal) if self.figures[0] else 1.0 - refusal
        chance[0] = 1.0
        expected = np.zeros(MAX_BLOCK_LENGTH + 1)
        chance.cumprod().cumsum(out=expected[1:])
        return expected

    def _chance(self, kinship: float, refusal: Floats) -> Floats:
        """Return (MAX_BLOCK_LENGTH,) chances that a drafted token is right: the expected ones and its own."""
        trials, hits = self.counts[:, 0]
        firmness = LOOSE + (FIRM - LOOSE) * kinship
        factor = (firmness + self.refused) / (firmness + float(trials @ refusal))
        foreseen = 1.0 - np.minimum(1.0, factor * refusal)
        chance: Floats = (hits + STRENGTH * foreseen) / (trials + STRENGTH)
        return chance


class Prior:
    """What is known of others before a request has shown anything."""

    def __init__(
        self,
        counts: Floats | None = None,
        figures: Sequence[float] = (0.0, 0.0, 0.0, 0.0),
        kinship: float = 0.0,
        evidence: float = 0.0,
    ) -> None:
        """Take `counts` and `figures` as in Acceptance; none: nothing is known.

        Args:
            kinship: from 0 to 1, how much those others are like the request.
            evidence: verifications of those others that are like it, as many as there were.
        """
        self._trials, self._hits = Acceptance().counts if counts is None else counts
        self.verifications, self.blocks, self.passes, self.tokens = figures
        self.kinship = kinship
        self.evidence = evidence
        self._everywhere: Floats | None = None
        self._refusals: dict[int, Floats] = {}

    def refusal(self, at: int) -> Floats:
        """Return (MAX_BLOCK_LENGTH,) chances that a verification ends at a place, `at` tokens of the answer on.

        A place with few trials is judged by all places together, a stretch with few by all stretches.
        """
        row = stretch(at)
        found = self._refusals.get(row)
        if found is None:
            if self._everywhere is None:
                trials, hits = self._trials[0], self._hits[0]
                pooled = (hits.sum() + FAITH * HOPE) / (trials.sum() + FAITH)
                self._everywhere = (hits + pooled) / (trials + 1.0)
            chance = (self._hits[row] + LOCAL * self._everywhere) / (self._trials[row] + LOCAL)
            found = self._refusals[row] = 1.0 - chance
        return found


def stretch(at: int) -> int:
    """Return the row of `trials` and `hits` for runs that begin at `at` tokens of an answer."""
    return 1 + min(at // STRETCH, STRETCHES - 1)
