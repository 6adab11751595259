"""Throughput: rates and choices worked out by hand, on costs that are three numbers."""

from __future__ import annotations

import pytest
from trimode.auto.throughput import DraftOutlook, Load, best_choice, drafts_could_pay, tokens_per_second
from trimode.auto.tuning import TUNING

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
