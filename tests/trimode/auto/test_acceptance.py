"""DraftStats: counts of verifications, and the runs expected from them and from what is known of others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trimode.auto.acceptance import BlockCounts, DraftStats, Prior

NOTHING = Prior()


def seen(*runs: tuple[int, int], at: int = 0) -> DraftStats:
    stats = DraftStats()
    for committed, width in runs:
        stats.add_verification(committed, width, at)
    return stats


def known(stats: DraftStats, similarity: float = 1.0) -> Prior:
    return Prior(stats.counts, stats.verifications, stats.blocks, similarity)


def test_a_block_of_one_gives_one_token() -> None:
    assert seen((3, 8)).expected_runs(NOTHING, 0)[1] == 1.0


@given(st.lists(st.tuples(st.integers(1, 64), st.integers(0, 200)), max_size=20), st.integers(0, 300))
def test_expected_runs_rise_with_the_block_and_never_above_it(runs: list[tuple[int, int]], at: int) -> None:
    own, others = DraftStats(), DraftStats()
    for number, (committed, place) in enumerate(runs):
        (own if number % 2 else others).add_verification(committed, 64, place)
    expected = own.expected_runs(known(others), at)
    assert (np.diff(expected[1:]) >= 0).all()
    assert (expected[1:] <= np.arange(1, len(expected)) + 1e-9).all()


@pytest.mark.parametrize("run", [1, 3, 8])
def test_many_like_runs_are_expected_again(run: int) -> None:
    assert seen(*[(run, 8)] * 200).expected_runs(NOTHING, 0)[8] == pytest.approx(run, abs=0.1)


def test_a_run_refused_at_the_same_place_says_nothing_of_what_is_behind() -> None:
    stats = seen((3, 8))
    assert stats.trials[0, :5].tolist() == [0, 1, 1, 1, 0]
    assert stats.hits[0, :5].tolist() == [0, 1, 1, 0, 0]


def test_a_full_run_has_no_failure() -> None:
    stats = seen((4, 4))
    assert stats.trials[0].sum() == stats.hits[0].sum() == 3


def test_others_count_until_enough_is_known_of_oneself() -> None:
    poor = known(seen(*[(1, 8)] * 50))
    alone, warned = DraftStats().expected_runs(NOTHING, 0)[8], DraftStats().expected_runs(poor, 0)[8]
    assert warned < 2 < alone
    assert seen(*[(8, 8)] * 50).expected_runs(poor, 0)[8] > 6


def test_refusals_at_the_first_places_tell_of_those_behind() -> None:
    good = known(seen(*[(32, 32)] * 10, *[(20, 32)] * 2), similarity=0.0)
    place = 16  # where none of these runs has come
    reached = [seen(*[(2, 32)] * times).expected_runs(good, 0) for times in range(3)]
    chances = [(runs[place + 1] - runs[place]) / (runs[place] - runs[place - 1]) for runs in reached]
    assert chances[0] > 0.95
    assert 1 - chances[1] > 2 * (1 - chances[0])
    assert 1 - chances[2] > 3 * (1 - chances[0])


def test_a_request_unlike_others_is_judged_sooner_by_what_it_shows() -> None:
    others, own = seen(*[(32, 32)] * 10, *[(20, 32)] * 2), seen((2, 32))
    assert own.expected_runs(known(others, 0.0), 0)[32] < own.expected_runs(known(others, 1.0), 0)[32] - 2


def test_where_answers_of_the_kind_end_a_long_draft_is_worth_little() -> None:
    others = DraftStats()
    for _ in range(10):
        others.add_verification(32, 32, 1)
        others.add_verification(8, 32, 33)
    early, late = (DraftStats().expected_runs(known(others), at) for at in (1, 33))
    assert early[32] > 25
    assert late[32] < 12


def test_what_blocks_took_and_gave_is_added_up() -> None:
    stats = DraftStats()
    stats.add_blocks(2, 7, 40)
    stats.add_blocks(1, 3, 12)
    prior = known(stats)
    assert (prior.verifications, prior.blocks) == (0, BlockCounts(3, 10, 52))


@given(st.lists(st.tuples(st.integers(1, 16), st.integers(2, 16)), max_size=20))
def test_refusals_are_the_trials_that_were_no_hits(runs: list[tuple[int, int]]) -> None:
    own = seen(*((min(run, width), width) for run, width in runs))
    assert own.refused == own.trials[0].sum() - own.hits[0].sum()


def test_with_no_draft_of_its_own_a_request_is_like_the_others() -> None:
    prior = known(seen((3, 8), (5, 8), (8, 8)))
    before = prior.refusal(0).copy()
    runs = DraftStats().expected_runs(prior, 0)
    assert runs[2:9] == pytest.approx(1.0 + np.cumsum(np.cumprod(1.0 - before[1:8])))
    assert (prior.refusal(0) == before).all()
