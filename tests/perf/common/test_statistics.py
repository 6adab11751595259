"""Medians, quartiles and ratios of pairs."""

from __future__ import annotations

from trimode_perf.common.statistics import Spread, departures, percentile, ratios


def test_a_spread_is_the_median_and_the_quartiles() -> None:
    assert Spread.of([1, 2, 3, 4, 5]) == Spread(3.0, 2.0, 4.0)


def test_ratios_are_of_pairs() -> None:
    assert ratios([2, 9, 8], [1, 3, 2]).median == 3.0


def test_a_percentile_lies_between_values() -> None:
    assert percentile([0, 10], 95) == 9.5


def test_departures_count_once_an_answer_at_the_first_difference() -> None:
    found = departures([([1, 2, 3], [1, 2, 3]), ([1, 2, 3], [1, 9, 9]), ([1], [1, 2])])
    assert found == {"differing_answers": 2, "tokens_compared": 3 + 2 + 2, "per_1000_tokens": 2000 / 7}
