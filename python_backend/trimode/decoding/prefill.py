"""The prompt's causal passes, the same for every mode: chunk by chunk, logits only from the very last row."""

from __future__ import annotations

import numpy as np

from ..engines.base import Row
from .sequence import SequenceState

NO_ROWS = np.zeros(0, dtype=np.int64)


def plan(seq: SequenceState, chunk: int) -> Row:
    """Return the next at most `chunk` tokens of the prompt as a causal pass."""
    tokens = np.asarray(seq.prompt[seq.cached : seq.cached + chunk], dtype=np.int64)  # (S,)
    final = seq.cached + len(tokens) == len(seq.prompt)
    want = np.array([len(tokens) - 1], dtype=np.int64) if final else NO_ROWS
    return Row(seq.slot, tokens, seq.cached, "causal", want, keep=True)


def apply(seq: SequenceState, row: Row) -> bool:
    """Record the pass; return whether the whole prompt is in the cache."""
    seq.counters.prefill_forwards += 1
    seq.mark_cached(len(row.tokens))
    return seq.cached == len(seq.prompt)
