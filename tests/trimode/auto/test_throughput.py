"""Throughput: rates and choices worked out by hand, on costs that are three numbers."""

from __future__ import annotations

import numpy as np
import pytest
from trimode.auto.throughput import DraftOutlook, Load, best_choice, drafts_could_pay, tokens_per_second
from trimode.auto.tuning import TUNING

from tests.support.devices import FLAT, ROWS, TOKENS, Fixed

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
    assert TUNING.needed_factor(1) > 1.02


def test_drafts_that_could_not_pay_even_if_all_were_right_are_told_from_those_that_could() -> None:
    assert drafts_could_pay(Costs(1.0, 0.0), Load(), 64, 1, 8)
    assert not drafts_could_pay(Costs(0.0, 1.0), Load(), 64, 1, 8)


def test_more_requests_need_more_gain_up_to_a_crowd() -> None:
    gains = [TUNING.needed_factor(count) for count in (1, 2, TUNING.crowd_limit, 10 * TUNING.crowd_limit)]
    assert gains[0] < gains[1] < gains[2] == gains[3]
    assert TUNING.needed_draft_factor(1, drafting_is_new=False) == 1.0


@pytest.mark.parametrize(("at", "bucket"), [(0, 1), (15, 1), (16, 2), (127, 8), (5000, 8)])
def test_positions_of_an_answer_fall_into_buckets(at: int, bucket: int) -> None:
    assert TUNING.answer_range(at) == bucket


@pytest.mark.parametrize(("now", "length"), [(None, 0), (0, 0), (8, 8)])
def test_a_crowd_changes_only_for_a_clear_gain(now: int | None, length: int) -> None:
    runs = [0.0, 1.0, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0, 2.4]  # drafts of 8 give 1.2 times the tokens of single steps
    assert best_choice(FLAT, Load(), 64, [DraftOutlook(runs, 8, 89)] * 16, now)[1] == length


@pytest.mark.parametrize(("count", "length"), [(1, 8), (2, 4)])
def test_among_several_a_longer_draft_must_be_better_by_more_than_a_little(count: int, length: int) -> None:
    runs = [0.0, 1.0, 2.0, 2.9, 3.0, 3.01, 3.02, 3.03, 3.04]
    rate, chosen = best_choice(FLAT, Load(), 64, [DraftOutlook(runs, 8, 89)] * count, None)
    assert chosen == length
    assert rate == pytest.approx(count * runs[length] / 2 / 0.001)


def test_a_draft_is_not_tried_where_none_could_be_chosen() -> None:
    table = np.array([[0.001 if s == 1 else 0.0036 for s in TOKENS] for _ in ROWS])  # 8 of 8 give 1.1 times the tokens
    curve = Fixed(table, 64)
    assert drafts_could_pay(curve, Load(), 64, 1, 8)
    assert not drafts_could_pay(curve, Load(), 64, 16, 8)
