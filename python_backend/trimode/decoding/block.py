"""Block: the tokens that diffusion is refining, and what they were before a review. Knows nothing of sequences."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..api.answer import Top


@dataclass
class Block:
    """The block of tokens being refined, its first token already right.

    Attributes:
        start: position of its first token; the block sees itself and what the slot holds before it.
        tokens: (L,) int64, mask ids where nothing is decided.
        open: (L,) bool, positions still to be filled.
        unrevealed: how many positions the steps left must still fill.
        step: passes spent on it.
        log_probs: (L,) float32, log-probability of each token at the moment it was kept; NaN where it is not known.
        end: the offset from which on everything is known and stays; None if nothing is.
        review: what the block was before unlikely tokens of it were masked again, if that happened.
    """

    start: int
    tokens: npt.NDArray[np.int64]
    open: npt.NDArray[np.bool_]
    unrevealed: int
    step: int
    log_probs: npt.NDArray[np.float32]
    review: Review | None = None
    end: int | None = None

    @classmethod
    def drafted(cls, start: int, tokens: list[int], log_probs: npt.NDArray[np.float64] | None = None) -> Block:
        """Return a block of a whole draft at `start`, its first token already right.

        Args:
            log_probs: (L - 1,) log-probabilities of the tokens after the first; None where they are not known.
        """
        count = len(tokens)
        known = np.full(count, np.nan, dtype=np.float32)
        if log_probs is not None:
            known[1:] = log_probs
        return cls(start, np.array(tokens, dtype=np.int64), np.zeros(count, dtype=bool), 0, 0, known)

    @classmethod
    def masked(cls, start: int, length: int, mask_token_id: int, last: int) -> Block:
        """Return a block of `length` masks at `start`; those from `last` on are never filled."""
        tokens = np.full(length, mask_token_id, dtype=np.int64)  # (L,)
        is_open = np.arange(length) < last
        return cls(start, tokens, is_open, int(is_open.sum()), 0, np.zeros(length, dtype=np.float32))

    def decide(self, decided: dict[int, int]) -> None:
        """Fill the offsets in `decided` with their tokens."""
        for offset, token in decided.items():
            self.tokens[offset] = token
            self.open[offset] = False
        self.unrevealed = int(self.open.sum())


@dataclass(frozen=True)
class Review:
    """A filled block as it was before some of it was reconsidered.

    Attributes:
        rounds: how often the block was reconsidered, this time included.
        mean: mean log-probability of its tokens but the first under the causal model.
        tokens: (L,) int64; log_probs: (L,) float32.
        tops: the sequence's likeliest tokens by place.
    """

    rounds: int
    mean: float
    tokens: npt.NDArray[np.int64]
    log_probs: npt.NDArray[np.float32]
    tops: dict[int, Top] = field(default_factory=dict)
