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
BUCKETS = 16 * TUNING.prompt_tokens
"""A token counts by the remainder of its id: two long prompts without a common token share one in sixteen."""
RENEWED = 8
"""The rarities of all buckets are worked out again once an eighth of the requests has come since."""


class _Average:
    """The counts of all requests, in which older ones weigh less."""

    def __init__(self, size: int) -> None:
        self._sum: Floats = np.zeros(size)
        self._known = 0.0

    def add(self, counts: Floats) -> None:
        kept = 1.0 - 1.0 / TUNING.requests_kept
        self._sum = kept * self._sum + counts
        self._known = kept * self._known + 1.0

    def of_one(self) -> Floats:
        """Return the average request; zeros if there was none."""
        return self._sum / max(self._known, 1.0)


class SimilarRequests:
    """Statistics of earlier requests, found by the words of their prompts. Not thread-safe."""

    def __init__(self) -> None:
        empty, kept = DraftStats(), TUNING.requests_kept
        self._shape, size = empty.counts.shape, empty.counts.size
        self._has = np.zeros((BUCKETS, kept), dtype=np.float32)  # [bucket, place]: whether the prompt there has it
        self._frequency = np.zeros(BUCKETS, dtype=np.float32)  # of the prompts kept, how many have it
        self._rarity = np.zeros(BUCKETS, dtype=np.float32)  # the square of each bucket's inverse document frequency
        self._sizes = np.ones(kept, dtype=np.float32)  # of each prompt kept, the sum of its rarities
        self._prompts = [np.zeros(0, dtype=np.int64)] * kept
        self._drafts = np.zeros((kept, size), dtype=np.float32)
        self._blocks = np.zeros((kept, 3), dtype=np.float32)  # blocks, passes, tokens
        # counted apart, because an answer has drafts or blocks and says nothing about the other
        self._drafted, self._diffused = np.zeros(kept, dtype=np.bool_), np.zeros(kept, dtype=np.bool_)
        self._all_drafts, self._all_blocks = _Average(size), _Average(3)
        self._added = self._renewed = 0

    def prior(self, prompt: Buckets) -> Prior:
        """Return a prior from the requests most similar to one with `prompt`, and from all the less similar these are.

        Each of the nearest counts by the square of its cosine, everyone's average by what the best cosine lacks to 1.
        """
        known = min(self._added, TUNING.requests_kept)
        if not known:
            return Prior()
        cosines = self._cosines(prompt, known)
        drafts = self._mixed(cosines * self._drafted[:known], self._drafts, self._all_drafts)
        blocks = self._mixed(cosines * self._diffused[:known], self._blocks, self._all_blocks)
        return Prior(drafts.reshape(self._shape), BlockCounts(*blocks.tolist()))

    def add(self, prompt: Buckets, stats: DraftStats) -> None:
        """Add the statistics of a finished request, in place of those of the oldest one."""
        if stats.empty:
            return
        place = self._added % TUNING.requests_kept
        self._added += 1
        self._keep(place, prompt)
        drafts = stats.counts.ravel()
        blocks = np.array([stats.blocks.blocks, stats.blocks.passes, stats.blocks.tokens])
        self._drafts[place], self._blocks[place] = drafts, blocks
        self._drafted[place], self._diffused[place] = stats.verifications > 0, stats.blocks.blocks > 0
        if stats.verifications:
            self._all_drafts.add(drafts)
        if stats.blocks.blocks:
            self._all_blocks.add(blocks)

    def _mixed(self, cosines: Singles, counts: Singles, everyone: _Average) -> Floats:
        """Return the nearest requests' counts and everyone's, by weight; of equals the latest are nearest."""
        age = (self._added - 1 - np.arange(len(cosines))) % TUNING.requests_kept
        near = np.argsort(cosines - 1e-6 * age)[-TUNING.nearest_requests :]
        mixed: Floats = cosines[near] ** 2 @ counts[near] + (1.0 - cosines[near[-1]]) * everyone.of_one()
        return mixed

    def _keep(self, place: int, prompt: Buckets) -> None:
        """Put a prompt in a place; the rarities of all buckets are worked out again only now and then."""
        old = self._prompts[place]
        self._has[old, place] = 0.0
        self._frequency[old] -= 1.0
        self._prompts[place] = prompt
        self._has[prompt, place] = 1.0
        self._frequency[prompt] += 1.0
        if RENEWED * (self._added - self._renewed) > min(self._renewed, TUNING.requests_kept):
            self._renewed = self._added
            self._rarity[:] = self._squared_rarity(np.arange(BUCKETS))
            np.dot(self._rarity, self._has, out=self._sizes)
        else:
            self._rarity[prompt] = self._squared_rarity(prompt)
            self._sizes[place] = self._rarity[prompt].sum()

    def _squared_rarity(self, buckets: Buckets) -> Singles:
        """Return the square of each bucket's inverse document frequency."""
        known = min(self._added, TUNING.requests_kept)
        rarity: Singles = np.log((known + 1.0) / (self._frequency[buckets] + 0.5)).astype(np.float32) ** 2
        return rarity

    def _cosines(self, prompt: Buckets, known: int) -> Singles:
        """Return (known,) cosines of the prompts kept with `prompt`."""
        rarity = self._rarity[prompt]
        common = rarity @ self._has[prompt, :known]
        cosines: Singles = common / np.sqrt(self._sizes[:known] * rarity.sum() + 1e-12)
        return np.minimum(cosines, 1.0, out=cosines)


def token_buckets(prompt: Sequence[int]) -> Buckets:
    """Return (M,) the buckets of the tokens near the prompt's end, each once."""
    read = prompt[-TUNING.prompt_tokens :]
    return np.array(list({token % BUCKETS for token in read}), dtype=np.int64)
