"""The finishing pass of diffusion: a filled block is scored, and its unlikely tokens are masked and denoised once more.

The score is the causal model's, which does not see to its right and so judges independently; the pass that takes it
also keeps the block's keys and values, so that a block with nothing to reconsider costs no pass more than without. A
change is kept by the rule of a revised text (modes/revise.py). `denoise_steps` bounds a block's passes over all rounds
together. No released code does this.
"""

from __future__ import annotations

from enum import Enum, auto

import numpy as np
import numpy.typing as npt

from ..engines.base import Ints, Row, RowResult
from .block import Review
from .modes.revise import unlikely
from .sampling import log_probs_of
from .sequence import Phase, Sequence


def plan(seq: Sequence) -> Row:
    """Return the causal pass that scores the filled block and keeps it in the slot."""
    count = counted(seq)
    return Row(seq.slot, seq.current.tokens[:count].copy(), seq.cached, "causal", np.arange(count), keep=True)


class Verdict(Enum):
    """What becomes of a block that was scored."""

    AGAIN = auto()  # some of it is masked and denoised again
    KEPT = auto()  # it stays, and the slot holds it
    RESTORED = auto()  # it is again what it was before, and the slot holds what was refused


def judge(seq: Sequence, row: Row, result: RowResult) -> Verdict:
    """Take in the block's score: mask what is unlikely again, or leave the block as it is to be committed."""
    block, params, review = seq.current, seq.params, seq.current.review
    log_probs = log_probs_of(result.logits[:-1], row.tokens[1:])  # (N - 1,) of all but the first, a causal choice
    mean = float(log_probs.mean())
    rounds = 0
    if review is not None:
        rounds = review.rounds
        if np.array_equal(review.tokens, block.tokens):
            return Verdict.KEPT
        if params.accept == "likelihood" and mean <= review.mean:
            block.tokens, block.log_probs = review.tokens, review.log_probs
            return Verdict.RESTORED
    picked = _picked(seq, log_probs)
    if rounds == params.revise_rounds or block.step == params.denoise_steps or not len(picked):
        return Verdict.KEPT
    block.review = Review(rounds + 1, mean, block.tokens.copy(), block.log_probs.copy())
    block.tokens[picked] = seq.mask_token_id
    block.open[:] = False
    block.open[picked] = True
    block.unrevealed = len(picked)
    seq.phase = Phase.DENOISE
    return Verdict.AGAIN


def _picked(seq: Sequence, log_probs: npt.NDArray[np.float64]) -> Ints:
    """Return the offsets to reconsider; what ends the answer and what the thinking budget forces stay."""
    block, params = seq.current, seq.params
    offsets = np.arange(1, len(log_probs) + 1)
    forced = seq.forced_in_block(len(seq.tokens), int(block.tokens[0]))
    free = (block.tokens[offsets] != params.end_id) & ~np.isin(offsets, list(forced))
    known = np.flatnonzero(free)
    return offsets[unlikely(log_probs, known, params.revise_threshold, params.revise_fraction)]


def counted(seq: Sequence) -> int:
    """Return how many of the block's tokens are the answer's: up to its end token, or to the request's limit."""
    tokens = seq.current.tokens[: seq.remaining]
    ends = np.flatnonzero(tokens == seq.params.end_id)
    return int(ends[0]) + 1 if len(ends) else len(tokens)
