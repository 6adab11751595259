"""One bidirectional pass over a block: which rows are asked for, which predictions are kept.

Shared by diffusion (denoising) and self-speculation (drafting). The rule is the released one: the surest position is
always kept, with it all above the threshold; `denoise_steps` raises the number kept so that the steps suffice.
"""

from __future__ import annotations

import numpy as np

from ..engines.base import Floats, Row, RowResult
from . import guided_block
from .block import Block
from .choice import choose, decided_in, note_top
from .reveal import reveal
from .sequence import Phase, SequenceState
from .shaping import settled, surest_first

DENOISE_STREAM = 1
"""The i-th pass over a block draws from stream DENOISE_STREAM + i, so that a position drawn again gets a new draw."""
STREAMS = 128
"""Streams of draws that one round over a block or a text may use; more than its passes."""


def plan(seq: SequenceState, *, adapter: bool) -> Row:
    """Return a pass in which every token of the block sees the whole block; nothing of it is kept in the slot."""
    block = seq.current
    want = block.open.nonzero()[0]
    return Row(seq.slot, block.tokens.copy(), block.start, "block", want, keep=False, adapter=adapter)


def apply(seq: SequenceState, row: Row, result: RowResult, stream: int) -> None:
    """Fill the positions that this pass decides.

    Raises:
        RequestError: the request's rules leave no token for one of them.
    """
    block, params = seq.current, seq.params
    if seq.guide is not None and seq.revise is None:
        guided_block.reveal(seq, row, result, stream)
        return
    plain = params.sampling.plain and not params.reference
    settles = bool(seq.rules) and seq.phase is Phase.DENOISE  # a draft is only proposed
    if plain and params.block.threshold == 0.0 and not (params.returns.wants_probs or settles):
        _fill(block, row, result)  # every position is kept whatever its probability: a one-pass draft
        return
    positions = block.start + row.want  # (R,) absolute
    decided = decided_in(seq)
    ids = choose(seq, result, slice(None), positions, stream, decided)  # (R,)
    probs = result.top_prob if plain else result.prob_of(ids)  # (R,)
    steps_left = params.block.denoise_steps - block.step
    quota = -(-block.unrevealed // steps_left)
    if params.block.threshold is not None:
        # The released loops with a threshold and too few steps end with positions left open.
        quota = 1 if params.reference else max(1, quota)

    def logits() -> Floats:
        return result.logits if params.reference else result.without_mask()  # a sure mask id is no sure token

    kept = reveal(params.block.reveal, logits, probs, quota, params.block.threshold)  # (R,)
    if settles:

        def again(one: RowResult, at: int) -> int:
            return int(choose(seq, one, slice(0, 1), positions[at : at + 1], stream, decided)[0])

        ids = settled(seq, row, result, ids, surest_first(kept, probs), again)
    where = row.want[kept]
    block.tokens[where] = ids[kept]
    if params.returns.wants_probs:
        note_top(seq, result, kept, (positions[kept] - len(seq.prompt)).tolist())
        of_model = result.log_probs_of(ids[kept], kept) if seq.rules else None
        block.log_probs[where] = np.log(np.maximum(probs[kept], np.float32(1e-38))) if of_model is None else of_model
    # A mask id may be "kept" in reference mode: the position stays open though a reveal was spent on it.
    block.open[where] = ids[kept] == seq.mask_token_id
    block.unrevealed -= int(kept.sum())
    block.step += 1


def _fill(block: Block, row: Row, result: RowResult) -> None:
    block.tokens[row.want] = result.top_id
    block.open[:] = False
    block.unrevealed = 0
    block.step += 1


def finished(seq: SequenceState) -> bool:
    """Whether every position is filled or the steps are spent; what a guide holds has no gaps even then."""
    block = seq.current
    free = seq.guide is None or seq.revise is not None
    return not block.open.any() or (free and block.step == seq.params.block.denoise_steps)
