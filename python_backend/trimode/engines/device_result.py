"""The result of a row whose logits stay on a device until somebody reads them.

Knows nothing of how they are fetched, nor of how a call runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .base import Floats, Ints, Lines, RowResult
from .log_probs import Doubles

NOTHING = np.empty((0, 0), dtype=np.float32)


class Softmax(NamedTuple):
    """What a device gives of the softmax of a row's logits, so that a token's probability needs no row of logits.

    Attributes:
        log_norm: (R,) logarithm of the sum of exponentials of each row's logits.
        pick: returns one logit of each row  # (N,) of rows (N,) and ids (N,); copies no more than these.
    """

    log_norm: Floats
    pick: Callable[[Ints, Ints], Floats]

    def part(self, rows: slice) -> Softmax:
        """Return the same of some rows alone."""
        places = np.arange(len(self.log_norm))[rows]
        return Softmax(self.log_norm[rows], lambda lines, ids: self.pick(places[lines], ids))


class DeviceResult(RowResult):
    """What one row asked for. Its logits stay on the GPU unless they are read; read them before the next call."""

    def __init__(
        self,
        top_id: Ints,
        top_prob: Floats,
        fetch: Callable[[], Floats],
        mask_token_id: int,
        *,
        finite: bool | None = None,
        softmax: Softmax | None = None,
    ) -> None:
        """Take what arrived of a row.

        Args:
            finite: whether the pass gave numbers, None where nobody looked yet.
            softmax: None where the device gives no more than `top_prob`; then other tokens' probabilities take logits.
        """
        super().__init__(NOTHING, mask_token_id)
        self._finite = finite
        self._top_id, self._top_prob, self._softmax = top_id, top_prob, softmax
        self._fetch: Callable[[], Floats] | None = fetch

    @property
    def logits(self) -> Floats:
        """(R, V), as the model gives them, copied from the GPU when first asked for.

        Raises:
            EngineError: another call has run since.
        """
        if self._fetch is not None:
            self._logits, self._fetch = self._fetch(), None
        return self._logits

    @property
    def finite(self) -> bool:
        """Whether the pass gave numbers: `top_prob` is NaN where any logit of its row is NaN, or any is +inf."""
        if self._finite is None:
            self._finite = not np.isnan(self._top_prob).any()
        return self._finite and not self._spoiled

    @property
    def top_id(self) -> Ints:
        """(R,) most likely token of each row, the mask id left out; chosen on the GPU."""
        assert self._top_id is not None
        return self._top_id

    def best(self, row: int) -> int:
        """The entry of `top_id` for one row."""
        return int(self.top_id[row])

    @property
    def top_prob(self) -> Floats:
        """(R,) probability of `top_id` under the whole softmax, the mask id included."""
        return self._top_prob

    def prob_of(self, ids: Ints) -> Floats:
        """(R,) probability of one given token per row; those of `top_id` are here."""
        return self._top_prob if np.array_equal(ids, self.top_id) else super().prob_of(ids)

    def log_prob_of(self, row: int, token: int) -> float:
        """See RowResult; the token that the GPU chose needs no logits, another one its own at most."""
        if self._fetch is None:
            return super().log_prob_of(row, token)
        if token == self.top_id[row] and (probability := float(self._top_prob[row])):
            return math.log(probability)
        return float(self.log_probs_of(np.array([token]), slice(row, row + 1))[0])

    def log_probs_of(self, ids: Ints, rows: Lines = slice(None)) -> Doubles:
        """See RowResult; tokens that the GPU chose need no logits, others their own at most."""
        if self._fetch is None:
            return super().log_probs_of(ids, rows)
        lines = np.arange(len(self.top_id))[rows]
        probs = self._top_prob[lines].astype(np.float64)
        if np.array_equal(ids, self.top_id[lines]) and probs.all():  # one that rounds to 0 says nothing
            logs: Doubles = np.log(probs)
            return logs
        if self._softmax is None:
            return super().log_probs_of(ids, rows)
        found: Doubles = self._softmax.pick(lines, ids).astype(np.float64) - self._softmax.log_norm[lines]
        return found

    def part(self, rows: slice) -> DeviceResult:
        """Return the result of some rows alone, whose logits stay where they are too."""
        softmax = None if self._softmax is None else self._softmax.part(rows)
        chosen = self.top_id[rows], self._top_prob[rows]
        return DeviceResult(*chosen, lambda: self.logits[rows], self._mask_token_id, softmax=softmax)

    def outlive(self) -> None:
        """Copy the logits to memory that the next call does not write."""
        self._logits = self.logits.copy()

    def fetch_with(self, fetch: Callable[[], Floats]) -> None:
        """Fetch the logits with `fetch` from now on: they have moved."""
        self._fetch = fetch
