"""The cost curve: what is measured, interpolated, extrapolated, and how it follows what calls really take."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from trimode.auto.cost_benchmark import measure_costs
from trimode.auto.cost_curve import MOST_SURPRISE, REFRESH, ROWS, TOKENS, CostCurve
from trimode.auto.tuning import TUNING
from trimode.engines.base import Row, RowResult

from tests.support.arrays import Array
from tests.support.toy import ToyEngine

TABLE = np.array([[b * s / 1000 for s in TOKENS] for b in ROWS])


class Timed(ToyEngine):
    """Takes 2 ms a call and 0.1 ms a token, on a clock of its own; longer caches cost 1 µs an entry and row."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.calls_of: list[tuple[int, int]] = []
        self.longest = 64

    def clock(self) -> float:
        return self.now

    @property
    def capacity(self) -> int:
        return self.longest

    def copy_out(self, slot: int, start: int, count: int) -> Array:
        return np.zeros(count, dtype=np.float32)

    def copy_in(self, slot: int, start: int, entries: Array) -> None:
        assert len(entries)

    def run(self, rows: Sequence[Row]) -> list[RowResult]:
        seq = max(len(row.tokens) for row in rows)
        self.calls_of.append((len(rows), seq))
        self.longest = 256 if any(row.start + len(row.tokens) > 200 for row in rows) else self.longest
        self.now += 0.002 + 0.0001 * len(rows) * seq + 1e-6 * len(rows) * (self.capacity - 64)
        return [RowResult(np.zeros((len(row.want), 3), dtype=np.float32), 1) for row in rows]


@pytest.mark.parametrize(("rows", "tokens"), [(1, 1), (4, 8), (32, 64)])
def test_what_is_in_the_table_comes_back(rows: int, tokens: int) -> None:
    assert CostCurve(TABLE, 64).seconds(rows, tokens, 64) == pytest.approx(rows * tokens / 1000)


@pytest.mark.parametrize(("rows", "tokens"), [(3, 1), (1, 5), (5, 24), (64, 32), (3, 128)])
def test_between_and_beyond_the_logarithms_are_straight(rows: int, tokens: int) -> None:
    assert CostCurve(TABLE, 64).seconds(rows, tokens, 64) == pytest.approx(rows * tokens / 1000)


def test_a_longer_cache_costs_more_for_every_row() -> None:
    curve = CostCurve(TABLE, 64, growth=(1e-6, 32e-6))
    assert curve.seconds(2, 1, 164) == pytest.approx(0.002 + 2 * 1e-6 * 100)
    assert curve.seconds(2, 32, 164) == pytest.approx(0.064 + 2 * 32e-6 * 100)


def test_measuring_finds_what_calls_take() -> None:
    engine = Timed()
    curve = measure_costs(engine, 4, engine.clock)
    assert curve.seconds(1, 1, 64) == pytest.approx(0.0021)
    assert curve.seconds(4, 8, 64) == pytest.approx(0.002 + 0.0001 * 32)
    assert max(rows for rows, _ in engine.calls_of) == 4
    assert not engine._slots


def test_measuring_ends_when_its_time_is_up_and_estimates_the_rest() -> None:
    engine = Timed()
    slow = engine.run

    def run(rows: Sequence[Row]) -> list[RowResult]:
        engine.now += 0.5
        return slow(rows)

    engine.run = run  # type: ignore[method-assign]
    curve = measure_costs(engine, 16, engine.clock)
    assert set(engine.calls_of) == {(1, 96), (1, 1), (1, 32), (16, 1)}
    assert curve.seconds(16, 32, 64) == pytest.approx(0.502 + 0.0001 * 16 * 32, rel=0.01)
    assert curve.seconds(1, 32, 64) > curve.seconds(1, 1, 64) > 0.5


def test_on_a_device_where_every_call_takes_the_same_a_block_costs_what_a_token_does() -> None:
    engine = Timed()

    def run(rows: Sequence[Row]) -> list[RowResult]:
        engine.now += 0.5
        return [RowResult(np.zeros((len(row.want), 3), dtype=np.float32), 1) for row in rows]

    engine.run = run  # type: ignore[method-assign]
    curve = measure_costs(engine, 16, engine.clock)
    assert curve.seconds(16, 64, 64) == pytest.approx(curve.seconds(1, 1, 64)) == pytest.approx(0.5)


def test_one_slot_is_enough_to_measure_with() -> None:
    engine = Timed()
    curve = measure_costs(engine, 1, engine.clock)
    assert curve.seconds(1, 32, 64) == pytest.approx(0.002 + 0.0001 * 32)


def test_an_observation_moves_the_curve_towards_it() -> None:
    curve = CostCurve(TABLE, 64)
    before = curve.seconds(1, 8, 64)
    for _ in range(20 * REFRESH):
        curve.observe(1, 8, 64, 2 * before)
    assert curve.seconds(1, 8, 64) == pytest.approx(2 * before, rel=0.05)
    assert curve.seconds(32, 64, 64) == pytest.approx(2.048 * 2**0.5, rel=0.05)  # far from what was seen


def test_one_outlier_moves_it_little() -> None:
    curve = CostCurve(TABLE, 64)
    for _ in range(REFRESH):
        curve.observe(1, 8, 64, 0.008)
    curve.observe(1, 8, 64, 100.0)
    for _ in range(REFRESH):
        curve.observe(1, 8, 64, 0.008)
    assert curve.seconds(1, 8, 64) <= 0.008 * np.exp(MOST_SURPRISE * TUNING.learning_rate) * 1.001
