"""Reconsidering a text: its least likely tokens are masked again and denoised with both sides in sight.

A round scores the whole text causally, picks tokens, and goes through it window by window: what is picked inside a
window of one block is masked and refined by the rule of `generate`, then the window is scored with its new tokens. The
change is kept if the block became more likely under the causal model, which does not see to its right and so judges
independently. The number of tokens never changes. No released code does this.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...engines.base import Ints, Row, RowResult
from .. import refine
from ..block import Block
from ..committed import Committed
from ..guide import Guide, holds
from ..refine import DENOISE_STREAM, STREAMS
from ..review import change_stays, unlikely
from ..revise_state import ReviseState, Window
from ..sequence import Phase, SequenceState


def start(seq: SequenceState, result: RowResult) -> list[int]:
    """Record how likely the text's first token is after the context, then score the rest."""
    work = _state(seq)
    first = len(seq.prompt)
    work.log_probs[first] = result.log_probs_of(work.ids[first : first + 1])[0]
    return go_on(seq)


def plan(seq: SequenceState, chunk: int) -> Row:
    """Return a causal pass that scores and keeps the next tokens, or a denoising pass over a window."""
    if seq.phase is Phase.DENOISE:
        return refine.plan(seq, adapter=False)
    work = _state(seq)
    ids = work.tried if seq.phase is Phase.REVIEW else work.ids
    tokens = ids[seq.cached : min(work.score_end, seq.cached + chunk)].copy()
    return Row(seq.slot, tokens, seq.cached, "causal", np.arange(len(tokens)), keep=True)


def apply(seq: SequenceState, row: Row, result: RowResult) -> Committed:
    """Take in scores, refine a window, or judge its change; the text's tokens are final when all rounds are done."""
    work = _state(seq)
    if seq.phase is Phase.DENOISE:
        seq.counters.denoise_forwards += 1
        stream = DENOISE_STREAM + work.round * STREAMS + seq.current.step
        refine.apply(seq, row, _allowed_result(work, row, result), stream)
        return Committed(_propose(seq) if refine.finished(seq) else [], denoised=True)
    next_ones = slice(row.start + 1, min(row.start + len(row.tokens) + 1, len(work.ids)))
    seq.set_cached(row.start + len(row.tokens))
    seq.counters.score_forwards += 1
    if seq.phase is Phase.SCORE:
        ids = work.ids[next_ones]
        work.log_probs[next_ones] = result.log_probs_of(ids, slice(len(ids)))
        return Committed(go_on(seq))
    ids = work.tried[next_ones]
    work.tried_log_probs[next_ones] = result.log_probs_of(ids, slice(len(ids)))
    return Committed(_judge(seq) if seq.cached >= work.score_end else [])


def _allowed_result(work: ReviseState, row: Row, result: RowResult) -> RowResult:
    """Return the result without the ids that must not be put in; some tokens must keep their part outside a span."""
    places = ((line, work.allowed_ids.get(row.start + int(at))) for line, at in enumerate(row.want))
    size = result.logits.shape[1]  # a tokenizer may have more ids than the model
    return result.without(work.banned, {line: ids[ids < size] for line, ids in places if ids is not None})


def pick(work: ReviseState) -> Ints:
    """Return the positions to reconsider: of those allowed all, the unlikely ones, or the least likely share."""
    if work.fraction is None and work.threshold is None:
        return np.flatnonzero(work.allowed)
    known = np.flatnonzero(work.allowed & ~np.isnan(work.log_probs))
    return unlikely(work.log_probs, known, work.threshold, work.fraction)


def go_on(seq: SequenceState) -> list[int]:
    """Score what is not scored, then open the next window; when a round is over begin another or finish."""
    work = _state(seq)
    while True:
        if work.picked is None:  # a round begins: all of the text must be scored first
            work.score_end = len(work.ids)
            if seq.cached < work.score_end:
                seq.phase = Phase.SCORE
                return []
            work.picked, work.changed, work.at = pick(work), False, 0
        ahead = work.picked[work.picked >= work.at]
        if len(ahead):
            return _open_window(seq, int(ahead[0]))
        work.round += 1
        if work.round >= work.rounds or not work.changed:
            return _finish(seq)
        work.picked = None


def _open_window(seq: SequenceState, first: int) -> list[int]:
    """Mask what is picked from `first` on within one block, once the cache is right up to the block's end."""
    work, width = _state(seq), seq.params.block.block_length
    assert work.picked is not None
    begin = max(first - 1, 0)
    end = min(begin + width, len(work.ids))
    if seq.cached < end:  # an earlier change, kept or not, made it stale
        work.score_end, seq.phase = end, Phase.SCORE
        return []
    # The last quarter is only looked at, unless the text ends in it: what is masked needs a right side.
    done = end if end == len(work.ids) else max(end - width // 4, first + 1)
    picked = work.picked[(work.picked >= first) & (work.picked < done)]
    tokens = np.full(width, work.filler, dtype=np.int64)
    tokens[: end - begin] = work.ids[begin:end]
    tokens[picked - begin] = seq.mask_token_id
    is_open = np.zeros(width, dtype=bool)
    is_open[picked - begin] = True
    work.window = Window(first, end, done)
    seq.block = Block(begin, tokens, is_open, len(picked), 0, np.zeros(width, dtype=np.float32))
    seq.phase = Phase.DENOISE
    return []


def _propose(seq: SequenceState) -> list[int]:
    """Compare the refined window with the text; if it differs, let the model score it."""
    work, block = _state(seq), seq.current
    first, end, work.at = work.window
    work.tried = work.ids.copy()
    work.tried[block.start : end] = block.tokens[: end - block.start]
    if seq.guide is not None:
        _keep_what_holds(seq.guide, work, len(seq.prompt))
    if (work.tried == work.ids).all():
        return go_on(seq)
    work.tried_log_probs = work.log_probs.copy()
    seq.set_cached(max(first - 1, 0))
    work.score_end, seq.phase = end, Phase.REVIEW
    return []


def _keep_what_holds(guide: Guide, work: ReviseState, begin: int) -> None:
    """Take back the changes that would break the text; where all of them together do, those that do so one by one."""
    wanted = work.tried
    if holds(guide, wanted[begin:].tolist()):
        return
    work.tried = work.ids.copy()
    for at in np.flatnonzero(wanted != work.ids):
        work.tried[at] = wanted[at]
        if not holds(guide, work.tried[begin:].tolist()):
            work.tried[at] = work.ids[at]


def _judge(seq: SequenceState) -> list[int]:
    """Keep the change if its block became likelier, or leave the text as it was; then go on."""
    work = _state(seq)
    first, end, _ = work.window
    before, after = _mean(work.log_probs[first:end]), _mean(work.tried_log_probs[first:end])
    if change_stays(before, after, always=work.always):
        work.ids, work.log_probs, work.changed = work.tried, work.tried_log_probs, True
    else:
        seq.set_cached(first)  # the slot now holds the refused tokens from here on
    return go_on(seq)


def _mean(log_probs: npt.NDArray[np.float64]) -> float:
    known = log_probs[~np.isnan(log_probs)]  # the very first token of a text without context has none
    return float(known.mean()) if len(known) else 0.0


def _finish(seq: SequenceState) -> list[int]:
    seq.tokens = [int(token) for token in _state(seq).ids[len(seq.prompt) :]]
    seq.counters.output_tokens = len(seq.tokens)
    seq.finish("stop")
    return seq.tokens


def _state(seq: SequenceState) -> ReviseState:
    assert seq.revise is not None
    return seq.revise
