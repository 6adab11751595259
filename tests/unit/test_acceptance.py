"""Acceptance: counts of verifications, expected runs, and what requests that begin alike know of each other."""

from __future__ import annotations

import numpy as np
import pytest
from trimode.acceptance import BEGINNINGS, ENOUGH, KEPT, STRENGTH, Acceptance, AcceptanceTable


def seen(*runs: tuple[int, int]) -> Acceptance:
    acceptance = Acceptance()
    for committed, width in runs:
        acceptance.note(committed, width, 0)
    return acceptance


def test_a_block_of_one_gives_one_token() -> None:
    assert seen((3, 8)).runs(Acceptance(), 0)[1] == 1.0


def test_expected_runs_rise_with_the_block_and_never_above_it() -> None:
    expected = seen((3, 8), (8, 8), (1, 8)).runs(Acceptance(), 0)
    assert (np.diff(expected[1:]) > 0).all()
    assert (expected[1:] <= np.arange(1, len(expected))).all()


@pytest.mark.parametrize("run", [1, 3, 8])
def test_many_like_runs_are_expected_again(run: int) -> None:
    assert seen(*[(run, 8)] * 200).runs(Acceptance(), 0)[8] == pytest.approx(run, abs=0.1)


def test_a_run_refused_at_the_same_place_says_nothing_of_what_is_behind() -> None:
    acceptance = seen((3, 8))
    assert acceptance.trials[0, :5].tolist() == [0, 1, 1, 1, 0]
    assert acceptance.hits[0, :5].tolist() == [0, 1, 1, 0, 0]


def test_a_full_run_has_no_failure() -> None:
    acceptance = seen((4, 4))
    assert acceptance.trials[0].sum() == acceptance.hits[0].sum() == 3


def test_others_count_until_enough_is_known_of_oneself() -> None:
    poor = seen(*[(1, 8)] * 50)
    alone, warned = Acceptance().runs(Acceptance(), 0)[8], Acceptance().runs(poor, 0)[8]
    assert warned < 2 < alone
    assert seen(*[(8, 8)] * 50).runs(poor, 0)[8] > 6


def test_a_request_begins_with_what_is_known_of_the_longest_beginning() -> None:
    table = AcceptanceTable()
    letters, sums = [*range(40)], [*range(12), *range(100, 130)]
    for _ in range(3):
        table.learn(letters, seen((8, 8)))
        table.learn(sums, seen((1, 8)))
    assert table.prior([*letters[:32], 999]).runs(Acceptance(), 0)[8] > 6
    assert table.prior([*sums[:24], 999]).runs(Acceptance(), 0)[8] < 2
    assert 2 < table.prior(letters[:8]).runs(Acceptance(), 0)[8] < 6  # both begin so


def test_what_was_seen_once_is_not_trusted() -> None:
    table = AcceptanceTable()
    table.learn([*range(70)], seen((1, 8)))
    assert ENOUGH > 1
    assert table.prior([*range(70)]).cycles == 1.0 == table.prior([5]).cycles  # that of all


def test_beginnings_are_forgotten_the_oldest_first() -> None:
    table = AcceptanceTable()
    for number in range(KEPT + 5):
        table.learn([number] * min(BEGINNINGS), seen((2, 8), (2, 8)))
    assert len(table._known) == KEPT
    assert table.prior([KEPT] * 8).cycles == 2
    assert table.prior([0] * 8).cycles == STRENGTH  # no longer known: what all have shown, made faint


def test_an_unknown_beginning_starts_from_what_all_have_shown_made_faint() -> None:
    table = AcceptanceTable()
    for number in range(20):
        table.learn([number] * min(BEGINNINGS), seen((5, 8), (5, 8)))
    strange = table.prior([99] * 8)
    known = table.prior([19] * 8)
    assert (strange.cycles, known.cycles) == (STRENGTH, 2)
    assert strange.trials.sum() < known.trials.sum() * STRENGTH
    assert Acceptance().runs(strange, 0)[8] == pytest.approx(Acceptance().runs(known, 0)[8], rel=0.15)


def test_an_empty_table_expects_nothing_of_anyone() -> None:
    strange = AcceptanceTable().prior([1] * 8)
    assert strange.cycles == strange.trials.sum() == 0


def test_where_answers_of_the_kind_end_a_long_draft_is_worth_little() -> None:
    prior = Acceptance()
    for _ in range(10):
        prior.note(32, 32, 1)
        prior.note(8, 32, 33)
    early, late = Acceptance().runs(prior, 1), Acceptance().runs(prior, 33)
    assert early[32] > 25
    assert late[32] < 12
