"""GapSearch: which sizes of a gap are tried, and which filling is the best so far. Knows nothing of jobs or queues."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..api.answer import Candidate
from ..api.fields import Mode
from ..decoding.guide import Guide
from .gap_guides import GapGuide
from .seams import GapContext, Start

SIZE_LADDER = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Tokens; the sizes tried first where none is given. Sizes between the best one's neighbours follow."""
SIZES_PER_ROUND = 8
"""Most sizes that a later round tries: about as many as share one engine call with other requests."""
MAX_ROUNDS = 3
"""Most times that sizes are tried: twice after the ladder, each time between closer neighbours."""
MOST_RETURNS = 16
"""Most times that a gap is filled otherwise because nothing fits into a later one."""
DOUBTFUL_TOKENS = 32
"""Most tokens of a gap of open size for which no filling is known: the model may find one still, but hardly a long one,
and to try a size takes up to a pass for each of its tokens."""
MEETING_TOKENS = 8
"""Tokens that a draft from left to right may go beyond the largest size, to meet the right side there."""


@dataclass(frozen=True)
class Filling:
    """One filling of a gap, and how likely the text is with it; `mode` says how it was made."""

    mode: Mode
    tokens: list[int]
    log_probs: list[float]
    text: str
    score: float | None
    worth: int = 1

    @property
    def size(self) -> int:
        """How many tokens fill the gap."""
        return len(self.tokens)


@dataclass
class GapSearch:
    """The search for one gap's filling.

    Attributes:
        context: what stands on its two sides.
        sizes: tokens; the sizes tried first.
        open: whether the request left the size open.
        tried: the fillings that are done.
        rounds: how often sizes were tried.
        guide: what it must match, if anything.
        refused: texts that are not taken, because a later gap could not be filled after them.
        begins_otherwise: whether fillings must begin with other tokens than those that were refused.
        last_hope: whether what was not meant to be needed was tried: see GapJobs.last_hope.
    """

    context: GapContext
    sizes: tuple[int, ...]
    open: bool
    tried: list[Filling] = field(default_factory=list)
    rounds: int = 1
    guide: GapGuide | None = None
    refused: set[str] = field(default_factory=set)
    begins_otherwise: bool = False
    last_hope: int = 0

    @classmethod
    def of(cls, context: GapContext, given: tuple[int, ...], limit: int, guide: GapGuide | None = None) -> GapSearch:
        """Begin with the sizes given, or with the ladder up to `limit` tokens."""
        limit = min(limit, DOUBTFUL_TOKENS) if guide is not None and guide.doubtful else limit
        sizes = given or (*(size for size in SIZE_LADDER if size < limit), limit)
        return cls(context, sizes, open=not given, guide=guide)

    @property
    def small_sizes(self) -> tuple[int, ...]:
        """Those of the first sizes that are tried where there is little hope; all where the request gave them."""
        return tuple(size for size in self.sizes if size <= DOUBTFUL_TOKENS or not self.open)

    def guide_of(self, start: Start) -> Guide | None:
        """Return the guide of tokens that begin as `start` says; None where any may fill the gap."""
        return None if self.guide is None else self.guide.guide(start)

    def first_ids(self, start: Start, vocab_size: int) -> npt.NDArray[np.int64] | None:
        """Return (A,) int64 the ids of which a filling's first must be one; None if it may be any."""
        if not self.begins_otherwise:
            return start.heads
        known = {one.tokens[0] for one in self.tried if one.tokens and one.text in self.refused}
        return np.setdiff1d(np.arange(vocab_size), sorted(known))

    @property
    def left(self) -> list[Filling]:
        """Those that are not refused."""
        return [one for one in self.tried if one.text not in self.refused]

    @property
    def best(self) -> Filling:
        """The likeliest of those worth most; among equals the smallest, then the one that saw both sides.

        Fillings finish in any order, and that order must not decide.
        """

        def rank(one: Filling) -> tuple[int, float, int, bool]:
            score = -np.inf if one.score is None else one.score
            return one.worth, score, -one.size, one.mode is Mode.DIFFUSION

        return max(self.left, key=rank)

    @property
    def needs_scores(self) -> bool:
        """Whether fillings are compared, because there are several sizes or starts to choose from."""
        return self.open or len(self.sizes) > 1 or len(self.context.starts) > 1

    def next_sizes(self) -> tuple[int, ...]:
        """Return sizes between the best one's neighbours, where the request left the size open and rounds are left."""
        if not self.open or self.rounds == MAX_ROUNDS:
            return ()
        self.rounds += 1
        known = {one.size for one in self.tried if one.mode is Mode.DIFFUSION}
        best = self.best.size
        low = max((size for size in known if size < best), default=best - 1)
        high = min((size for size in known if size > best), default=best + 1)
        inside = [size for size in range(low + 1, high) if size not in known]
        if len(inside) <= SIZES_PER_ROUND:
            return tuple(inside)
        return tuple(inside[at * len(inside) // SIZES_PER_ROUND] for at in range(SIZES_PER_ROUND))

    def candidates(self) -> list[Candidate]:
        """Return every size that was tried, the smallest first, in an order that no timing decides."""
        tried = sorted(self.tried, key=lambda one: (one.size, one.mode, one.text))
        return [Candidate(one.size, str(one.mode), one.text, one.score) for one in tried]
