"""Filling a gap between two texts: windows of one block, denoised with both sides in sight.

The released models attend in both directions only inside a block, behind a causal prefix. So a window holds the end
of the left side, masks, and as much of the right side as fits; what lies before it comes from the causal cache. A gap
wider than a window is filled from left to right, a stretch at a time, each kept by a causal pass; the last window
holds the right side. Windows are always a whole block, the width the models were trained on. No released code does
this; a window's passes follow the rule of `generate`.
"""

from __future__ import annotations

import numpy as np

from ...engines.base import Row, RowResult
from .. import refine
from ..block import Block
from ..infill_state import Hole
from ..prefill import NO_ROWS
from ..refine import DENOISE_STREAM
from ..sampling import log_probs_of
from ..sequence import Phase, Sequence


def start(seq: Sequence, result: RowResult) -> list[int]:
    """Begin; what the prompt's last row predicts is not needed, for a window sees further."""
    del result
    return begin(seq)


def begin(seq: Sequence) -> list[int]:
    """Open the first window behind the prompt, or score what is to fill the gap when that is given."""
    given = _hole(seq).given
    if given is None:
        return open_window(seq)
    seq.tokens += given
    seq.counters.output_tokens = len(seq.tokens)
    _weigh(seq)
    return given


def plan(seq: Sequence, chunk: int) -> Row:
    """Return a denoising pass, the causal pass that keeps a filled stretch, or one that scores the next tokens."""
    if seq.phase is Phase.DENOISE:
        return refine.plan(seq, adapter=False)
    if seq.phase is Phase.COMMIT:
        tokens = np.array(seq.tokens[seq.cached - len(seq.prompt) :], dtype=np.int64)
        return Row(seq.slot, tokens, seq.cached, "causal", NO_ROWS, keep=True)
    tokens = _hole(seq).scored[seq.cached : seq.cached + min(chunk, seq.unread)].copy()
    return Row(seq.slot, tokens, seq.cached, "causal", np.arange(len(tokens)), keep=True)


def apply(seq: Sequence, row: Row, result: RowResult) -> list[int]:
    """Refine the window, go on to the next one, or take in scores; return the tokens that became final."""
    if seq.phase is Phase.COMMIT:
        seq.counters.commit_forwards += 1
        seq.cache(len(row.tokens))
        return open_window(seq)
    if seq.phase is Phase.SCORE:
        seq.counters.score_forwards += 1
        hole, first = _hole(seq), row.start + 1
        ids = hole.scored[first : first + len(row.tokens)]
        hole.log_probs += log_probs_of(result.logits, ids).tolist()
        seq.read(row.start + len(row.tokens))
        return [] if seq.unread else _note(seq)
    seq.counters.denoise_forwards += 1
    refine.apply(seq, row, _choices(seq, row, result), DENOISE_STREAM + seq.current.step)
    return _settle(seq) if refine.finished(seq) else []


def _choices(seq: Sequence, row: Row, result: RowResult) -> RowResult:
    """Return the result without what must not fill the gap; its first token has to fit the left side."""
    hole = _hole(seq)
    if hole.heads is None or seq.tokens:
        return result.without(hole.banned)
    first = np.flatnonzero(row.want == seq.length - seq.current.start)
    heads = hole.heads[hole.heads < result.logits.shape[1]]  # a tokenizer may have more ids than the model
    return result.without(hole.banned, {int(at): heads for at in first})


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
    else:
        _weigh(seq)
    return filled


def _weigh(seq: Sequence) -> None:
    """Decide what text the filled gap stands for: at once if there is no choice and no score is wanted."""
    hole = _hole(seq)
    hole.left = hole.read(seq.tokens)
    if hole.left and (hole.judged or len(hole.left) > 1):
        _open_score(seq)
    else:
        hole.reading = hole.left.pop() if hole.left else None
        seq.finish("stop")


def _open_score(seq: Sequence) -> None:
    """Have the causal model score the next reading from where the slot does not hold its text.

    Text is tokenized again at the seams, so that readings and sizes are compared on what the model would have been
    given.
    """
    hole = _hole(seq)
    held = hole.scored.tolist() if len(hole.scored) else [*seq.prompt, *seq.tokens]
    reading = hole.left[0]
    pairs = enumerate(zip(held[: seq.cached], reading.ids[: reading.first], strict=False))
    most = min(seq.cached, reading.first, len(reading.ids) - 1)
    same = next((at for at, (mine, theirs) in pairs if mine != theirs), most)
    hole.scored, hole.log_probs = np.array(reading.ids, dtype=np.int64), []
    seq.read(max(same - 1, 0))
    seq.phase = Phase.SCORE
    if not seq.unread:  # one token alone has no context to be scored in
        _note(seq)


def _note(seq: Sequence) -> list[int]:
    """Take in a reading's score; go on to the next one, or finish with the likeliest, of equals the first."""
    hole = _hole(seq)
    reading = hole.left.pop(0)
    counted = hole.log_probs[-(len(hole.scored) - reading.first) :] if reading.first < len(hole.scored) else []
    score = float(np.mean(counted)) if counted else None
    if hole.reading is None or (score is not None and (hole.score is None or score > hole.score)):
        hole.reading, hole.score = reading, score
    if hole.left:
        _open_score(seq)
    else:
        seq.finish("stop")
    return []


def _hole(seq: Sequence) -> Hole:
    assert seq.hole is not None
    return seq.hole
