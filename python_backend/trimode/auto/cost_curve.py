"""CostCurve: what an engine call costs by rows, tokens per row and cache capacity; measured, and kept fresh by use.

Measured at first as a bare call. A caller then tells it what a call took, with what else it counts for that call, and
asks what another one would take. Knows nothing of modes or requests.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable
from functools import lru_cache
from math import exp, log

import numpy as np
import numpy.typing as npt

from ..engines.base import Engine, Row

ROWS = (1, 2, 4, 8, 16, 32)
TOKENS = (1, 4, 8, 16, 32, 64)
"""The calls measured: so many rows, each of so many tokens; between them the logarithm is interpolated."""
MEASURED_BEHIND = 96
"""Entries of the cache that a measured row sees."""
GROWTH_BEHIND = 768
"""Where the growth with the cache's capacity is measured."""
REPEATS = 3
BUDGET_SECONDS = 0.5
"""The measurement ends here, the three calls that all others can be judged by being made in any case; calls not reached
are estimated from those that were, and corrected by use."""
RATE = 0.1
"""Share of a surprise that the curve takes over, the surprise itself held within BOUND (as a logarithm)."""
BOUND = 0.4
SHARED = 0.5
"""Share of that which moves the whole curve: a slower machine is slower at calls that are not made just now, too."""
FRESH = 8
"""Calls taken in after which what was asked before is worked out anew."""
EVERY = 3
"""Of so many steps one is taken in; drafts and verifications alternate, so it must not be even."""

Floats = npt.NDArray[np.float64]
Clock = Callable[[], float]


class CostCurve:
    """Seconds of a call of (rows, tokens per row, capacity). Not thread-safe: the scheduler's thread owns it."""

    def __init__(self, seconds: Floats, capacity: int, growth: tuple[float, float] = (0.0, 0.0)) -> None:
        """Start from a table.

        Args:
            seconds: (len(ROWS), len(TOKENS)) at `capacity`.
            growth: seconds that one row of one token, and one of 32 tokens, takes more for each entry of capacity.
        """
        self._log: list[list[float]] = np.log(seconds).tolist()
        self._drift = 0.0
        self._capacity = capacity
        self._growth = growth
        self._known: dict[tuple[int, int, int], float] = {}
        self._seen = self._steps = 0

    @classmethod
    def measure(cls, engine: Engine, max_slots: int, clock: Clock = time.perf_counter) -> CostCurve:
        """Measure `engine` with up to `max_slots` rows, cheap calls first, within about BUDGET_SECONDS."""
        bench = _Bench(engine, max_slots, clock)
        try:
            return bench.curve()
        finally:
            bench.close()

    def seconds(self, rows: int, tokens: int, capacity: int) -> float:
        """Return what a call of `rows` rows of `tokens` tokens each, at least one, takes at `capacity`."""
        key = (rows, tokens, capacity)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._work_out(*key)
        return known

    def due(self) -> bool:
        """Return whether the next step should be timed for `observe`."""
        self._steps += 1
        return self._steps % EVERY == 0

    def observe(self, rows: int, tokens: int, capacity: int, seconds: float) -> None:
        """Take in what a call took: the entries that its estimate came from move towards it, the others half as far."""
        surprise = log(max(seconds, 1e-9) / self.seconds(rows, tokens, capacity))
        step = RATE * max(-BOUND, min(BOUND, surprise))
        self._drift += SHARED * step
        for row, column, weight in _corners(rows, tokens):
            self._log[row][column] += (1.0 - SHARED) * step * weight
        self._seen += 1
        if self._seen % FRESH == 0:
            self._known.clear()

    def table(self, rows: tuple[int, ...], tokens: tuple[int, ...]) -> dict[tuple[int, int], float]:
        """Return seconds by (rows, tokens) at the capacity measured; changes nothing, so any thread may ask."""
        return {(b, s): self._work_out(b, s, self._capacity) for b in rows for s in tokens}

    def _work_out(self, rows: int, tokens: int, capacity: int) -> float:
        found = sum(weight * self._log[row][column] for row, column, weight in _corners(rows, tokens))
        flat = exp(found + self._drift)
        single, block = self._growth
        per_entry = single + (block - single) * (tokens - 1) / 31
        return max(flat + rows * per_entry * (capacity - self._capacity), 0.1 * flat)


@lru_cache(maxsize=1024)
def _corners(rows: int, tokens: int) -> tuple[tuple[int, int, float], ...]:
    """Return the table's entries around a call and their weights, bilinear in the logarithms, 1 in sum."""
    low, up = _between(ROWS, rows), _between(TOKENS, tokens)
    return tuple((r, c, wr * wc) for r, wr in low for c, wc in up if wr * wc)


def _between(points: tuple[int, ...], value: int) -> tuple[tuple[int, float], tuple[int, float]]:
    at = min(max(bisect_right(points, value) - 1, 0), len(points) - 2)
    share = log(value / points[at]) / log(points[at + 1] / points[at])  # beyond the last point above 1: extrapolated
    return (at, 1.0 - share), (at + 1, share)


class _Bench:
    """The engine while it is measured: slots filled with zeros up to where rows begin."""

    def __init__(self, engine: Engine, max_slots: int, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        room = engine.manifest.capacity - max(TOKENS)
        self._near, self._far = min(MEASURED_BEHIND, room), min(GROWTH_BEHIND, room)
        self._slots = [engine.allocate(block=True) for _ in range(min(max_slots, max(ROWS)))]
        self._began = clock()

    def close(self) -> None:
        for slot in self._slots:
            self._engine.free(slot)

    def curve(self) -> CostCurve:
        self._fill()
        capacity, most = self._engine.capacity, max(b for b in ROWS if b <= len(self._slots))
        first = [(1, 1), (1, 32), (most, 1)]
        others = [(b, s) for b in ROWS for s in TOKENS if b <= most and (b, s) not in first]
        found: dict[tuple[int, int], float] = {}
        for call in [*first, *sorted(others, key=lambda call: call[0] * call[1])]:
            if self._late() and call not in first:
                break
            found[call] = self._time(*call, self._near)
        growth = (0.0, 0.0)
        if self._far > 2 * self._near and not self._late():
            self._read(self._slots[0], self._far)
            more = max(self._engine.capacity - capacity, 1)
            single, block = (max(0.0, self._time(1, s, self._far) - found[1, s]) / more for s in (1, 32))
            growth = (single, block)
        return CostCurve(_filled(found), capacity, growth)

    def _late(self) -> bool:
        return self._clock() - self._began > BUDGET_SECONDS

    def _fill(self) -> None:
        """Have every slot hold what its rows see: read once, copied to the others."""
        self._read(self._slots[0], self._near)
        entries = self._engine.copy_out(self._slots[0], 0, self._near)
        for slot in self._slots[1:]:
            self._engine.copy_in(slot, 0, entries)

    def _read(self, slot: int, length: int) -> None:
        none = np.zeros(0, dtype=np.int64)
        self._engine.run([Row(slot, np.zeros(length, dtype=np.int64), 0, "causal", none, keep=True)])

    def _time(self, rows: int, tokens: int, behind: int) -> float:
        ids = np.zeros(tokens, dtype=np.int64)
        asked = np.arange(tokens)
        call = [Row(slot, ids, behind, "block", asked, keep=False) for slot in self._slots[:rows]]
        taken = []
        for number in range(2 + REPEATS):  # the first one makes buffers, the second may record a CUDA graph
            if number > 2 and self._late():
                break
            began = self._clock()
            self._engine.run(call)
            taken.append(self._clock() - began)
        return max(float(np.median(taken[2:])), 1e-7)


def _filled(found: dict[tuple[int, int], float]) -> Floats:
    """Return the whole table: calls not measured are taken from the nearest that was, by what rows and tokens add.

    A call takes so much, so much for each row, and so much for each token of each row: three figures from the three
    calls that are always measured.
    """
    most = max(b for b, _ in found)
    per_token = max(0.0, found[1, 32] - found[1, 1]) / 31
    per_row = max(0.0, (found[most, 1] - found[1, 1]) / max(most - 1, 1) - per_token)
    fixed = max(found[1, 1] - per_row - per_token, 0.1 * found[1, 1])

    def simple(call: tuple[int, int]) -> float:
        return fixed + per_row * call[0] + per_token * call[0] * call[1]

    table = np.zeros((len(ROWS), len(TOKENS)))
    for at, b in enumerate(ROWS):
        for column, s in enumerate(TOKENS):
            near = min(found, key=lambda call: abs(log(call[0] / b)) + abs(log(call[1] / s)))
            table[at, column] = found[near] * simple((b, s)) / simple(near)
    return table
