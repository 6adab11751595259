"""Autoregressive decoding, token by token (reference: `ar_generate`).

`plan` gives the next pass, `apply` what its result commits; neither touches a device or a clock.
"""

from __future__ import annotations

import numpy as np

from ...engines.base import Row, RowResult
from ..choice import next_token
from ..committed import Committed
from ..sequence import Phase, SequenceState

FIRST_ROW = np.zeros(1, dtype=np.int64)


def start(seq: SequenceState, result: RowResult) -> list[int]:
    """Commit the token that the prompt's last row predicts."""
    return _advance(seq, result)


def plan(seq: SequenceState) -> Row:
    """Return a causal pass over the last committed token, and over those before it that a guide dictated."""
    tokens = np.array(seq.tokens[seq.cached - len(seq.prompt) :], dtype=np.int64)
    last = FIRST_ROW if len(tokens) == 1 else np.array([len(tokens) - 1])
    return Row(seq.slot, tokens, seq.cached, "causal", last, keep=True)


def apply(seq: SequenceState, row: Row, result: RowResult) -> Committed:
    """Commit the next token."""
    seq.counters.decode_forwards += 1
    seq.mark_cached(len(row.tokens))
    return Committed(_advance(seq, result))


def resume(seq: SequenceState) -> None:
    """Go on from another mode's last committed token, which is not in the cache."""
    seq.block = None
    seq.phase = Phase.DECODE


def _advance(seq: SequenceState, result: RowResult) -> list[int]:
    seq.phase = Phase.DECODE
    token, log_prob = next_token(seq, result, 0, len(seq.tokens))
    committed = seq.commit([token], [log_prob])
    return committed if seq.guide is None else committed + seq.commit_dictated()
