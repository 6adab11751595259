"""Filling a gap between two texts: windows of one block, denoised with both sides in sight.

The released models attend in both directions only inside a block, behind a causal prefix. So a window holds the end of
the left side, masks, and as much of the right side as fits; what lies before it comes from the causal cache. A gap wider
than a window is filled from left to right, a stretch at a time, each kept by a causal pass; the last window holds the
right side. Windows are always a whole block, the width the models were trained on. No released code does this; a
window's passes follow the rule of `generate`.
"""

from __future__ import annotations

import numpy as np

from ..engines.base import Ints, Row, RowResult
from ..sampling import log_probs_of
from ..sequence import Block, Hole, Phase, Sequence
from . import refine
from .diffusion import DENOISE_STREAM
from .prefill import NO_ROWS


def start(seq: Sequence, result: RowResult) -> list[int]:
    """Open the first window; what the prompt's last row predicts is not needed, for the window sees further."""
    del result
    return open_window(seq)


def plan(seq: Sequence) -> Row:
    """Return a denoising pass, the causal pass that keeps a filled stretch, or the one that scores the whole."""
    if seq.phase is Phase.DENOISE:
        return refine.plan(seq, adapter=False)
    if seq.phase is Phase.COMMIT:
        tokens = np.array(seq.tokens[seq.cached - len(seq.prompt) :], dtype=np.int64)
        return Row(seq.slot, tokens, seq.cached, "causal", NO_ROWS, keep=True)
    ids, begin = _scored(seq)
    return Row(seq.slot, ids[:-1], begin, "causal", np.arange(len(ids) - 1), keep=False)


def apply(seq: Sequence, row: Row, result: RowResult) -> list[int]:
    """Refine the window, go on to the next one, or take in the score; return the tokens that became final."""
    if seq.phase is Phase.COMMIT:
        seq.counters.commit_forwards += 1
        seq.cache(len(row.tokens))
        return open_window(seq)
    if seq.phase is Phase.SCORE:
        seq.counters.score_forwards += 1
        ids, _ = _scored(seq)
        _hole(seq).score = float(log_probs_of(result.logits, ids[1:]).mean())
        seq.finish("stop")
        return []
    seq.counters.denoise_forwards += 1
    refine.apply(seq, row, result.without(_hole(seq).banned), DENOISE_STREAM + seq.current.step)
    return _settle(seq) if refine.finished(seq) else []


def stretch(size: int, right: int, block: int) -> int:
    """Return how many of `size` gap tokens the next window fills.

    The last window keeps half a block for the right side, if there is so much; what does not fit into it is spread
    evenly over the windows before. A window's first token is known text.
    """
    last = block - 1 - min(right, block // 2)
    if size <= last:
        return size
    windows = -(-(size - last) // (block - 1))
    return -(-(size - last) // windows)


def open_window(seq: Sequence) -> list[int]:
    """Start the next window behind what is filled: known text, the stretch to fill, then what follows it."""
    hole, width = _hole(seq), seq.params.block_length
    done, length = len(seq.tokens), seq.length
    left = hole.size - done
    count = stretch(left, len(hole.right), width)
    # The rest of the gap, then the right side; masks fill what is left once more known text on the left is used up.
    after = [*[seq.mask_token_id] * (left - count), *hole.right.tolist()] if count < left else hole.right.tolist()
    ahead = min(len(after), width - count - min(1, length))
    lead = min(length, width - count - ahead)
    known = [*seq.prompt, *seq.tokens][length - lead :] if lead else []
    tokens = np.full(width, seq.mask_token_id, dtype=np.int64)
    tokens[:lead] = known
    tokens[lead + count : lead + count + ahead] = after[:ahead]
    is_open = np.zeros(width, dtype=bool)
    is_open[lead : lead + count] = True
    seq.block = Block(length - lead, tokens, is_open, count, 0, np.zeros(width, dtype=np.float32))
    seq.phase = Phase.DENOISE
    return []


def _settle(seq: Sequence) -> list[int]:
    """Take over the filled stretch; keep it and go on, score the whole, or finish."""
    block, hole = seq.current, _hole(seq)
    begin = seq.length - block.start
    count = stretch(hole.size - len(seq.tokens), len(hole.right), seq.params.block_length)
    filled = [int(token) for token in block.tokens[begin : begin + count]]
    seq.tokens += filled
    if seq.params.return_log_probs:
        seq.log_probs += [float(value) for value in block.log_probs[begin : begin + count]]
    seq.counters.output_tokens = len(seq.tokens)
    if len(seq.tokens) < hole.size:
        seq.phase = Phase.COMMIT
    elif hole.seam is not None:
        seq.phase = Phase.SCORE
        if len(_scored(seq)[0]) < 2:  # one token alone has no context to be scored in
            hole.score = 0.0
            seq.finish("stop")
    else:
        seq.finish("stop")
    return filled


def _scored(seq: Sequence) -> tuple[Ints, int]:
    """Return the ids from the last known token on through gap and right side, and that token's position.

    Text is tokenized again at the seams, so that lengths are compared on what the model would have been given.
    """
    hole = _hole(seq)
    assert hole.seam is not None
    seam = hole.seam(seq.tokens)
    known = [*seq.prompt, *seq.tokens][: seq.cached]
    ids = [*known[: seam.start], *seam.ids]
    same = 0
    for mine, theirs in zip(known, ids, strict=False):
        if mine != theirs:
            break
        same += 1
    begin = max(min(same, len(seq.prompt)) - 1, 0)
    return np.array(ids[begin:], dtype=np.int64), begin


def _hole(seq: Sequence) -> Hole:
    assert seq.hole is not None
    return seq.hole
