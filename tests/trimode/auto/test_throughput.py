"""Throughput: rates and choices worked out by hand, on costs that are three numbers."""

from __future__ import annotations

import numpy as np
import pytest
from trimode.auto.throughput import DraftOutlook, Load, best_choice, shape_bar, tokens_per_second, trial_length
from trimode.auto.tuning import TUNING

from tests.support.devices import FLAT

PERFECT = [0.0, *map(float, range(1, 65))]


class Costs:
    """A call takes `fixed` seconds, and `each` for each token of each row."""

    def __init__(self, fixed: float, each: float) -> None:
        self.fixed, self.each = fixed, each

    def seconds(self, rows: int, tokens: int, capacity: int) -> float:
        return self.fixed + self.each * rows * tokens


def test_single_tokens_share_a_call() -> None:
    assert tokens_per_second(Costs(1.0, 0.0), Load(), 64, singles=4) == 4.0
    assert tokens_per_second(Costs(0.0, 1.0), Load(), 64, singles=4) == 1.0


def test_a_cycle_with_a_draft_is_two_calls() -> None:
    assert tokens_per_second(Costs(1.0, 0.0), Load(), 64, blocks=1, length=8, gain=6.0) == 3.0


def test_what_runs_anyway_is_paid_for_and_its_longest_block_widens_the_call() -> None:
    costs, load = Costs(0.0, 1.0), Load(singles=1, blocks=1, width=10)
    assert tokens_per_second(costs, load, 64, blocks=1, length=4, gain=42.0) == 21.0 / (1 + 2 * 10)


def test_a_gain_is_cut_at_what_a_request_may_draft_and_still_needs() -> None:
    assert DraftOutlook(PERFECT, longest=16, remaining=90).expected_tokens(32) == 16.0
    assert DraftOutlook(PERFECT, longest=16, remaining=3).expected_tokens(32) == 3.0


@pytest.mark.parametrize(
    ("costs", "length"),
    [(Costs(1.0, 0.0), 32), (Costs(0.0, 1.0), 0), (Costs(1.0, 0.05), 32), (Costs(1.0, 2.0), 0)],
)
def test_long_drafts_pay_where_a_call_costs_the_same_however_wide(costs: Costs, length: int) -> None:
    assert best_choice(costs, Load(), 64, [DraftOutlook(PERFECT, 32, 90)], None)[1] == length


def test_the_last_choice_is_kept_unless_another_is_clearly_better() -> None:
    costs = Costs(1.0, 0.0)
    slightly = [0.0, 1.0, 2.0, 2.0, 2.04]  # a draft of 4 gives 2 % more than a single token
    one = [DraftOutlook(slightly, 4, 90)]
    assert best_choice(costs, Load(), 64, one, None)[1] == 4
    assert best_choice(costs, Load(), 64, one, 0)[1] == 0
    assert TUNING.margin > 0.02


def test_a_length_is_chosen_by_the_cycles_that_answers_need() -> None:
    """One request in two drafts well, and leaves soon: with drafts of 16, one of nine that run is such a one."""
    costs = Costs(272.0, 1.0)  # a call over nine drafts of 16 takes 1.35 times one over drafts of 4
    good, bad = [0.0, *[3.8] * 15, 15.0], [0.0, 1.0, *[2.4] * 15]
    running = [DraftOutlook(good, 16, 90, given=15.0), *[DraftOutlook(bad, 16, 90, given=2.4)] * 8]
    per_step = [sum(one.expected_tokens(length) for one in running) for length in (4, 16)]
    assert per_step[1] / per_step[0] > 1.35  # the next step alone would have drafts of 16
    rate, length = best_choice(costs, Load(), 64, running, None)
    assert length == 4 and rate == pytest.approx(per_step[0] / 2 / costs.seconds(9, 4, 64))


def test_a_shape_must_be_clearly_better_unless_it_was_the_last_choice() -> None:
    assert shape_bar(100.0, kept=False) == 100.0 * (1.0 + TUNING.margin)
    assert shape_bar(100.0, kept=True) == 100.0


@pytest.mark.parametrize(("gain", "now", "length"), [(1.02, 0, 0), (1.04, 0, 8), (1.02, None, 8), (1.02, 8, 8)])
def test_a_crowd_changes_for_the_gain_that_one_request_needs(gain: float, now: int | None, length: int) -> None:
    runs = [0.0, 1.0, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0, 2.0 * gain]
    assert best_choice(FLAT, Load(), 64, [DraftOutlook(runs, 8, 89)] * 16, now)[1] == length


def tried(costs: Costs, runs: list[list[float]], chances: list[float], count: int = 1, remaining: float = 100.0) -> int:
    return trial_length(costs, Load(), 64, count, (np.array(chances), np.array(runs)), 8, remaining)


BAD, GOOD = [0.0, *[1.0] * 8], [0.0, *map(float, range(1, 9))]


def test_a_draft_is_tried_where_what_it_may_show_is_worth_it() -> None:
    """A call takes the same: drafts of 8 that are right give 4 tokens a call. A trial costs a token and a half."""
    assert tried(Costs(1.0, 0.0), [BAD, GOOD], [0.9, 0.1]) == 8
    assert tried(Costs(1.0, 0.0), [BAD, GOOD], [1.0, 0.0]) == 0
    assert tried(Costs(1.0, 0.0), [BAD, GOOD], [0.98, 0.02], remaining=5.0) == 0


def test_a_trial_makes_all_others_wait() -> None:
    assert tried(Costs(1.0, 0.0), [BAD, GOOD], [0.97, 0.03], count=1) == 8
    assert tried(Costs(1.0, 0.0), [BAD, GOOD], [0.97, 0.03], count=16) == 0


def test_a_draft_is_not_tried_where_none_could_pay() -> None:
    assert tried(Costs(0.0, 1.0), [BAD, GOOD], [0.1, 0.9]) == 0


def test_a_draft_is_not_tried_where_one_could_not_change_the_choice() -> None:
    """Better drafts would pay, 2.2 tokens for two calls, but one draft shows too little of whether these are better."""
    bad, better = ([0.0, *np.cumsum(chance ** np.arange(8))] for chance in (0.475, 0.55))
    assert bad[8] < 2.0 < better[8]
    assert tried(Costs(1.0, 0.0), [bad, better], [0.9, 0.1]) == 0
    assert tried(Costs(1.0, 0.0), [bad, better], [0.7, 0.3]) == 8
