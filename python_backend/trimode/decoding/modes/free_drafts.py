"""A pass that verifies a free draft, in place of what a mode would do next. It is causal and leaves its tokens.

What it commits is what the pass itself chooses, so the text is the autoregressive one, sampled text too. After it a
mode goes on as after a switch to it.
"""

from __future__ import annotations

import numpy as np

from ...api.fields import Mode
from ...engines.base import Row, RowResult
from ..committed import Committed
from ..sequence import SequenceState
from . import self_speculation


def plan(seq: SequenceState) -> Row | None:
    """Return a causal pass over the tokens that are not cached and a free draft; None where there is no draft now."""
    if seq.free_drafts is None or not seq.begins_cycle:
        return None
    draft = _fitting(seq, seq.free_drafts.draft(seq.tokens, seq.remaining - 1).tolist())
    if not draft:
        return None
    seq.free_drafts.plan(len(draft))
    known = seq.tokens[seq.cached - len(seq.prompt) :]
    tokens = np.array([*known, *draft], dtype=np.int64)  # (S,)
    return Row(seq.slot, tokens, seq.cached, "causal", np.arange(len(known) - 1, len(tokens)), keep=True)


def planned(seq: SequenceState) -> bool:
    """Whether the pass that ran verifies a free draft."""
    return seq.free_drafts is not None and seq.free_drafts.planned is not None


def apply(seq: SequenceState, row: Row, result: RowResult) -> Committed:
    """Commit the verified run, and in mode autoregressive what a guide dictates after it."""
    assert seq.free_drafts is not None and seq.free_drafts.planned is not None
    before = seq.length - seq.cached - 1
    draft = row.tokens[before:]
    run, log_probs = self_speculation.verified_run(seq, draft, result)
    committed = seq.commit(run, log_probs)
    confirmed = min(len(committed), len(run) - 1)
    source, seq.free_drafts.planned = seq.free_drafts.planned, None
    seq.counters.verified(len(draft) - 1, confirmed, source)
    seq.mark_cached(before + len(committed))
    if seq.mode is Mode.AUTOREGRESSIVE:
        committed += seq.commit_dictated()
    return Committed(committed, len(draft) - 1, confirmed, free=source)


def _fitting(seq: SequenceState, draft: list[int]) -> list[int]:
    """Return as much of a draft as a guide lets through: nothing after that could be confirmed."""
    guide = seq.guide
    if guide is None or not draft:
        return draft
    begin, count = guide.taken, 0
    try:
        for token in draft:
            if guide.complete or not guide.fits(token) or token not in (seq.dictated or (token,))[:1]:
                break
            guide.take(token)
            count += 1
    finally:
        guide.back(guide.taken - begin)
    return draft[:count]
