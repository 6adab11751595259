"""The best of one half of the rounds, held against the other half."""

from __future__ import annotations

from trimode_perf.speed.auto.halves import crossed


def test_a_choice_that_was_lucky_in_one_half_is_judged_in_the_other() -> None:
    steady, lucky = [8.0, 8.0, 8.0, 8.0], [20.0, 5.0, 20.0, 5.0]
    best, shares = crossed([10.0, 10.0, 10.0, 10.0], {"steady": steady, "lucky": lucky})
    assert best == ["lucky", "steady"]  # of the even rounds, of the odd ones
    assert shares == [10 / 8, 10 / 5, 10 / 8, 10 / 5]


def test_the_best_is_found_by_pairs_of_a_round() -> None:
    own = [10.0, 10.0, 1.0, 1.0, 10.0, 10.0]
    other, slow = [11.0, 11.0, 1.1, 1.1, 11.0, 11.0], [10.0] * 6  # ten times as fast in two rounds alone
    assert crossed(own, {"other": other, "slow": slow})[0] == ["other", "other"]
