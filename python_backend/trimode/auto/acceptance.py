"""DraftStats and Prior: what drafts and denoised blocks were worth, counted for one request and expected from others.

Knows nothing of other requests, of engines, or of what a pass costs; similar_requests.py makes priors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..api.fields import MAX_BLOCK_LENGTH
from .tuning import TUNING

Floats = npt.NDArray[np.float64]


@dataclass
class BlockCounts:
    """Blocks that diffusion denoised, the passes that they took (commits included), and the answer's tokens in them."""

    blocks: float = 0.0
    passes: float = 0.0
    tokens: float = 0.0


class DraftStats:
    """How often drafted tokens were right, by their place in the draft; for diffusion, what blocks took and gave.

    Attributes:
        trials: (1 + answer_ranges, MAX_BLOCK_LENGTH), for the whole answer [0] and for each range of it, by k from 1:
            verifications that reached draft token k. hits: those of them that confirmed it.
        refused: verifications in which a token was refused.
        verifications: all of them. blocks: what diffusion's blocks took and gave.
    """

    __slots__ = ("blocks", "counts", "refused", "verifications")

    def __init__(self) -> None:
        self.counts: Floats = np.zeros((2, 1 + TUNING.answer_ranges, MAX_BLOCK_LENGTH))
        self.refused = 0.0
        self.verifications = 0
        self.blocks = BlockCounts()

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

    @property
    def empty(self) -> bool:
        """Whether nothing was counted."""
        return not self.verifications and self.blocks == BlockCounts()

    def add_verification(self, committed: int, width: int, at: int, share: float = 1.0) -> None:
        """Record that `committed` tokens of a block became the answer's, from `at` on; `width` counts its seed too.

        A run that the answer's end cuts short counts as refused there, because tokens after the end are worth nothing.

        Args:
            share: what a refusal counts for: less than 1 where the draft was of a kind that is refused more often.
        """
        refused = committed < width
        for row in (0, TUNING.answer_range(at)):
            self.trials[row, 1 : min(committed, width - 1) + 1] += 1
            self.hits[row, 1:committed] += 1
            if refused and share < 1.0:
                self.hits[row, committed] += 1.0 - share
        if refused:
            self.refused += share
        self.verifications += 1

    def add_blocks(self, blocks: int, passes: int, tokens: int) -> None:
        """Record what denoising blocks took, commits included, and gave."""
        self.blocks.blocks += blocks
        self.blocks.passes += passes
        self.blocks.tokens += tokens

    def expected_runs(self, prior: Prior, at: int) -> Floats:
        """Return (MAX_BLOCK_LENGTH + 1,) expected tokens of a cycle by block length; entry 1 is 1.

        Similar requests still differ in how often they refuse. The model: the refusal rate of a request is the prior's
        times a factor of its own, which is gamma-distributed around 1 (the frailty of survival analysis: Vaupel, Manton
        and Stallard, 1979). So a few refusals at the first places say something about later places.

        Args:
            prior: what other requests suggest.
            at: tokens of the answer so far.
        """
        refusal = prior.refusal(at)
        chance = self._chance(prior.similarity, refusal) if self.verifications else 1.0 - refusal
        chance[0] = 1.0
        expected = np.zeros(MAX_BLOCK_LENGTH + 1)
        chance.cumprod().cumsum(out=expected[1:])
        return expected

    def _chance(self, similarity: float, refusal: Floats) -> Floats:
        """Return (MAX_BLOCK_LENGTH,) chances that a drafted token is right: the expected ones and its own."""
        trials, hits = self.counts[:, 0]
        low, high = TUNING.refusals_unknown, TUNING.refusals_known
        weight = low + (high - low) * similarity
        factor = (weight + self.refused) / (weight + float(trials @ refusal))
        foreseen = 1.0 - np.minimum(1.0, factor * refusal)
        chance: Floats = (hits + TUNING.prior_weight * foreseen) / (trials + TUNING.prior_weight)
        return chance


class Prior:
    """What other requests suggest about one that made no draft yet."""

    def __init__(
        self,
        counts: Floats | None = None,
        verifications: float = 0.0,
        blocks: BlockCounts | None = None,
        similarity: float = 0.0,
        evidence: float = 0.0,
    ) -> None:
        """Take counts as in DraftStats, or none if nothing is known.

        Args:
            similarity: how similar those others are to the request, from 0 to 1.
            evidence: verifications among similar requests, weighted by how similar these are.
        """
        self._trials, self._hits = DraftStats().counts if counts is None else counts
        self.verifications = verifications
        self.blocks = blocks or BlockCounts()
        self.similarity = similarity
        self.evidence = evidence
        self._everywhere: Floats | None = None
        self._refusals: dict[int, Floats] = {}

    def refusal(self, at: int) -> Floats:
        """Return (MAX_BLOCK_LENGTH,) chances that a verification ends at a place, `at` tokens into the answer.

        A place with few trials takes the average of all places, a range with few trials that of all ranges.
        """
        row = TUNING.answer_range(at)
        found = self._refusals.get(row)
        if found is None:
            if self._everywhere is None:
                trials, hits = self._trials[0], self._hits[0]
                weight = TUNING.first_acceptance_weight
                pooled = (hits.sum() + weight * TUNING.first_acceptance) / (trials.sum() + weight)
                weight = TUNING.place_prior_weight
                self._everywhere = (hits + weight * pooled) / (trials + weight)
            weight = TUNING.range_prior_weight
            chance = (self._hits[row] + weight * self._everywhere) / (self._trials[row] + weight)
            found = self._refusals[row] = 1.0 - chance
        return found
