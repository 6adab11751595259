"""Acceptance: what drafts and denoised blocks are worth, estimated from those before: of one request, and of its like.

Requests are alike when their prompts begin alike: statistics are kept for beginnings of several lengths, and a new
request starts from the longest one that is known. Knows nothing of engines or of what a pass costs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from .fields import MAX_BLOCK_LENGTH

BEGINNINGS = (64, 48, 32, 24, 20, 16, 12, 8)
"""Lengths of the beginnings of prompts that statistics are kept for, in tokens."""
KEPT = 1024
"""Beginnings that are remembered, the latest used."""
ENOUGH = 2.0
"""Verifications after which what is known of a beginning is trusted more than what is known of a shorter one."""
STRENGTH = 3.0
"""Verifications that what is known of others counts for, against a request's own."""
FADING = 0.9
"""What remains of older verifications at each new request of a beginning."""
HOPE = 0.9
"""Chance that a drafted token is right where nothing is known yet: drafting is tried, and soon known."""
FAITH = 3.0
"""Drafted tokens that this hope counts for."""

STRETCH = 16
STRETCHES = 8
"""Runs are counted by where in the answer they begin, in so many stretches of so many tokens: answers that begin alike
often end alike, and what a draft is worth depends on how much is left to say."""
LOCAL = 2.0
"""Trials in a stretch that what is known of all stretches counts for."""
MOST_LOCAL = 12.0
"""Verifications in a stretch that what is known of others counts for at most."""

Floats = npt.NDArray[np.float64]


class Acceptance:
    """Trials and successes of drafted tokens by their place in the draft, and expected runs from them.

    Of diffusion: `blocks` denoised, and the passes and the answer's tokens of all of them.
    """

    __slots__ = ("blocks", "cycles", "hits", "passes", "tokens", "trials")

    def __init__(self) -> None:
        self.blocks = self.passes = self.tokens = 0.0
        # [0] in the whole answer, [1 + i] in its i-th stretch; [., k]: verifications that came to draft token k, from 1
        self.trials: Floats = np.zeros((1 + STRETCHES, MAX_BLOCK_LENGTH))
        self.hits: Floats = np.zeros((1 + STRETCHES, MAX_BLOCK_LENGTH))  # of those, the ones that went on behind it
        self.cycles = 0.0

    def note(self, committed: int, width: int, at: int) -> None:
        """Record that of a block of `width`, its seed included, `committed` tokens became the answer's, from `at` on.

        A run that the answer's end cuts short counts as refused there: what would follow is worth nothing.
        """
        for row in (0, _row(at)):
            self.trials[row, 1 : min(committed, width - 1) + 1] += 1
            self.hits[row, 1:committed] += 1
        self.cycles += 1

    def note_blocks(self, blocks: int, passes: int, tokens: int) -> None:
        """Record what denoising blocks took, commits included, and gave."""
        self.blocks += blocks
        self.passes += passes
        self.tokens += tokens

    def blend(self, other: Acceptance, keep: float) -> None:
        """Take over another's counts, one's own faded to the share `keep`."""
        self.trials *= keep
        self.hits *= keep
        self.trials += other.trials
        self.hits += other.hits
        for name in ("cycles", "blocks", "passes", "tokens"):
            setattr(self, name, keep * getattr(self, name) + getattr(other, name))

    def faint(self) -> Acceptance:
        """Return the same with counts as of STRENGTH verifications at most."""
        found = Acceptance()
        found.blend(self, 0.0)
        share = min(1.0, STRENGTH / max(self.cycles, 1.0))
        found.trials *= share
        found.hits *= share
        found.cycles *= share
        return found

    def runs(self, prior: Acceptance, at: int) -> Floats:
        """Return (MAX_BLOCK_LENGTH + 1,) expected tokens of a cycle by block length; entry 1 is 1.

        A place with few trials is judged by all places together.

        Args:
            prior: what is known of others.
            at: tokens of the answer so far.
        """
        trials, hits = self.trials[0], self.hits[0]
        if prior.cycles:
            weight = min(1.0, STRENGTH / prior.cycles)
            trials, hits = trials + weight * prior.trials[0], hits + weight * prior.hits[0]
        pooled = (hits.sum() + FAITH * HOPE) / (trials.sum() + FAITH)
        chance = (hits + pooled) / (trials + 1.0)
        if prior.cycles:
            row, others = _row(at), min(1.0, MOST_LOCAL / max(prior.trials[_row(at), 1], 1.0))
            own = LOCAL + self.trials[0]  # what was seen of this very request outweighs where others of its kind ended
            chance = (others * prior.hits[row] + own * chance) / (others * prior.trials[row] + own)
        chance[0] = 1.0
        expected = np.zeros(MAX_BLOCK_LENGTH + 1)
        np.cumsum(np.cumprod(chance), out=expected[1:])
        return expected


def _row(at: int) -> int:
    return 1 + min(at // STRETCH, STRETCHES - 1)


class AcceptanceTable:
    """What is known of requests that began alike. Not thread-safe."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, Acceptance] = OrderedDict()
        self._all = Acceptance()

    def prior(self, prompt: Sequence[int]) -> Acceptance:
        """Return what is known of the longest beginning of `prompt` that enough is known of.

        Of none: what is known of all, made to count for STRENGTH verifications, because requests are not much alike.
        """
        for key in _keys(prompt):
            found = self._known.get(key)
            if found is not None and found.cycles + found.blocks >= ENOUGH:
                self._known.move_to_end(key)
                return found
        return self._all.faint()

    def learn(self, prompt: Sequence[int], own: Acceptance) -> None:
        """Add what a finished request's verifications have shown."""
        if not own.cycles + own.blocks:
            return
        self._all.blend(own, FADING)
        for key in _keys(prompt):
            known = self._known.get(key)
            if known is None:
                known = self._known[key] = Acceptance()
            known.blend(own, FADING)
            self._known.move_to_end(key)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)


def _keys(prompt: Sequence[int]) -> Iterable[int]:
    """Return a key for each beginning, the longest first."""
    return [hash(tuple(prompt[:size])) for size in BEGINNINGS if size <= len(prompt)]
