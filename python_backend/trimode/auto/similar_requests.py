"""SimilarRequests: earlier requests whose prompts share rare words with a new one, and what their drafts were worth.

Prompts are compared by the tokens near their end, where the question stands. Shared prefixes, such as a chat template
or a system prompt, are down-weighted by inverse document frequency. Knows nothing of costs or modes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .acceptance import BlockCounts, DraftStats, Floats, Prior
from .tuning import TUNING

Buckets = npt.NDArray[np.int64]
"""(M,) buckets of the tokens that a prompt has, each once."""
Singles = npt.NDArray[np.float32]


class _Average:
    """The counts of all requests, in which older ones weigh less."""

    def __init__(self, size: int) -> None:
        self._sum: Floats = np.zeros(size)
        self.known = 0.0

    def add(self, counts: Floats) -> None:
        self._sum *= TUNING.everyone_fading
        self._sum += counts
        self.known = TUNING.everyone_fading * self.known + 1.0

    def times(self, number: float) -> Floats:
        """Return the average of the requests times `number`; zeros if there were none."""
        return self._sum * (number / max(self.known, 1.0))


class SimilarRequests:
    """Statistics of earlier requests, found by the words of their prompts. Not thread-safe."""

    def __init__(self) -> None:
        empty, kept, buckets = DraftStats(), TUNING.requests_kept, TUNING.token_buckets
        self._shape, size = empty.counts.shape, empty.counts.size
        self._has = np.zeros((buckets, kept), dtype=np.float32)  # [bucket, place]: whether the prompt there has it
        self._frequency = np.zeros(buckets, dtype=np.float32)  # of the prompts kept, how many have it
        self._rarity = np.zeros(buckets, dtype=np.float32)  # the square of each bucket's inverse document frequency
        self._sizes = np.ones(kept, dtype=np.float32)  # of each prompt kept, the sum of its rarities
        self._prompts = [np.zeros(0, dtype=np.int64)] * kept
        self._counts = np.zeros((kept, size), dtype=np.float32)
        self._verifications = np.zeros(kept, dtype=np.float32)
        self._blocks = np.zeros((kept, 3), dtype=np.float32)  # blocks, passes, tokens
        # counted apart, because an answer has drafts or blocks and says nothing about the other
        self._all_drafts, self._all_blocks = _Average(1 + size), _Average(3)
        self._added = 0

    def prior(self, prompt: Buckets) -> Prior:
        """Return a prior from the requests most similar to one with `prompt`, and a little from all others."""
        known = min(self._added, TUNING.requests_kept)
        if not known:
            return Prior()
        cosines, verifications = self._cosines(prompt, known), self._verifications[:known]
        drafts = self._all_drafts.times(TUNING.everyone_weight)
        blocks = self._all_blocks.times(TUNING.everyone_weight)
        similarity = evidence = 0.0
        near, weights = self._nearest(cosines * (verifications > 0))
        if len(near):
            drafts[0] += weights @ verifications[near]
            drafts[1:] += weights @ self._counts[near]
            similarity, evidence = float(cosines[near].max()), float(cosines[near] @ verifications[near])
        if self._all_blocks.known:
            near, weights = self._nearest(cosines * (self._blocks[:known, 0] > 0))
            blocks += weights @ self._blocks[near]
        counts = BlockCounts(*blocks.tolist())
        return Prior(drafts[1:].reshape(self._shape), float(drafts[0]), counts, similarity, evidence)

    def add(self, prompt: Buckets, stats: DraftStats) -> None:
        """Add the statistics of a finished request, in place of those of the oldest one."""
        if stats.empty:
            return
        place = self._added % TUNING.requests_kept
        self._added += 1
        self._keep(place, prompt)
        blocks = np.array([stats.blocks.blocks, stats.blocks.passes, stats.blocks.tokens])
        self._counts[place], self._verifications[place] = stats.counts.ravel(), stats.verifications
        self._blocks[place] = blocks
        if stats.verifications:
            self._all_drafts.add(np.concatenate(([stats.verifications], stats.counts.ravel())))
        if stats.blocks.blocks:
            self._all_blocks.add(blocks)

    def _nearest(self, cosines: Singles) -> tuple[npt.NDArray[np.int64], Singles]:
        """Return the places of the nearest requests, the latest among equals, and the weight of each."""
        age = (self._added - 1 - np.arange(len(cosines))) % TUNING.requests_kept
        near = np.argsort(cosines - 1e-6 * age)[-TUNING.nearest_requests :]
        near = near[cosines[near] > TUNING.least_similarity]
        weights = cosines[near] ** 2
        if len(near):
            most = min(TUNING.nearest_weight, TUNING.most_per_request * len(near))
            weights *= most * cosines[near].max() / weights.sum()
        return near, weights

    def _keep(self, place: int, prompt: Buckets) -> None:
        """Put a prompt in a place; the rarities of all buckets are recomputed only now and then."""
        old = self._prompts[place]
        self._has[old, place] = 0.0
        self._frequency[old] -= 1.0
        self._prompts[place] = prompt
        self._has[prompt, place] = 1.0
        self._frequency[prompt] += 1.0
        if self._added <= TUNING.refresh_first or self._added % TUNING.refresh_every == 0:
            self._rarity[:] = self._squared_rarity(np.arange(TUNING.token_buckets))
            np.dot(self._rarity, self._has, out=self._sizes)
        else:
            self._rarity[prompt] = self._squared_rarity(prompt)
            self._sizes[place] = self._rarity[prompt].sum()

    def _squared_rarity(self, buckets: Buckets) -> Singles:
        """Return the square of each bucket's inverse document frequency."""
        known = min(self._added, TUNING.requests_kept)
        rarity = np.log((known + 1.0) / (self._frequency[buckets] + 0.5))
        squared: Singles = np.maximum(rarity, TUNING.least_rarity).astype(np.float32) ** 2
        return squared

    def _cosines(self, prompt: Buckets, known: int) -> Singles:
        """Return (known,) cosines of the prompts kept with `prompt`."""
        rarity = self._rarity[prompt]
        common = rarity @ self._has[prompt, :known]
        cosines: Singles = common / np.sqrt(self._sizes[:known] * rarity.sum() + 1e-12)
        return np.minimum(cosines, 1.0, out=cosines)


def token_buckets(prompt: Sequence[int]) -> Buckets:
    """Return (M,) the buckets of the tokens near the prompt's end, each once."""
    read = prompt[-TUNING.prompt_tokens_read :]
    return np.array(list({token % TUNING.token_buckets for token in read}), dtype=np.int64)
