"""The prompt's causal passes, the same for every mode: chunk by chunk, logits only from the very last row.

A request for the prompt's log-probabilities needs the logits of every row, and is read in smaller chunks.
"""

from __future__ import annotations

import numpy as np

from ..engines.base import Row, RowResult
from .sampling import likeliest
from .sequence import SequenceState

SCORED_ROWS = 64
"""Most rows of a pass that gives the logits of all of them, so that they take tens of MiB for a large vocabulary."""
NO_ROWS = np.zeros(0, dtype=np.int64)


def plan(seq: SequenceState, chunk: int) -> Row:
    """Return the next at most `chunk` tokens of the prompt as a causal pass."""
    scored = seq.prompt_log_probs is not None
    chunk = min(chunk, SCORED_ROWS) if scored else chunk
    tokens = np.asarray(seq.prompt[seq.cached : seq.cached + chunk], dtype=np.int64)  # (S,)
    final = seq.cached + len(tokens) == len(seq.prompt)
    last = np.array([len(tokens) - 1], dtype=np.int64)
    want = np.arange(len(tokens)) if scored else last if final else NO_ROWS
    return Row(seq.slot, tokens, seq.cached, "causal", want, keep=True)


def apply(seq: SequenceState, row: Row, result: RowResult) -> bool:
    """Record the pass; return whether the whole prompt is in the cache."""
    _take_log_probs(seq, row, result)
    seq.counters.prefill_forwards += 1
    seq.mark_cached(row.stored)
    return seq.cached == len(seq.prompt)


def last_of(row: Row, result: RowResult) -> tuple[Row, RowResult]:
    """Return the final pass of a prompt as if nothing before its last token had been asked for."""
    at = int(np.searchsorted(row.want, row.stored - 1))
    return (row, result) if at == 0 else (row._replace(want=row.want[at:]), result.part(slice(at, None)))


def _take_log_probs(seq: SequenceState, row: Row, result: RowResult) -> None:
    found = seq.prompt_log_probs
    if found is None:
        return
    ids = np.asarray(seq.prompt[row.start + 1 : row.start + 1 + len(row.tokens)], dtype=np.int64)
    if not len(ids):
        return
    if count := seq.params.returns.top_log_probs:
        found.top.extend(likeliest(result.raw[: len(ids)], count, seq.mask_token_id))
    found.log_probs.extend(result.log_probs_of(ids, slice(len(ids))).tolist())
