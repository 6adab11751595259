"""The result of a row whose logits stay on a device until somebody reads them.

Knows nothing of how they are fetched, nor of how a call runs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .base import Floats, Ints, RowResult

NOTHING = np.empty((0, 0), dtype=np.float32)


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
    ) -> None:
        """Take what arrived of a row; `finite` says whether the pass gave numbers, None where nobody looked yet."""
        super().__init__(NOTHING, mask_token_id)
        self._finite = finite
        self._top_id, self._top_prob = top_id, top_prob
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

    def outlive(self) -> None:
        """Copy the logits to memory that the next call does not write."""
        self._logits = self.logits.copy()

    def fetch_with(self, fetch: Callable[[], Floats]) -> None:
        """Fetch the logits with `fetch` from now on: they have moved."""
        self._fetch = fetch
