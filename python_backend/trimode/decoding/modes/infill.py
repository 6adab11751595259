"""Filling a gap between two texts: windows of one block, denoised with both sides in sight.

The released models attend in both directions only inside a block, after a causal prefix. So a window holds the end
of the left side, masks, and as much of the right side as fits; what lies before it comes from the causal cache. A gap
wider than a window is filled from left to right, a part at a time, each kept by a causal pass; the last window
holds the right side. Windows are always a whole block, the width the models were trained on. No released code does
this; a window's passes follow the rule of `generate`.
"""

from __future__ import annotations

import numpy as np

from ...engines.base import Row, RowResult
from .. import guided_block, refine
from ..block import Block
from ..committed import NOTHING, Committed
from ..guide import NoTokenError
from ..infill_state import InfillState, Reading
from ..prefill import NO_ROWS
from ..refine import DENOISE_STREAM
from ..sequence import Phase, SequenceState


def start(seq: SequenceState, result: RowResult) -> list[int]:
    """Begin. The prediction of the prompt's last row is not needed, because a window sees further."""
    del result
    return begin(seq)


def begin(seq: SequenceState) -> list[int]:
    """Open the first window after the prompt, or score what is to fill the gap when that is given."""
    given = _gap(seq).given
    if given is None:
        return open_window(seq)
    seq.tokens += given
    seq.counters.output_tokens = len(seq.tokens)
    _choose_reading(seq)
    return given


def plan(seq: SequenceState, chunk: int) -> Row:
    """Return a denoising pass, the causal pass that keeps a filled part, or one that scores the next tokens."""
    if seq.phase is Phase.DENOISE:
        return refine.plan(seq, adapter=False)
    if seq.phase is Phase.COMMIT:
        tokens = np.array(seq.tokens[seq.cached - len(seq.prompt) :], dtype=np.int64)
        return Row(seq.slot, tokens, seq.cached, "causal", NO_ROWS, keep=True)
    tokens = _gap(seq).scored[seq.cached : seq.cached + min(chunk, seq.unread)].copy()
    return Row(seq.slot, tokens, seq.cached, "causal", np.arange(len(tokens)), keep=True)


def apply(seq: SequenceState, row: Row, result: RowResult) -> Committed:
    """Refine the window, go on to the next one, or take in scores."""
    if seq.phase is Phase.COMMIT:
        seq.counters.commit_forwards += 1
        seq.mark_cached(len(row.tokens))
        return Committed(open_window(seq))
    if seq.phase is Phase.SCORE:
        seq.counters.score_forwards += 1
        gap, first = _gap(seq), row.start + 1
        ids = gap.scored[first : first + len(row.tokens)]
        gap.log_probs += result.log_probs_of(ids).tolist()
        seq.set_cached(row.start + len(row.tokens))
        return NOTHING if seq.unread else Committed(_take_score(seq))
    seq.counters.denoise_forwards += 1
    try:
        refine.apply(seq, row, _allowed_result(seq, row, result), DENOISE_STREAM + seq.current.step)
    except NoTokenError:  # this size has no filling; the request looks at others
        seq.finish("stop")
        return NOTHING
    return Committed(_take_window(seq) if refine.finished(seq) else [], denoised=True)


def _allowed_result(seq: SequenceState, row: Row, result: RowResult) -> RowResult:
    """Return the result without the ids that must not fill the gap; its first token must fit the left side."""
    gap = _gap(seq)
    if gap.first_ids is None or seq.tokens:
        return result.without(gap.banned)
    first = np.flatnonzero(row.want == seq.length - seq.current.start)
    heads = gap.first_ids[gap.first_ids < result.logits.shape[1]]  # a tokenizer may have more ids than the model
    return result.without(gap.banned, {int(at): heads for at in first})


def tokens_in_window(size: int, right: int, block: int) -> int:
    """Return how many of `size` gap tokens the next window fills.

    The last window keeps half a block for the right side, if there is so much; what does not fit into it is spread
    evenly over the windows before. A window's first token is known text.
    """
    last = block - 1 - min(right, block // 2)
    if size <= last:
        return size
    windows = -(-(size - last) // (block - 1))
    return -(-(size - last) // windows)


def open_window(seq: SequenceState) -> list[int]:
    """Start the next window after what is filled: known text, the part to fill, then what follows it."""
    gap, width = _gap(seq), seq.params.block.block_length
    done, length = len(seq.tokens), seq.length
    left = gap.size - done
    count = tokens_in_window(left, len(gap.right), width)
    # The rest of the gap, then the right side; masks fill what is left once more known text on the left is used up.
    after = [*[seq.mask_token_id] * (left - count), *gap.right.tolist()] if count < left else gap.right.tolist()
    ahead = min(len(after), width - count - min(1, length))
    lead = min(length, width - count - ahead)
    known = [*seq.prompt, *seq.tokens][length - lead :] if lead else []
    tokens = np.full(width, seq.mask_token_id, dtype=np.int64)
    tokens[:lead] = known
    tokens[lead + count : lead + count + ahead] = after[:ahead]
    is_open = np.zeros(width, dtype=bool)
    is_open[lead : lead + count] = True
    log_probs = np.zeros(width, dtype=np.float32)
    seq.block = Block(length - lead, tokens, is_open, count, 0, log_probs, end=lead + count)
    seq.phase = Phase.DENOISE
    guided_block.write_dictated(seq)
    return [] if is_open.any() else _take_window(seq)


def _take_window(seq: SequenceState) -> list[int]:
    """Take over the filled part; keep it and go on, score the whole gap, or finish."""
    block, gap = seq.current, _gap(seq)
    begin = seq.length - block.start
    count = tokens_in_window(gap.size - len(seq.tokens), len(gap.right), seq.params.block.block_length)
    filled = _up_to_the_end(seq, [int(token) for token in block.tokens[begin : begin + count]])
    seq.tokens += filled
    if seq.params.returns.return_log_probs:
        seq.log_probs += [float(value) for value in block.log_probs[begin : begin + len(filled)]]
    seq.counters.output_tokens = len(seq.tokens)
    ended = seq.guide is not None and seq.guide.complete
    if not ended and len(seq.tokens) < gap.size:
        seq.phase = Phase.COMMIT
    else:
        _choose_reading(seq)
    return filled


def _up_to_the_end(seq: SequenceState, filled: list[int]) -> list[int]:
    """Let the guide take what fills a window; return it without what stands after the end of its text."""
    if seq.guide is None:
        return filled
    for at, token in enumerate(filled):
        if seq.guide.complete:
            return filled[:at]
        seq.guide.take(token)
    return filled


def _choose_reading(seq: SequenceState) -> None:
    """Decide what text the filled gap stands for: at once if there is no choice and no score is wanted."""
    gap = _gap(seq)
    gap.unscored = gap.interpret(seq.tokens)
    if gap.unscored and gap.given is not None and seq.params.returns.return_log_probs and not seq.log_probs:
        gap.scores_given = True
        gap.unscored.insert(0, Reading("", [*seq.prompt, *seq.tokens], len(seq.prompt)))
        _open_score(seq)
    else:
        _choose_among_unscored(seq)


def _choose_among_unscored(seq: SequenceState) -> None:
    gap = _gap(seq)
    if gap.unscored and (gap.needs_score or len(gap.unscored) > 1):
        _open_score(seq)
    else:
        gap.reading = gap.unscored.pop() if gap.unscored else None
        seq.finish("stop")


def _open_score(seq: SequenceState) -> None:
    """Have the causal model score the next reading from where the slot does not hold its text.

    Text is tokenized again at the seams, so that readings and sizes are compared on what the model would have been
    given.
    """
    gap = _gap(seq)
    held = gap.scored.tolist() if len(gap.scored) else [*seq.prompt, *seq.tokens]
    reading = gap.unscored[0]
    pairs = enumerate(zip(held[: seq.cached], reading.ids[: reading.first], strict=False))
    most = min(seq.cached, reading.first, len(reading.ids) - 1)
    same = next((at for at, (mine, theirs) in pairs if mine != theirs), most)
    gap.scored, gap.log_probs = np.array(reading.ids, dtype=np.int64), []
    seq.set_cached(max(same - 1, 0))
    seq.phase = Phase.SCORE
    if not seq.unread:  # one token alone has no context to be scored in
        _take_score(seq)


def _take_score(seq: SequenceState) -> list[int]:
    """Take in a reading's score; go on to the next one, or finish with the likeliest, the first among equals."""
    gap = _gap(seq)
    reading = gap.unscored.pop(0)
    if gap.scores_given:
        gap.scores_given = False
        found = gap.log_probs[-len(seq.tokens) :]
        seq.log_probs += [0.0] * (len(seq.tokens) - len(found)) + found  # a text's first token follows nothing
        _choose_among_unscored(seq)
        return []
    counted = gap.log_probs[-(len(gap.scored) - reading.first) :] if reading.first < len(gap.scored) else []
    score = float(np.mean(counted)) if counted else None
    if gap.reading is None or (score is not None and (gap.score is None or score > gap.score)):
        gap.reading, gap.score = reading, score
    if gap.unscored:
        _open_score(seq)
    else:
        seq.finish("stop")
    return []


def _gap(seq: SequenceState) -> InfillState:
    assert seq.infill is not None
    return seq.infill
