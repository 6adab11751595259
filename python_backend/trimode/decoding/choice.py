"""How a sequence picks tokens from logits, the same in every mode: greedy or drawn, penalised, never the mask id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..engines.base import Floats, RowResult
from .guide import only_allowed
from .rules.base import FORBIDDEN
from .sampling import likeliest, penalise, sample, sure
from .sequence import SequenceState
from .shaping import must_have_a_token

Ints = npt.NDArray[np.int64]

CAUSAL_STREAM = 0
"""The stream of draws of causal passes; drafts share it, so that draft and verification agree when sampling."""


def choose(
    seq: SequenceState, result: RowResult, rows: slice, positions: Ints, stream: int, extra: tuple[int, ...] = ()
) -> Ints:
    """Return a token for each of `rows` of `result`.

    Args:
        positions: absolute position of each chosen token, on which a draw depends, with the seed and `stream`.
        extra: tokens after those committed that penalties must count, such as the accepted part of a draft.
    """
    params = seq.params
    if params.sampling.plain:
        if params.reference:
            return np.asarray(result.logits[rows].argmax(axis=-1), dtype=np.int64)
        return result.top_id[rows]
    return sample(_scores(seq, result, rows, extra), params.sampling, positions, stream)


def _scores(seq: SequenceState, result: RowResult, rows: slice, extra: tuple[int, ...]) -> Floats:
    """Return (R, V) what a token is drawn from: penalised, and without the mask id unless the reference has it."""
    params = seq.params
    scores = result.logits[rows] if params.reference else result.without_mask(rows)
    if params.sampling.penalised:
        scores = penalise(scores, params.sampling, seq.prompt, [*seq.tokens, *extra])
    return scores


def note_top(
    seq: SequenceState, result: RowResult, rows: int | slice | npt.NDArray[Any], indices: Sequence[int]
) -> None:
    """Record the likeliest tokens of `rows` for these places in the answer, if the request asks for them."""
    returns = seq.params.returns
    if returns.top_log_probs and returns.return_log_probs:
        logits = np.atleast_2d(result.raw[rows])
        seq.tops |= zip(indices, likeliest(logits, returns.top_log_probs, seq.mask_token_id), strict=True)


def next_token(
    seq: SequenceState, result: RowResult, row: int, index: int, ahead: tuple[int, ...] = ()
) -> tuple[int, float]:
    """Return the token at generated position `index` that row `row` of a causal pass predicts, and its log-prob.

    The thinking budget may force it; a forced token has log-probability 0, any other the model's own, whatever rules
    changed. `ahead` are tokens already accepted after the committed ones.

    Raises:
        RequestError: the request's rules leave no token.
    """
    forced = seq.forced_at(index, ahead)
    note_top(seq, result, row, [index])
    if forced is not None:
        return forced, 0.0
    params = seq.params
    if seq.guide is not None:
        if seq.dictated:
            return seq.dictated[0], 0.0
        token = guided_token(seq, result, row, index, CAUSAL_STREAM, ahead)
        return token, result.log_prob_of(row, token) if params.returns.return_log_probs else 0.0
    if seq.rules:
        must_have_a_token(seq, result, row)
    if params.sampling.plain and not (params.reference or params.returns.return_log_probs):
        return result.best(row), 0.0  # the common case, kept short: it runs once a token
    position = np.array([len(seq.prompt) + index])
    token = int(choose(seq, result, slice(row, row + 1), position, CAUSAL_STREAM, ahead)[0])
    return token, result.log_prob_of(row, token) if params.returns.return_log_probs else 0.0


def guided_token(
    seq: SequenceState, result: RowResult, row: int, index: int, stream: int, ahead: tuple[int, ...] = ()
) -> int:
    """Return the token at generated position `index` that the guide allows, which stands right before it.

    The most likely token needs no mask where it fits and is chosen whatever else does; others are chosen from what is
    allowed alone. Where the text could not end in time after it, the token that ends the text soonest is returned.

    Raises:
        RequestError: no token is left.
    """
    guide = seq.guide
    assert guide is not None
    must_have_a_token(seq, result, row)
    position, params = len(seq.prompt) + index, seq.params
    token: int | None
    if params.sampling.plain and not params.reference:
        token = result.best(row)
    else:
        token = sure(_scores(seq, result, slice(row, row + 1), ahead)[0], params.sampling, position, stream)
    if token is None or not guide.fits(token):
        one = only_allowed(guide, result, row)
        token = int(choose(seq, one, slice(0, 1), np.array([position]), stream, ahead)[0])
    settled = guide.settle(token, seq.params.max_tokens - index)
    return token if settled == token or result.logits[row, settled] == FORBIDDEN else settled


def decided_in(seq: SequenceState) -> tuple[int, ...]:
    """Return the block's tokens that are decided and not committed, which penalties count; a draft's seed is."""
    if not seq.params.sampling.penalised:
        return ()
    block, committed = seq.current, seq.length - seq.current.start
    return tuple(int(token) for token in block.tokens[committed:][~block.open[committed:]])
