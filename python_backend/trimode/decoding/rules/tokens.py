"""The rules of single tokens: a bias, a list of tokens that may be chosen, one that may not, and no end too early."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...engines.base import Floats
from .base import FORBIDDEN, Places


class Bias:
    """Adds a number to the logits of some tokens (OpenAI API: logit_bias)."""

    field = "logit_bias"
    joint = False

    def __init__(self, bias: Mapping[int, float]) -> None:
        self._ids = np.fromiter(bias, dtype=np.int64)
        self._values = np.fromiter(bias.values(), dtype=np.float32)

    def shape(self, scores: Floats, places: Places) -> None:
        """Add it."""
        del places
        scores[:, self._ids] += self._values


class Allowed:
    """Forbids every token that is not listed."""

    field = "allowed_token_ids"
    joint = False

    def __init__(self, ids: Sequence[int]) -> None:
        self._ids = np.unique(np.array(ids, dtype=np.int64))

    def shape(self, scores: Floats, places: Places) -> None:
        """Keep the scores of those listed alone."""
        del places
        kept = scores[:, self._ids]
        scores[:] = FORBIDDEN
        scores[:, self._ids] = kept


class Bad:
    """Forbids the tokens that are listed."""

    field = "bad_token_ids"
    joint = False

    def __init__(self, ids: Sequence[int]) -> None:
        self._ids = np.unique(np.array(ids, dtype=np.int64))

    def shape(self, scores: Floats, places: Places) -> None:
        """Forbid them."""
        del places
        scores[:, self._ids] = FORBIDDEN


class NoEarlyEnd:
    """Forbids the tokens that end an answer until it has a least number of tokens."""

    field = "min_tokens"
    joint = False

    def __init__(self, least: int, ends: Sequence[int]) -> None:
        self._least = least
        self._ends = np.array(ends, dtype=np.int64)

    def shape(self, scores: Floats, places: Places) -> None:
        """Forbid them at the places before that."""
        early = np.flatnonzero(places.indices < self._least)
        scores[early[:, None], self._ends] = FORBIDDEN
