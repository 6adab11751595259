"""Block diffusion: a block of masks behind a causal seed is refined, then committed by one causal pass.

Reference: `generate` of the released models. Served differently unless `reference` is set: the mask id is never
chosen, an answer that ends needs no commit pass, a first token that ends the answer needs no block, and the last block
stops once the tokens asked for are there.
"""

from __future__ import annotations

import numpy as np

from ..engines.base import Row, RowResult
from ..sequence import Phase, Sequence
from . import refine
from .choice import next_token

DENOISE_STREAM = 1
"""Draws of the i-th pass over a block use stream DENOISE_STREAM + i: a position drawn again is drawn anew."""


def start(seq: Sequence, result: RowResult) -> list[int]:
    """Open the first block with the token that the prompt's last row predicts."""
    return _open_block(seq, result)


def plan(seq: Sequence) -> Row:
    """Return a denoising pass, or the causal pass that commits the finished block to the cache."""
    if seq.phase is Phase.DENOISE:
        return refine.plan(seq, adapter=False)
    block = seq.current
    want = np.array([len(block.tokens) - 1], dtype=np.int64)
    return Row(seq.slot, block.tokens.copy(), seq.cached, "causal", want, keep=True)


def apply(seq: Sequence, row: Row, result: RowResult) -> list[int]:
    """Refine the block, or after its commit open the next one; return the tokens that became final."""
    if seq.phase is Phase.DENOISE:
        seq.counters.denoise_forwards += 1
        refine.apply(seq, row, result, DENOISE_STREAM + seq.current.step)
        return _settle(seq)
    seq.counters.commit_forwards += 1
    if seq.finish_reason is not None:
        seq.finish(seq.finish_reason)
        return []
    seq.cache(len(row.tokens))
    return _open_block(seq, result)


def _open_block(seq: Sequence, result: RowResult) -> list[int]:
    seq.phase = Phase.DENOISE
    base, params = len(seq.tokens), seq.params
    seed, log_prob = next_token(seq, result, 0, base)
    if seed == params.end_id and not params.reference:
        return seq.commit([seed], [log_prob])
    last = params.block_length if params.reference else min(params.block_length, seq.remaining)
    seq.open_block(seed, _forced(seq, base, seed), last)
    seq.current.log_probs[0] = log_prob
    return [] if seq.current.open.any() else _settle(seq)


def _forced(seq: Sequence, base: int, seed: int) -> dict[int, int]:
    """Return where the thinking budget puts the end of thinking in the block that starts at `base`.

    A seed that ends thinking makes it needless, which the reference does not see. Where the model ends thinking by
    itself earlier in the same block, it stands there twice.
    """
    budget, end_think = seq.params.max_thinking_tokens, seq.params.end_think_token_id
    if budget is None or end_think is None or end_think in seq.tokens:
        return {}
    if seed == end_think and not seq.params.reference:
        return {}
    offset = max(0, budget - base)
    return {offset: end_think} if offset < seq.params.block_length else {}


def _settle(seq: Sequence) -> list[int]:
    """Commit the block's tokens if it is finished: filled, out of steps, or ended by an end token with no gap."""
    block, params = seq.current, seq.params
    ends = np.flatnonzero((block.tokens == params.end_id) & ~block.open)
    ended = len(ends) > 0 and not block.open[: ends[0]].any()
    if not (ended or refine.finished(seq)):
        return []
    tokens = [int(token) for token in block.tokens]
    committed = seq.commit(tokens, [float(value) for value in block.log_probs])
    if seq.finish_reason is None or params.reference:
        seq.phase = Phase.COMMIT
    return committed
