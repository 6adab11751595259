"""DraftStats and Prior: what drafts and denoised blocks were worth, counted for one request and expected from others.

Knows nothing of other requests, of engines, or of what a pass costs; similar_requests.py makes priors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ..api.fields import MAX_BLOCK_LENGTH
from .tuning import TUNING

Floats = npt.NDArray[np.float64]
FACTORS: Floats = 2.0 ** np.arange(-3.0, 4.0)
"""(7,) how many times as often as expected a request may refuse: an eighth to eight times, for its uncertainty."""


@dataclass
class BlockCounts:
    """Blocks that diffusion denoised, the passes that they took (commits included), and the answer's tokens in them."""

    blocks: float = 0.0
    passes: float = 0.0
    tokens: float = 0.0


class DraftStats:
    """How often drafted tokens were right, by their place in the draft; for diffusion, what blocks took and gave.

    Attributes:
        counts: (2, MAX_BLOCK_LENGTH), by k from 1: verifications that reached draft token k, and those of them that
            confirmed it.
        refused: verifications in which a token was refused.
        verifications: all of them. blocks: what diffusion's blocks took and gave.
    """

    __slots__ = ("blocks", "counts", "refused", "verifications")

    def __init__(self) -> None:
        self.counts: Floats = np.zeros((2, MAX_BLOCK_LENGTH))
        self.refused = 0.0
        self.verifications = 0
        self.blocks = BlockCounts()

    @property
    def empty(self) -> bool:
        """Whether nothing was counted."""
        return not self.verifications and self.blocks == BlockCounts()

    def add_verification(self, committed: int, width: int, share: float = 1.0) -> None:
        """Record that `committed` tokens of a block became the answer's; `width` counts its seed too.

        A run that the answer's end cuts short counts as refused there, because tokens after the end are worth nothing.

        Args:
            share: what a refusal counts for: less than 1 where the draft was of a kind that is refused more often.
        """
        trials, hits = self.counts
        trials[1 : min(committed, width - 1) + 1] += 1
        hits[1:committed] += 1
        if committed < width:
            hits[committed] += 1.0 - share
            self.refused += share
        self.verifications += 1

    def add_blocks(self, blocks: int, passes: int, tokens: int) -> None:
        """Record what denoising blocks took, commits included, and gave."""
        self.blocks.blocks += blocks
        self.blocks.passes += passes
        self.blocks.tokens += tokens

    def expected_runs(self, prior: Prior) -> Floats:
        """Return (MAX_BLOCK_LENGTH + 1,) expected tokens of a cycle by block length; entry 1 is 1.

        Similar requests still differ in how often they refuse. The model: the refusal rate of a request is the prior's
        times a factor of its own, which is gamma-distributed around 1 (the frailty of survival analysis: Vaupel, Manton
        and Stallard, 1979). So a few refusals at the first places say something about later places.
        """
        seen, foreseen = self._refusals(prior, 1.0)
        return _runs(self._chances(prior, seen / foreseen, 1.0))

    def possible_runs(self, prior: Prior, trust: float) -> tuple[Floats, Floats]:
        """Return (7,) the chance of each factor in FACTORS, and (7, MAX_BLOCK_LENGTH + 1) the expected runs with it.

        Args:
            trust: share of what its own drafts showed that still counts.
        """
        seen, foreseen = self._refusals(prior, trust)
        log_density = seen * np.log(FACTORS) - foreseen * FACTORS  # of the logarithm of the factor
        density = np.exp(log_density - log_density.max())
        return density / density.sum(), _runs(self._chances(prior, FACTORS[:, None], trust))

    def _refusals(self, prior: Prior, trust: float) -> tuple[float, float]:
        """Return the refusals seen, and those foreseen: the prior's, which are as many, and its own."""
        own = float(self.counts[0] @ prior.refusal) if self.verifications else 0.0
        return prior.weight + trust * self.refused, prior.weight + trust * own

    def _chances(self, prior: Prior, factor: float | Floats, trust: float) -> Floats:
        """Return (..., MAX_BLOCK_LENGTH) chances that a drafted token is right if those before it are."""
        trials, hits = trust * self.counts
        foreseen = 1.0 - np.minimum(1.0, factor * prior.refusal)
        chance: Floats = (hits + TUNING.prior_weight * foreseen) / (trials + TUNING.prior_weight)
        chance[..., 0] = 1.0
        return chance


def _runs(chances: Floats) -> Floats:
    expected = np.zeros((*chances.shape[:-1], MAX_BLOCK_LENGTH + 1))
    chances.cumprod(axis=-1).cumsum(axis=-1, out=expected[..., 1:])
    return expected


@dataclass(frozen=True)
class Prior:
    """What other requests suggest about one that made no draft yet.

    Attributes:
        counts: as in DraftStats, weighted by how similar the others are; zeros if nothing is known.
        blocks: what diffusion's blocks took and gave.
    """

    counts: Floats = field(default_factory=lambda: DraftStats().counts)
    blocks: BlockCounts = field(default_factory=BlockCounts)

    @cached_property
    def weight(self) -> float:
        """What the others count for, in refusals: 1, and as many as they showed, up to a limit."""
        trials, hits = self.counts
        return min(1.0 + float(trials.sum() - hits.sum()), TUNING.prior_refusals)

    @cached_property
    def refusal(self) -> Floats:
        """(MAX_BLOCK_LENGTH,) chances that a verification ends at a place if it comes there.

        A place with few trials takes the average of all places, which takes the first guess.
        """
        trials, hits = self.counts
        weight = TUNING.prior_weight
        pooled = (hits.sum() + weight * TUNING.first_acceptance) / (trials.sum() + weight)
        refusal: Floats = 1.0 - (hits + pooled) / (trials + 1.0)
        return refusal
