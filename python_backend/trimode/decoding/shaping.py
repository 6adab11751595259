"""Where the rules of a request meet the logits of a pass: once, before any mode chooses from them.

The logits as the model gave them stay beside the changed ones, for log-probabilities and for scores.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ..engines.base import Floats, Ints, Row, RowResult
from ..errors import Described, RequestError
from .rules.base import FORBIDDEN, Places
from .sequence import Phase, SequenceState

Choose = Callable[[RowResult, int], int]
"""From the result of a single row, and its place among those that a pass asked for, to the token that is chosen."""


def shaped(seq: SequenceState, row: Row, result: RowResult) -> RowResult:
    """Return the result with the rules of `seq` applied, for the passes from which something is chosen."""
    scores_only = seq.phase is Phase.SCORE or (seq.revise is not None and seq.phase is Phase.REVIEW)
    if not len(row.want) or scores_only:
        return result
    return shaped_at(seq, result, places_of(seq, row, row.want))


def shaped_at(seq: SequenceState, result: RowResult, places: Places) -> RowResult:
    """Return the result with the rules of `seq` applied, a row for each of `places`."""
    scores = result.logits.copy()
    for rule in seq.rules:
        rule.shape(scores, places)
    return result.reshaped(scores)


def places_of(seq: SequenceState, row: Row, want: Ints) -> Places:
    """Return the places that the rows `want` of a pass choose for: the next token's, or in a block their own."""
    first, causal = len(seq.prompt), row.sees == "causal"
    positions = row.start + want + (1 if causal else 0)
    end = first + (seq.infill.size if seq.infill is not None else seq.params.max_tokens)
    committed: npt.NDArray[np.int64] | list[int] = seq.tokens
    if seq.revise is not None:
        end, committed = len(seq.revise.ids), seq.revise.ids[first:]

    def token_at(index: int) -> int | None:
        position = first + index
        if index < 0 or position >= end:
            return None
        if position < row.start:
            return int(committed[index])
        offset = position - row.start
        if causal:
            return int(row.tokens[offset]) if offset < len(row.tokens) else None
        block = seq.current  # its tokens, rather than the row's: some may have been decided since
        if offset >= len(block.tokens) or block.open[offset] or block.tokens[offset] == seq.mask_token_id:
            return None
        return int(block.tokens[offset])

    return Places(positions - first, token_at, causal)


def settled(seq: SequenceState, row: Row, result: RowResult, ids: Ints, surest_first: Ints, choose: Choose) -> Ints:
    """Return the tokens of a denoising pass once those that it keeps agree with each other; the block takes them.

    One after the other is decided, the surest first. One that a rule forbids next to those before it gives way to the
    next likeliest token.

    Args:
        ids: (R,) the token of each row asked for; surest_first: places in it that are kept.
        choose: chooses again for one row.

    Raises:
        RequestError: the rules leave no token for one of them.
    """
    ids, block = ids.copy(), seq.current
    rules = [rule for rule in seq.rules if rule.joint]
    for at in surest_first.tolist():
        line = slice(at, at + 1)
        must_have_a_token(seq, result, at)
        scores = result.logits[line].copy()
        places = places_of(seq, row, row.want[line])
        for rule in rules:
            rule.shape(scores, places)
        if scores[0, ids[at]] == FORBIDDEN:
            one = result.line(at).reshaped(scores)
            must_have_a_token(seq, one, 0)
            ids[at] = choose(one, at)
        offset = int(row.want[at])
        block.tokens[offset] = ids[at]
        block.open[offset] = False
    return ids


def must_have_a_token(seq: SequenceState, result: RowResult, at: int) -> None:
    """Raise unless the rules leave a token for row `at`.

    Raises:
        RequestError: they forbid every token.
    """
    if result.stuck(at):
        fields = ", ".join(dict.fromkeys(rule.field for rule in seq.rules))
        limit = "must leave a token to choose at each place"
        given = Described(f"none after {len(seq.tokens)} tokens")
        raise RequestError(fields, limit, given, error_type="not_applicable")


def surest_first(kept: npt.NDArray[np.bool_], probs: Floats) -> Ints:
    """Return the places of `kept` (R,), those of the highest probability first, from the left among equals."""
    where = np.flatnonzero(kept)
    return where[np.argsort(-probs[where], kind="stable")]
