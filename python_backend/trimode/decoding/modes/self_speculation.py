"""Linear self-speculation: one model drafts a block by diffusion and verifies it causally in one pass.

Reference: `linear_spec_generate` of the released models. It emits the verification's own choices, so the text equals
the autoregressive one, sampled text too (draft, verification and autoregressive steps share their draws).
Served differently unless `reference` is set: the last cycle asks only for the tokens that are still wanted, and the
thinking budget's end marker is really emitted, where autoregressive decoding emits it.
"""

from __future__ import annotations

import numpy as np

from ...engines.base import Ints, Row, RowResult
from .. import guided_block, refine
from ..choice import CAUSAL_STREAM, next_token
from ..committed import Committed
from ..sequence import Phase, SequenceState


def start(seq: SequenceState, result: RowResult) -> list[int]:
    """Commit the token that the prompt's last row predicts; it seeds the first draft."""
    token, log_prob = next_token(seq, result, 0, 0)
    committed = seq.commit([token], [log_prob])
    resume(seq)
    return committed


def plan(seq: SequenceState) -> Row:
    """Return a drafting pass, or the causal pass that verifies the draft."""
    if seq.phase is Phase.DRAFT:
        return refine.plan(seq, adapter=seq.adapter)
    tokens = seq.current.tokens[: _width(seq)].copy()
    return Row(seq.slot, tokens, seq.cached, "causal", np.arange(len(tokens)), keep=True)


def apply(seq: SequenceState, row: Row, result: RowResult) -> Committed:
    """Refine the draft, or commit the verified run.

    At threshold 0 a draft is one pass. In reference mode it may hold the mask id then, as the released loop's may.
    """
    if seq.phase is Phase.DRAFT:
        seq.counters.draft_forwards += 1
        refine.apply(seq, row, result, CAUSAL_STREAM)
        if refine.finished(seq) or seq.params.block.threshold == 0.0:
            seq.phase = Phase.VERIFY
        return Committed([], denoised=True)
    drafted = len(row.tokens) - 1
    run, log_probs = verified_run(seq, row.tokens, result)
    committed = seq.commit(run, log_probs)
    verified = min(len(committed), len(run) - 1)
    seq.counters.verified(drafted, verified)
    seq.mark_cached(len(committed))
    resume(seq)
    return Committed(committed, drafted, verified)


def _width(seq: SequenceState) -> int:
    """Rows of a verification that can still matter."""
    length = seq.block_length
    return length if seq.params.reference else min(length, seq.remaining)


def resume(seq: SequenceState) -> None:
    """Open a draft after the last committed token, which is not in the cache."""
    if seq.done:
        return
    base = len(seq.tokens)
    forced = {}
    for offset in range(1, _width(seq)):
        token = seq.forced_at(base - 1 + offset)
        if token is not None:
            forced[offset] = token
    seq.open_block(seq.tokens[-1], forced, _width(seq))
    guided_block.write_dictated(seq)
    seq.phase = Phase.DRAFT if seq.current.open.any() else Phase.VERIFY


def verified_run(seq: SequenceState, draft: Ints, result: RowResult) -> tuple[list[int], list[float]]:
    """Return the verification's tokens up to and including the first that the draft did not foresee.

    Args:
        draft: (W,) int64; row t of `result` predicts what follows its token t. Rows from W on are not looked at.
    """
    params, guide = seq.params, seq.guide
    base, width = len(seq.tokens), len(draft)
    unforced = params.reference or params.max_thinking_tokens is None
    quick = params.sampling.plain and not params.returns.return_log_probs and unforced and guide is None
    if quick and not result.stuck():
        ids = result.logits.argmax(axis=-1) if params.reference else result.top_id  # (S,)
        agree = ids[: width - 1] == draft[1:]
        count = width if agree.all() else int(np.argmin(agree)) + 1
        return [int(token) for token in ids[:count]], [0.0] * count
    begin = 0 if guide is None else guide.taken
    if guide is not None and not params.sampling.greedy:
        guide.look_ahead(draft[1:].tolist())
    run: list[int] = []
    log_probs: list[float] = []
    for offset in range(width):
        token, log_prob = next_token(seq, result, offset, base + offset, tuple(run))
        run.append(token)
        log_probs.append(log_prob)
        if offset + 1 == width or token != draft[offset + 1]:
            break
        if guide is not None:
            guide.take(token)
            if guide.complete:
                break
    if guide is not None:  # commit takes the run
        guide.back(guide.taken - begin)
    return run, log_probs
