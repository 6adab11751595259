"""The review of a block that diffusion has filled: it is scored, and its unlikely tokens are masked and denoised again.

The score is the causal model's, which does not see to its right and so judges independently. The pass that takes it
also keeps the block's keys and values, so a block with nothing to reconsider costs no extra pass. A change is kept by
the rule of a revised text (modes/revise.py); `denoise_steps` bounds all rounds of a block together. No released code
does this.
"""

from __future__ import annotations

from enum import Enum, auto

import numpy as np
import numpy.typing as npt

from ..engines.base import Ints, Row, RowResult
from . import guided_block
from .block import Review
from .choice import note_top
from .sequence import Phase, SequenceState


def plan(seq: SequenceState) -> Row:
    """Return the causal pass that scores the filled block and keeps it in the slot."""
    count = answer_length(seq)
    return Row(seq.slot, seq.current.tokens[:count].copy(), seq.cached, "causal", np.arange(count), keep=True)


class Verdict(Enum):
    """What becomes of a block that was scored."""

    AGAIN = auto()  # some of it is masked and denoised again
    KEPT = auto()  # it stays, and the slot holds it
    RESTORED = auto()  # it is again what it was before, and the slot holds what was refused


def judge(seq: SequenceState, row: Row, result: RowResult) -> Verdict:
    """Take in the block's score: mask what is unlikely again, or leave the block as it is to be committed."""
    block, params, review = seq.current, seq.params, seq.current.review
    log_probs = result.log_probs_of(row.tokens[1:], slice(0, -1))  # (N - 1,) of all but the first, a causal choice
    mean = float(log_probs.mean())
    if params.returns.causal_log_probs:
        block.log_probs[1 : len(row.tokens)] = log_probs
        block.log_probs[list(_forced(seq))] = 0.0  # as in the other modes
        base = len(seq.tokens)
        note_top(seq, result, slice(len(log_probs)), range(base + 1, base + len(row.tokens)))
    rounds = 0
    if review is not None:
        rounds = review.rounds
        if np.array_equal(review.tokens, block.tokens):
            return Verdict.KEPT
        likelier = change_stays(review.mean, mean, always=params.revise.accept == "always")
        if not likelier or not (seq.guide is None or guided_block.fits(seq.guide, block, 0, len(row.tokens))):
            block.tokens, block.log_probs, seq.tops = review.tokens, review.log_probs, review.tops
            return Verdict.RESTORED
    if rounds == params.revise.revise_rounds or block.step >= params.block.denoise_steps:
        return Verdict.KEPT
    picked = _picked(seq, log_probs)
    if not len(picked):
        return Verdict.KEPT
    block.review = Review(rounds + 1, mean, block.tokens.copy(), block.log_probs.copy(), dict(seq.tops))
    block.tokens[picked] = seq.mask_token_id
    block.open[:] = False
    block.open[picked] = True
    block.unrevealed = len(picked)
    seq.phase = Phase.DENOISE
    return Verdict.AGAIN


def _picked(seq: SequenceState, log_probs: npt.NDArray[np.float64]) -> Ints:
    """Return the offsets to reconsider; what ends the answer and what the thinking budget forces stay."""
    block, params = seq.current, seq.params
    offsets = np.arange(1, len(log_probs) + 1)
    free = ~ends_of(seq, block.tokens[offsets]) & ~np.isin(offsets, list(_forced(seq)))
    known = np.flatnonzero(free)
    return offsets[unlikely(log_probs, known, params.revise.revise_threshold, params.revise.revise_fraction)]


def _forced(seq: SequenceState) -> dict[int, int]:
    """Return the offsets at which the thinking budget put a token into the block, and the token."""
    return seq.forced_in_block(len(seq.tokens), int(seq.current.tokens[0]))


def answer_length(seq: SequenceState) -> int:
    """Return how many of the block's tokens are the answer's: up to its end token, or to the request's limit."""
    tokens = seq.current.tokens[: seq.remaining]
    ends = np.flatnonzero(ends_of(seq, tokens))
    return int(ends[0]) + 1 if len(ends) else len(tokens)


def change_stays(before: float, after: float, *, always: bool) -> bool:
    """Return whether a change is kept, by the mean log-probability of its block under the causal model."""
    return always or after > before


def unlikely(
    log_probs: npt.NDArray[np.float32] | npt.NDArray[np.float64],
    known: Ints,
    threshold: float | None,
    fraction: float | None,
) -> Ints:
    """Return those of `known` places of a log-probability below `threshold`, or the least likely `fraction` of them."""
    if fraction is not None:
        count = int(np.ceil(fraction * len(known) - 1e-9))  # 0.07 of 100 is 7 though their product is above
        return np.sort(known[np.argsort(log_probs[known], kind="stable")[:count]])
    assert threshold is not None
    return known[log_probs[known] < threshold]


def ends_of(seq: SequenceState, tokens: Ints) -> npt.NDArray[np.bool_]:
    """Return which of `tokens` (N,) end the answer, (N,)."""
    found: npt.NDArray[np.bool_] = tokens == seq.params.end_id
    for stop in seq.params.choice.stop_token_ids:
        found = found | (tokens == stop)
    return found
