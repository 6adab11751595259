"""Measures what an engine's calls cost when a server starts. Knows nothing of modes or requests."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import log

import numpy as np

from ..api.fields import MAX_BLOCK_LENGTH
from ..engines.base import Engine, Row
from .cost_curve import BLOCK, LEAST_SHARE, ROWS, TOKENS, CostCurve, Floats

Clock = Callable[[], float]
BUDGET = 0.5
"""Seconds after which it ends. Three calls are made in any case, because all others can be estimated from them."""
NEAR, FAR = 96, 768
"""Entries of the cache that a measured row sees, and at which the growth with the cache's capacity is measured."""
REPEATS = 3
"""Timed calls of each kind; their median counts."""
MOST_TOKENS = 512
"""Tokens of the largest call of passes longer than blocks, as no call over blocks has more."""


def measure_costs(engine: Engine, max_slots: int, clock: Clock = time.perf_counter) -> CostCurve:
    """Measure `engine` with up to `max_slots` rows, cheap calls first, within about BUDGET seconds."""
    benchmark = _Benchmark(engine, max_slots, clock)
    try:
        return benchmark.curve()
    finally:
        benchmark.close()


class _Benchmark:
    """The engine while it is measured. Its slots hold zeros up to where rows begin."""

    def __init__(self, engine: Engine, max_slots: int, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        room = engine.manifest.capacity - MAX_BLOCK_LENGTH
        self._near, self._far = min(NEAR, room), min(FAR, room)
        self._widest = min(_widest(engine), engine.manifest.capacity - self._near)
        self._slots = [engine.allocate(block=True) for _ in range(min(max_slots, max(ROWS)))]
        self._began = clock()

    def close(self) -> None:
        for slot in self._slots:
            self._engine.free(slot)

    def curve(self) -> CostCurve:
        self._fill()
        capacity, most = self._engine.capacity, max(b for b in ROWS if b <= len(self._slots))
        block = BLOCK
        first = [(1, 1), (1, block), (most, 1)]
        sizes = [s for s in TOKENS if s <= self._widest]
        calls = [(b, s) for b in ROWS for s in sizes if b <= most and (b, s) not in first]
        others = [(b, s) for b, s in calls if s <= MAX_BLOCK_LENGTH or b * s <= MOST_TOKENS]
        found: dict[tuple[int, int], float] = {}
        for call in [*first, *sorted(others, key=lambda call: call[0] * call[1])]:
            if self._late() and call not in first:
                break
            found[call] = self._time(*call, self._near)
        growth = (0.0, 0.0)
        if self._far > 2 * self._near and not self._late():
            self._read(self._slots[0], self._far)
            more = max(self._engine.capacity - capacity, 1)
            growth_of = [max(0.0, self._time(1, s, self._far) - found[1, s]) / more for s in (1, block)]
            growth = (growth_of[0], growth_of[1])
        return CostCurve(_filled(found), capacity, growth)

    def _late(self) -> bool:
        return self._clock() - self._began > BUDGET

    def _fill(self) -> None:
        """Fill every slot with what its rows see: one slot reads it, the others get copies."""
        self._read(self._slots[0], self._near)
        entries = self._engine.copy_out(self._slots[0], 0, self._near)
        for slot in self._slots[1:]:
            self._engine.copy_in(slot, 0, entries)

    def _read(self, slot: int, length: int) -> None:
        none = np.zeros(0, dtype=np.int64)
        self._engine.run([Row(slot, np.zeros(length, dtype=np.int64), 0, "causal", none, keep=True)])

    def _time(self, rows: int, tokens: int, entries: int) -> float:
        ids = np.zeros(tokens, dtype=np.int64)
        asked = np.arange(tokens)
        call = [Row(slot, ids, entries, "block", asked, keep=False) for slot in self._slots[:rows]]
        taken = []
        for number in range(2 + REPEATS):  # the first one makes buffers, the second may record a CUDA graph
            if number > 2 and self._late():
                break
            began = self._clock()
            self._engine.run(call)
            taken.append(self._clock() - began)
        return max(float(np.median(taken[2:])), 1e-7)


def _widest(engine: Engine) -> int:
    """Return the tokens of the largest pass with logits of all of them: a block, or more if a plan holds that."""
    compiled = engine.manifest.compiled
    most = max(TOKENS) if compiled is None else compiled.quadratic_length**2
    return max(MAX_BLOCK_LENGTH, most)


def _filled(found: dict[tuple[int, int], float]) -> Floats:
    """Return the whole table; an unmeasured call is estimated from the nearest measured one.

    The estimate has three figures: a fixed cost, a cost of each row, and a cost of each token of a row. They come from
    the three calls that are always measured.
    """
    most = max(b for b, _ in found)
    block = BLOCK
    per_token = max(0.0, found[1, block] - found[1, 1]) / (block - 1)
    per_row = max(0.0, (found[most, 1] - found[1, 1]) / max(most - 1, 1) - per_token)
    fixed = max(found[1, 1] - per_row - per_token, LEAST_SHARE * found[1, 1])

    def simple(call: tuple[int, int]) -> float:
        return fixed + per_row * call[0] + per_token * call[0] * call[1]

    table = np.zeros((len(ROWS), len(TOKENS)))
    for at, b in enumerate(ROWS):
        for column, s in enumerate(TOKENS):
            near = min(found, key=lambda call: abs(log(call[0] / b)) + abs(log(call[1] / s)))
            table[at, column] = found[near] * simple((b, s)) / simple(near)
    return table
