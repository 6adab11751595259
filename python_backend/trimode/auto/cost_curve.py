"""CostCurve: what an engine call costs by rows, tokens per row and cache capacity, kept up to date by use.

cost_benchmark.py measures bare calls at the start. A caller then reports what a call took, with whatever else it counts
for that call, and asks what another one would take. Knows nothing of modes or requests.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache
from math import exp, log

import numpy as np
import numpy.typing as npt

from .tuning import TUNING

Floats = npt.NDArray[np.float64]
ROWS, TOKENS = (1, 2, 4, 8, 16, 32), (1, 4, 8, 16, 32, 64, 128, 256)
"""Rows, and tokens per row, of the calls in the table; between them the logarithm is interpolated."""
BLOCK = 32
"""Tokens of a row whose growth with the cache, and whose cost per token, stands for all blocks."""
LEAST_SHARE = 0.1
"""Least share of a measured cost that an estimate may have: a difference of two measurements may be anything."""
MOST_SURPRISE = 0.4
"""Largest surprise, as a logarithm: a call that something held up counts as one that took half as long again."""
REFRESH = 8
"""Observed calls after which estimates are worked out again."""


class CostCurve:
    """Seconds of a call of (rows, tokens per row, capacity). Not thread-safe: the scheduler's thread owns it."""

    def __init__(self, seconds: Floats, capacity: int, growth: tuple[float, float] = (0.0, 0.0)) -> None:
        """Start from a table.

        Args:
            seconds: (rows, tokens) of the grid's calls at `capacity`.
            growth: seconds that each further entry of capacity adds to a row of one token, and to one of 32 tokens.
        """
        self._log: list[list[float]] = np.log(seconds).tolist()
        self._drift = 0.0
        self._capacity = capacity
        self._growth = growth
        self._known: dict[tuple[int, int, int], float] = {}
        self._seen = self._steps = 0

    def seconds(self, rows: int, tokens: int, capacity: int) -> float:
        """Return what a call of `rows` rows of `tokens` tokens each, at least one, takes at `capacity`.

        Beyond the grid's longest row, each further token is taken to cost as much as those before.
        """
        key = (rows, tokens, capacity)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._estimate(*key)
        return known

    def due(self) -> bool:
        """Return whether the next step should be timed for `observe`."""
        self._steps += 1
        return self._steps % TUNING.observe_every == 0

    def observe(self, rows: int, tokens: int, capacity: int, seconds: float) -> None:
        """Learn what a call took: the entries of its estimate move towards that, the others half as far."""
        rate = TUNING.learning_rate
        surprise = log(max(seconds, 1e-9) / self.seconds(rows, tokens, capacity))
        step = rate * max(-MOST_SURPRISE, min(MOST_SURPRISE, surprise))
        self._drift += step / 2
        for row, column, weight in _corners(rows, min(tokens, TOKENS[-1])):
            self._log[row][column] += step / 2 * weight
        self._seen += 1
        if self._seen % REFRESH == 0:
            self._known.clear()

    def table(self, rows: tuple[int, ...], tokens: tuple[int, ...]) -> dict[tuple[int, int], float]:
        """Return seconds by (rows, tokens) at the capacity measured; changes nothing, so any thread may ask."""
        return {(b, s): self._estimate(b, s, self._capacity) for b in rows for s in tokens}

    def _estimate(self, rows: int, tokens: int, capacity: int) -> float:
        inside = min(tokens, TOKENS[-1])
        found = sum(weight * self._log[row][column] for row, column, weight in _corners(rows, inside))
        flat = exp(found + self._drift) * tokens / inside
        single, block = self._growth
        per_entry = single + (block - single) * (tokens - 1) / (BLOCK - 1)
        return max(flat + rows * per_entry * (capacity - self._capacity), LEAST_SHARE * flat)


class Overhead:
    """What surrounds calls, on average: a step does more than its calls."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}  # by the binary digits of a call's number of rows

    def seconds(self, rows: int, share: float | None) -> float | None:
        """Return what surrounds a call of about `rows` rows, None if it is not known.

        Args:
            share: what surrounded this one, which the average learns; None if that is not known.
        """
        size = rows.bit_length()
        if share is None:
            return self._seconds.get(size)
        average = self._seconds.get(size, share)
        self._seconds[size] = share + (1.0 - TUNING.learning_rate) * (average - share)
        return share


@lru_cache(maxsize=1024)
def _corners(rows: int, tokens: int) -> tuple[tuple[int, int, float], ...]:
    """Return the table's entries around a call and their weights, bilinear in the logarithms, 1 in sum."""
    low, up = _between(ROWS, rows), _between(TOKENS, tokens)
    return tuple((r, c, wr * wc) for r, wr in low for c, wc in up if wr * wc)


def _between(points: tuple[int, ...], value: int) -> tuple[tuple[int, float], tuple[int, float]]:
    at = min(max(bisect_right(points, value) - 1, 0), len(points) - 2)
    share = log(value / points[at]) / log(points[at + 1] / points[at])  # above 1 past the last point: extrapolated
    return (at, 1.0 - share), (at + 1, share)
