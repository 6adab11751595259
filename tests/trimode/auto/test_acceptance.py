"""DraftStats: counts of verifications, and the runs expected from them and from what is known of others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trimode.auto.acceptance import FACTORS, BlockCounts, DraftStats, Prior
from trimode.auto.tuning import TUNING

NOTHING = Prior()


def seen(*runs: tuple[int, int]) -> DraftStats:
    stats = DraftStats()
    for committed, width in runs:
        stats.add_verification(committed, width)
    return stats


def known(stats: DraftStats) -> Prior:
    return Prior(stats.counts, stats.blocks)


def test_a_block_of_one_gives_one_token() -> None:
    assert seen((3, 8)).expected_runs(NOTHING)[1] == 1.0


@given(st.lists(st.integers(1, 64), max_size=20))
def test_expected_runs_rise_with_the_block_and_never_above_it(runs: list[int]) -> None:
    own, others = DraftStats(), DraftStats()
    for number, committed in enumerate(runs):
        (own if number % 2 else others).add_verification(committed, 64)
    chances, possible = own.possible_runs(known(others), 1.0)
    assert chances.sum() == pytest.approx(1.0)
    for expected in (own.expected_runs(known(others)), *possible):
        assert (np.diff(expected[1:]) >= 0).all()
        assert (expected[1:] <= np.arange(1, len(expected)) + 1e-9).all()


@pytest.mark.parametrize("run", [1, 3, 8])
def test_many_like_runs_are_expected_again(run: int) -> None:
    assert seen(*[(run, 8)] * 200).expected_runs(NOTHING)[8] == pytest.approx(run, abs=0.1)


def test_a_run_refused_at_the_same_place_says_nothing_of_what_is_behind() -> None:
    trials, hits = seen((3, 8)).counts
    assert trials[:5].tolist() == [0, 1, 1, 1, 0]
    assert hits[:5].tolist() == [0, 1, 1, 0, 0]


def test_a_full_run_has_no_failure() -> None:
    trials, hits = seen((4, 4)).counts
    assert trials.sum() == hits.sum() == 3


def test_others_count_until_enough_is_known_of_oneself() -> None:
    poor = known(seen(*[(1, 8)] * 50))
    alone, warned = DraftStats().expected_runs(NOTHING)[8], DraftStats().expected_runs(poor)[8]
    assert warned < 2 < alone
    assert seen(*[(8, 8)] * 50).expected_runs(poor)[8] > 6


def test_refusals_at_the_first_places_say_something_of_those_behind() -> None:
    good = known(seen(*[(32, 32)] * 10, *[(20, 32)] * 2))
    place = 16  # where none of these runs has come
    reached = [seen(*[(2, 32)] * times).expected_runs(good) for times in range(3)]
    chances = [(runs[place + 1] - runs[place]) / (runs[place] - runs[place - 1]) for runs in reached]
    assert chances[0] > 0.95
    assert 1 - chances[1] > 1.2 * (1 - chances[0])
    assert 1 - chances[2] > 1.5 * (1 - chances[0])


def test_the_more_refusals_others_showed_the_less_one_of_its_own_says() -> None:
    few, many = seen(*[(32, 32)] * 5, (20, 32)), seen(*[(32, 32)] * 50, *[(20, 32)] * 10)
    own = seen((2, 32))
    lost = [(DraftStats().expected_runs(known(one)) - own.expected_runs(known(one)))[32] for one in (few, many)]
    assert lost[0] > lost[1] > 0
    assert known(many).weight == TUNING.prior_refusals and Prior().weight == 1.0


def test_what_a_request_may_be_like_narrows_with_what_it_shows() -> None:
    prior = known(seen(*[(4, 8)] * 6))
    spreads = []
    for stats in (DraftStats(), seen(*[(4, 8)] * 20)):
        chances, _ = stats.possible_runs(prior, 1.0)
        mean = chances @ np.log(FACTORS)
        spreads.append(float(chances @ (np.log(FACTORS) - mean) ** 2))
    assert spreads[1] < spreads[0]


def test_what_it_showed_long_ago_counts_less() -> None:
    prior, own = known(seen(*[(4, 8)] * 6)), seen(*[(1, 8)] * 10)
    now, later, never = (own.possible_runs(prior, trust) for trust in (1.0, 0.3, 0.0))
    means = [float((chances @ runs)[8]) for chances, runs in (now, later, never)]
    assert means[0] < means[1] < means[2]
    assert never[0] == pytest.approx(DraftStats().possible_runs(prior, 1.0)[0])


def test_what_blocks_took_and_gave_is_added_up() -> None:
    stats = DraftStats()
    stats.add_blocks(2, 7, 40)
    stats.add_blocks(1, 3, 12)
    assert (stats.verifications, stats.blocks) == (0, BlockCounts(3, 10, 52)) and not stats.empty


@given(st.lists(st.tuples(st.integers(1, 16), st.integers(2, 16)), max_size=20))
def test_refusals_are_the_trials_that_were_no_hits(runs: list[tuple[int, int]]) -> None:
    own = seen(*((min(run, width), width) for run, width in runs))
    trials, hits = own.counts
    assert own.refused == trials.sum() - hits.sum()


def test_with_no_draft_of_its_own_a_request_is_like_the_others() -> None:
    prior = known(seen((3, 8), (5, 8), (8, 8)))
    before = prior.refusal.copy()
    runs = DraftStats().expected_runs(prior)
    assert runs[2:9] == pytest.approx(1.0 + np.cumsum(np.cumprod(1.0 - before[1:8])))
    assert (prior.refusal == before).all()
