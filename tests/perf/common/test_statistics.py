"""Medians, quartiles and ratios of pairs."""

from __future__ import annotations

from trimode_perf.common.statistics import Spread, percentile, ratios, rounded


def test_a_spread_is_the_median_and_the_quartiles() -> None:
    assert Spread.of([1, 2, 3, 4, 5]) == Spread(3.0, 2.0, 4.0)


def test_ratios_are_of_pairs() -> None:
    assert ratios([2, 9, 8], [1, 3, 2]).median == 3.0


def test_a_percentile_lies_between_values() -> None:
    assert percentile([0, 10], 95) == 9.5


def test_nested_results_are_rounded_to_five_digits() -> None:
    assert rounded({"a": [1.234567, (2, "b")]}) == {"a": [1.2346, [2, "b"]]}
