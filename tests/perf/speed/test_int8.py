"""Departures of int8."""

from __future__ import annotations

from trimode_perf.speed import int8


def test_int8_departures_count_once_an_answer_at_the_first_difference() -> None:
    found = int8.departures([([1, 2, 3], [1, 2, 3]), ([1, 2, 3], [1, 9, 9]), ([1], [1, 2])])
    assert found == {"differing_answers": 2, "tokens_compared": 3 + 2 + 2, "per_1000_tokens": 2000 / 7}
