"""Block diffusion: a block of masks after a causal seed is refined, then committed by one causal pass.

Reference: `generate` of the released models. Served differently unless `reference` is set: the mask id is never
chosen, an answer that ends needs no commit pass, a first token that ends the answer needs no block, and the last block
stops once the tokens asked for are there. With `revise_rounds` a filled block is gone through again before its commit
(review.py), whose causal pass gives causal log-probabilities too, if they are asked for.
"""

from __future__ import annotations

import numpy as np

from ...engines.base import Row, RowResult
from .. import guided_block, refine, review
from ..choice import next_token
from ..committed import NOTHING, Committed
from ..refine import DENOISE_STREAM, STREAMS
from ..sequence import Phase, SequenceState


def start(seq: SequenceState, result: RowResult) -> list[int]:
    """Open the first block with the token that the prompt's last row predicts."""
    return _open_block(seq, result, 0)


def plan(seq: SequenceState) -> Row:
    """Return a denoising pass, or the causal pass that scores the filled block or commits it to the cache."""
    if seq.phase is Phase.DENOISE:
        return refine.plan(seq, adapter=False)
    if seq.phase is Phase.REVIEW:
        return review.plan(seq)
    block = seq.current
    want = np.array([len(block.tokens) - 1], dtype=np.int64)
    return Row(seq.slot, block.tokens.copy(), seq.cached, "causal", want, keep=True)


def apply(seq: SequenceState, row: Row, result: RowResult) -> Committed:
    """Refine the block, or open the next one after its commit."""
    if seq.phase is Phase.DENOISE:
        seq.counters.denoise_forwards += 1
        earlier = seq.current.review
        stream = DENOISE_STREAM + (earlier.rounds * STREAMS if earlier else 0) + seq.current.step
        refine.apply(seq, row, result, stream)
        return Committed(_commit_if_finished(seq), denoised=True)
    if seq.phase is Phase.REVIEW:
        seq.counters.score_forwards += 1
        verdict = review.judge(seq, row, result)
        if verdict is review.Verdict.AGAIN:
            return NOTHING
        committed = _commit(seq)
        in_cache = verdict is review.Verdict.KEPT and not seq.done
        return Committed([*committed, *_next_block(seq, row, result)] if in_cache else committed)
    seq.counters.commit_forwards += 1
    if seq.finish_reason is not None:
        seq.finish(seq.finish_reason)
        return NOTHING
    return Committed(_next_block(seq, row, result))


def _next_block(seq: SequenceState, row: Row, result: RowResult) -> list[int]:
    """Open the block after the one that the slot now holds; `row` asked for its last token's logits, last."""
    seq.mark_cached(len(row.tokens))
    return _open_block(seq, result, len(row.want) - 1)


def _open_block(seq: SequenceState, result: RowResult, at: int) -> list[int]:
    seq.phase = Phase.DENOISE
    base, params = len(seq.tokens), seq.params
    seed, value = next_token(seq, result, at, base)
    if params.returns.stream_provisional and not params.returns.return_log_probs:
        value = result.log_prob_of(at, seed)  # for who watches
    if params.is_end(seed) and not params.reference:
        return seq.commit([seed], [value])
    last = seq.block_length if params.reference else min(seq.block_length, seq.remaining)
    seq.open_block(seed, seq.forced_in_block(base, seed), last)
    seq.current.log_probs[0] = value
    guided_block.write_dictated(seq)
    return [] if seq.current.open.any() else _commit_if_finished(seq)


def _commit_if_finished(seq: SequenceState) -> list[int]:
    """Commit the block's tokens if it is finished: filled, out of steps, or ended by an end token with no gap.

    With `revise_rounds`, or if causal log-probabilities are returned, its score comes first.
    """
    block, params = seq.current, seq.params
    ends = (review.ends_of(seq, block.tokens) & ~block.open).nonzero()[0]
    ended = len(ends) > 0 and not block.open[: ends[0]].any()
    if not (ended or refine.finished(seq)):
        return []
    scored = params.revise.revise_rounds or params.returns.causal_log_probs
    if scored and review.answer_length(seq) > 1:  # the first token was chosen by a causal pass
        seq.phase = Phase.REVIEW
        return []
    return _commit(seq)


def _commit(seq: SequenceState) -> list[int]:
    """Commit the block's tokens; unless they end the answer the slot has to hold them next."""
    block = seq.current
    tokens = [int(token) for token in block.tokens]
    committed = seq.commit(tokens, [float(value) for value in block.log_probs])
    if seq.finish_reason is None or seq.params.reference:
        seq.phase = Phase.COMMIT
    return committed
