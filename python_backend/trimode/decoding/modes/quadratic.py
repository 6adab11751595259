"""Quadratic self-speculation: one pass verifies a draft and makes the next one, for every length that may be accepted.

Reference: `self_spec_generate` of the released models. A pass has L (L + 1) tokens for a draft of L, see
`quadratic_pass`; a cycle is that one pass, where linear self-speculation takes two. The pass that reads the end of the
prompt makes the first draft. The text equals the autoregressive one, sampled text too: heads and drafts share the
draws of causal passes.
A shape other than the released one has fewer masks. A run that ends where there are none is followed by a draft of one
token, the one that is known.
Served differently unless `reference` is set: a token that a head predicts is given at once rather than by the next
pass, nothing beyond the request's limit is computed, and the thinking budget's end marker is put where autoregressive
decoding puts it. Not served: `ar_mix_weight`, which changes the text. Query scales follow a row's position, where the
released loop takes its index in the pass.
"""

from __future__ import annotations

import numpy as np

from ...engines.base import Ints, Row, RowResult
from .. import prefill
from ..choice import CAUSAL_STREAM, choose, guided_token, next_token
from ..committed import Committed
from ..guide import Guide, NoTokenError
from ..quadratic_pass import QuadraticPass
from ..rules.base import Places
from ..sequence import SequenceState
from ..shaping import shaped_at
from . import self_speculation


def plan_prompt(seq: SequenceState, chunk: int) -> Row:
    """Return the prompt's next causal pass; masks that see all of it follow its last token and make the first draft.

    Chunk and masks together have at most `chunk` tokens, unless that is less than a block.
    """
    width = seq.block_length if seq.params.reference else min(seq.block_length, seq.remaining)
    row = prefill.plan(seq, max(1, chunk - width))
    size = len(row.tokens)
    if seq.cached + size < len(seq.prompt):
        return row
    sees = np.tri(size + width, dtype=bool)  # (S, S)
    sees[size:] = True
    is_mask = np.arange(size + width) >= size
    return row._replace(
        tokens=np.append(row.tokens, np.full(width, seq.mask_token_id)),
        sees=sees,
        want=np.append(row.want, np.arange(size + 1, size + width)),  # the first mask stands where `row.want` predicts
        adapter=is_mask if seq.adapter else False,
        leading=size,
    )


def resume(seq: SequenceState) -> None:
    """Go on after the last committed token, which is not in the cache, with a draft of that token alone."""
    if not seq.done:
        seq.open_draft([seq.tokens[-1]])


def start(seq: SequenceState, result: RowResult) -> list[int]:
    """Take the token that the prompt's last row predicts, and the draft that follows it."""
    drafted = slice(1, len(result.top_id))
    if seq.params.reference:
        _open(seq, int(result.logits[0].argmax()), drafted, result)
        return []
    token, log_prob = next_token(seq, _heads(seq, np.zeros(1, np.int64), result), 0, 0)
    committed = seq.commit([token], [log_prob])
    if not seq.done:
        _open(seq, token, drafted, result)
    return committed


def plan(seq: SequenceState) -> Row:
    """Return a pass that verifies the draft and makes the next one."""
    layout = _layout(seq)
    tokens = np.full(len(layout.offsets), seq.mask_token_id, dtype=np.int64)  # (R,)
    tokens[: layout.heads] = seq.current.tokens[: layout.heads]
    return Row(
        seq.slot,
        tokens,
        seq.cached,
        layout.sees,
        layout.want,
        keep=True,
        adapter=layout.is_mask if seq.adapter else False,
        positions=seq.cached + layout.offsets,
        leading=layout.heads,
    )


def apply(seq: SequenceState, row: Row, result: RowResult) -> Committed:
    """Commit the verified run and open the draft that follows it."""
    layout = _layout(seq)
    draft = row.tokens[: layout.heads]
    run, log_probs = self_speculation.verified_run(seq, draft, _heads(seq, draft, result))
    committed = seq.commit(draft[: len(run)].tolist() if seq.params.reference else run, log_probs)
    confirmed = min(len(committed), len(run) - 1)
    seq.counters.verified(len(draft) - 1, confirmed)
    seq.mark_cached(len(committed))
    if not seq.done:
        _open(seq, run[-1], layout.drafted(len(run) - 1), result)
    return Committed(committed, len(draft) - 1, confirmed, denoised=not seq.done)


def _layout(seq: SequenceState) -> QuadraticPass:
    assert seq.shape is not None
    return QuadraticPass.of(seq.shape, len(seq.current.tokens), None if seq.params.reference else seq.remaining)


def _heads(seq: SequenceState, draft: Ints, result: RowResult) -> RowResult:
    """Return the result whose row j predicts what follows token j of the draft, by the rules of the request."""
    if not seq.rules:
        return result
    first = len(seq.tokens)

    def token_at(index: int) -> int | None:
        if 0 <= index < first:
            return seq.tokens[index]
        return int(draft[index - first + 1]) if first <= index < first + len(draft) - 1 else None

    places = Places(first + np.arange(len(draft)), token_at, causal=True)
    return shaped_at(seq, result.part(slice(len(draft))), places)


def _open(seq: SequenceState, first: int, rows: slice, result: RowResult) -> None:
    """Open the draft that begins with `first`, which a causal row predicts, and goes on with what masks predict."""
    count = rows.stop - rows.start
    if seq.rules and count:
        first_index = len(seq.tokens)
        known = dict(enumerate(seq.tokens))
        result = shaped_at(seq, result.part(rows), Places(first_index + np.arange(count), known.get))
        rows = slice(count)
    positions = seq.cached + 1 + np.arange(count)
    draft = [first, *choose(seq, result, rows, positions, CAUSAL_STREAM).tolist()]
    if seq.params.reference:
        chosen, draft = draft, _with_end_of_thinking(seq, draft)
        if draft is not chosen:  # no row stands for the place of a token any more
            seq.open_draft(draft)
            return
    else:
        for offset in range(1, len(draft)):
            forced = seq.forced_at(len(seq.tokens) - 1 + offset)
            draft[offset] = draft[offset] if forced is None else forced
        if seq.guide is not None:
            _follow(seq, seq.guide, draft, result, rows.start or 0)
    wanted = seq.params.returns.wants_probs
    seq.open_draft(draft, result.log_probs_of(np.array(draft[1:], dtype=np.int64), rows) if wanted else None)


def _follow(seq: SequenceState, guide: Guide, draft: list[int], result: RowResult, line: int) -> None:
    """Put what the guide allows into a draft, whose tokens from the second on the rows from `line` on predict.

    It is only proposed: from where no token is left, or nothing may follow, it stays as it is.
    """
    begin = guide.taken
    try:
        for offset in range(1, len(draft)):
            row, index = line + offset - 1, len(seq.tokens) - 1 + offset
            if guide.complete or result.stuck(row):
                break
            if seq.forced_at(index) is None:
                dictated, ahead = seq.dictated, tuple(draft[1:offset])
                chosen = dictated[0] if dictated else guided_token(seq, result, row, index, CAUSAL_STREAM, ahead)
                draft[offset] = chosen
            guide.take(draft[offset])
    except NoTokenError:  # where verification comes to this place, it says so
        return
    finally:
        guide.back(guide.taken - begin)


def _with_end_of_thinking(seq: SequenceState, draft: list[int]) -> list[int]:
    """Put the end of thinking before the draft once the budget is spent, as the released loop does."""
    budget, end_think = seq.params.max_thinking_tokens, seq.params.end_think_token_id
    if budget is None or end_think is None or len(seq.tokens) <= budget or end_think in seq.tokens:
        return draft
    return [end_think, *draft[:-1]]
