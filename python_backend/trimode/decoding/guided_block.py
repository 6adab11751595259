"""A block whose text a guide holds: it is decided from the left, so that each token stands after a known beginning.

The proposals of a pass are walked from the left and a mask is asked for only where one does not fit; what the guide
dictates next is written without a pass. All rules of what a pass keeps become that of `leftmost`: a run from the left.
"""

from __future__ import annotations

import numpy as np

from ..engines.base import Row, RowResult
from .block import Block
from .choice import decided_in, guided_token, note_top
from .guide import Guide
from .sequence import SequenceState
from .shaping import places_of


def write_dictated(seq: SequenceState) -> None:
    """Write what the guide dictates into a block that was just opened, as far as it goes on."""
    if seq.guide is not None:
        _Walk(seq, seq.guide).run(None)


def reveal(seq: SequenceState, row: Row, result: RowResult, stream: int) -> None:
    """Fill the positions that this pass decides: a run from the left, at least as long as the steps left require.

    Raises:
        RequestError: no token is left for one of them.
    """
    assert seq.guide is not None
    _Walk(seq, seq.guide).run(_Proposals(seq, row, result, stream))
    seq.current.step += 1


class _Proposals:
    """What one pass proposes for the open positions of a block."""

    def __init__(self, seq: SequenceState, row: Row, result: RowResult, stream: int) -> None:
        self._seq, self._row, self._result, self._stream = seq, row, result, stream
        self._line = {int(offset): line for line, offset in enumerate(row.want)}
        block, params = seq.current, seq.params.block
        quota = -(-block.unrevealed // max(1, params.denoise_steps - block.step))
        self.left = quota if params.threshold is None else max(1, quota)
        """Positions that are filled whatever their probability."""
        self._joint = [rule for rule in seq.rules if rule.joint]

    def __contains__(self, offset: int) -> bool:
        return offset in self._line

    def at(self, offset: int) -> int | None:
        """Return the token for `offset`, None if this pass leaves it open; the guide stands right before it."""
        seq, line, threshold = self._seq, self._line[offset], self._seq.params.block.threshold
        if self.left <= 0 and threshold is None:
            return None
        result = self._result
        if self._joint:  # tokens that were decided since the pass count too
            scores = result.logits[line : line + 1].copy()
            for rule in self._joint:
                rule.shape(scores, places_of(seq, self._row, self._row.want[line : line + 1]))
            result, line = result.line(line).reshaped(scores), 0
        index = seq.current.start + offset - len(seq.prompt)
        token = guided_token(seq, result, line, index, self._stream, decided_in(seq))
        if self.left <= 0 and threshold and result.line(line).prob_of(np.array([token]))[0] < np.float32(threshold):
            return None
        self.left -= 1
        return token

    def log_prob(self, offset: int, token: int) -> float:
        """Return the model's own log-probability of the token that was taken; record the likeliest if asked."""
        index = self._seq.current.start + offset - len(self._seq.prompt)
        note_top(self._seq, self._result, self._line[offset], [index])
        return self._result.log_prob_of(self._line[offset], token)

    def plain(self, offset: int) -> int:
        """Return the likeliest token, whatever the guide says."""
        return int(self._result.top_id[self._line[offset]])


class _Walk:
    """A walk through a block from the left, with its guide."""

    def __init__(self, seq: SequenceState, guide: Guide) -> None:
        self._seq, self._guide, self._block = seq, guide, seq.current

    def run(self, proposals: _Proposals | None) -> None:
        """Decide open positions until one has to wait; without proposals, those that are dictated alone."""
        block, begin = self._block, self._guide.taken
        try:
            self._go(proposals)
        finally:
            self._guide.back(self._guide.taken - begin)
        block.unrevealed = int(block.open.sum())

    def _go(self, proposals: _Proposals | None) -> None:
        block = self._block
        for offset in range(self._seq.length - block.start, len(block.tokens) if block.end is None else block.end):
            if self._guide.complete:
                self._fill_after(offset)
                return
            if not (self._decide(offset, proposals) if block.open[offset] else self._keep(offset, proposals)):
                return
            self._guide.take(int(block.tokens[offset]))

    def _decide(self, offset: int, proposals: _Proposals | None) -> bool:
        """Fill an open position; return whether it was filled."""
        seq, block = self._seq, self._block
        if seq.dictated:
            token, value = seq.dictated[0], 0.0
        elif proposals is not None and offset in proposals:
            found = proposals.at(offset)
            if found is None:
                return False
            token, value = found, 0.0
            if seq.params.returns.wants_probs:
                value = proposals.log_prob(offset, token)
        else:
            return False
        block.tokens[offset], block.open[offset], block.log_probs[offset] = token, False, value
        return True

    def _keep(self, offset: int, proposals: _Proposals | None) -> bool:
        """Go on over a decided position; return whether its token fits.

        One that was decided before its left side can break the text. The end of a thought, which the thinking budget
        put there, is then needless and the position is opened. In a block that is reconsidered, what is left is filled
        as the model likes it: the text is judged as a whole.
        """
        seq, block = self._seq, self._block
        token = int(block.tokens[offset])
        if token == seq.mask_token_id:  # beyond the request's limit
            return False
        if self._guide.fits(token):
            return True
        if block.review is None:
            block.tokens[offset], block.open[offset] = seq.mask_token_id, True
        elif proposals is not None:
            for other in np.flatnonzero(block.open):
                block.tokens[other] = proposals.plain(int(other))
            block.open[:] = False
        return False

    def _fill_after(self, offset: int) -> None:
        """Close the positions after a text that is complete, with its end token where it has one."""
        block, end = self._block, self._seq.params.end_id
        rest = block.open[offset:].copy()
        block.tokens[offset:][rest] = end if end >= 0 else self._seq.mask_token_id
        block.open[offset:] = False


def fits(guide: Guide, block: Block, first: int, count: int) -> bool:
    """Whether the block's tokens from `first` up to `count` can all be taken."""
    begin = guide.taken
    try:
        for token in block.tokens[first:count].tolist():
            if guide.complete or not guide.fits(token):
                return guide.complete
            guide.take(token)
    finally:
        guide.back(guide.taken - begin)
    return True
