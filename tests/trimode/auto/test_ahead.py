"""What is learnt of drafts that quadratic passes make, which shapes they suggest, and that these are remembered."""

from __future__ import annotations

import numpy as np
import pytest
from trimode.auto.ahead import AheadDrafts, PassLimits
from trimode.auto.shapes import Outlook
from trimode.auto.throughput import Load

RUNS = np.concatenate(([0.0], np.cumsum(0.9 ** np.arange(32)))).tolist()
"""Expected tokens of a cycle by length of draft, if each token is right with a chance of 0.9."""


class Flat:
    """A device on which calls up to so many tokens take the same; counts what it is asked."""

    def __init__(self, most: int = 300) -> None:
        self.most = most
        self.asked = 0

    def seconds(self, rows: int, tokens: int, capacity: int) -> float:
        self.asked += 1
        return max(1.0, rows * tokens / self.most)


def test_drafts_made_ahead_are_taken_for_as_good_as_others_until_they_were_tried() -> None:
    drafts = AheadDrafts(PassLimits())
    assert drafts.factor == 1.0
    assert drafts.expected_tokens(RUNS, 8) == pytest.approx(RUNS[:9])


@pytest.mark.parametrize("times", [1.0, 2.0, 3.0])
def test_how_much_more_often_they_are_refused_is_learnt(times: float) -> None:
    drafts, rng = AheadDrafts(PassLimits()), np.random.default_rng(0)
    for _ in range(600):
        right = rng.random(7) > 0.1 * times
        committed = 8 if right.all() else int(right.argmin()) + 1
        drafts.learn(committed, 8, RUNS)
    assert drafts.factor == pytest.approx(times, rel=0.3)
    expected = Outlook([1.0, *[1 - 0.1 * drafts.factor] * 7]).tokens
    assert drafts.expected_tokens(RUNS, 8) == pytest.approx([0.0, *expected])


def test_what_was_found_is_forgotten_with_time() -> None:
    drafts = AheadDrafts(PassLimits())
    for _ in range(100):
        drafts.learn(1, 8, RUNS)
    assert drafts.factor > 4.0
    for _ in range(2000):
        drafts.forget()
    assert drafts.factor < 1.2


def test_how_much_dearer_a_pass_is_is_learnt_and_counts_in_what_it_takes() -> None:
    drafts, device = AheadDrafts(PassLimits()), Flat()
    before = drafts.pass_seconds(device, Load(singles=1), 64, 2, 8)
    assert before == pytest.approx(2.0) and drafts.dearer == 1.0
    for _ in range(200):
        drafts.took(1.3, 1.0)
        drafts.forget()  # nothing, while it is tried
    assert drafts.dearer == pytest.approx(1.3, rel=0.01)
    assert drafts.pass_seconds(device, Load(singles=1), 64, 2, 8) == pytest.approx(1.0 + drafts.dearer)
    rate, shape = drafts.best(device, Load(), 64, [RUNS], bar=1.0)
    cheap, same = AheadDrafts(PassLimits()).best(device, Load(), 64, [RUNS], bar=1.0)
    assert same == shape and rate == pytest.approx(cheap / drafts.dearer)
    for _ in range(2000):
        drafts.forget()
    assert drafts.dearer < 1.01


def test_a_pass_that_something_held_up_says_little() -> None:
    drafts = AheadDrafts(PassLimits())
    drafts.took(100.0, 1.0)
    assert 1.0 < drafts.dearer < 1.05
    for _ in range(200):
        drafts.took(100.0, 1.0)
    assert drafts.dearer < 1.5
    for _ in range(200):
        drafts.took(0.01, 1.0)
    assert drafts.dearer == 1.0, "the curve is wrong, and of other calls as much"


def test_a_single_token_says_nothing() -> None:
    drafts = AheadDrafts(PassLimits())
    drafts.learn(1, 1, RUNS)
    assert drafts.factor == 1.0


def test_a_shape_is_found_that_beats_the_bar_and_none_that_does_not() -> None:
    drafts = AheadDrafts(PassLimits())
    rate, shape = drafts.best(Flat(), Load(), 64, [RUNS], bar=5.0)
    assert shape is not None and 6.0 < rate < 10.0
    assert AheadDrafts(PassLimits()).best(Flat(), Load(), 64, [RUNS], bar=11.0) == (0.0, None)


@pytest.mark.parametrize("most", [60, 300])
def test_masks_do_not_stand_where_runs_ended_by_chance(most: int) -> None:
    """Of tokens 4 to 7 one in six of those come to is refused, whichever of them it is: the shape is the same."""

    def runs(refused: int, often: float) -> list[float]:
        chances = np.full(32, 0.97)
        chances[0], chances[4:8], chances[refused] = 1.0, 1.0, 1.0 - often
        return [0.0, *chances.cumprod().cumsum().tolist()]

    shapes = [
        AheadDrafts(PassLimits()).best(Flat(most), Load(), 64, [runs(*ends)], bar=1.0)[1]
        for ends in ((4, 4 / 9), (5, 1 / 2), (6, 4 / 7))
    ]
    assert shapes[0] is not None and shapes == [shapes[0]] * 3


def test_what_was_worked_out_is_taken_again_on_a_machine_that_became_slower() -> None:
    class Slow(Flat):
        def seconds(self, rows: int, tokens: int, capacity: int) -> float:
            return 3 * super().seconds(rows, tokens, capacity)

    drafts, slow = AheadDrafts(PassLimits()), Slow()
    rate, shape = drafts.best(Flat(), Load(), 64, [RUNS], bar=1.0)
    slower, same = drafts.best(slow, Load(), 64, [RUNS], bar=0.1)
    assert same is shape and slower == pytest.approx(rate / 3)
    assert slow.asked == 2  # passes over a block and over one token


def test_requests_together_have_passes_for_which_a_call_has_room() -> None:
    """A call has at most so many tokens, and what does not fit takes another one."""
    limits = PassLimits(call_tokens=512)
    drafts, costs = AheadDrafts(limits), Flat()
    assert drafts.pass_seconds(costs, Load(), 64, 4, 272) == 4.0
    assert drafts.pass_seconds(costs, Load(), 64, 4, 100) == pytest.approx(400 / 300)
    assert drafts.pass_seconds(costs, Load(), 64, 6, 100) == pytest.approx(500 / 300 + 1.0)
    assert drafts.pass_seconds(costs, Load(singles=2, blocks=1, width=8), 64, 1, 100) == 3.0
    assert drafts.pass_seconds(costs, Load(quadratic=1, quadratic_tokens=272), 64, 1, 100) == 2.0


def test_an_engines_limits_are_kept() -> None:
    drafts = AheadDrafts(PassLimits(tokens=30, logits=25))
    _, shape = drafts.best(Flat(), Load(), 64, [RUNS], bar=0.5)
    assert shape is not None
    for heads in {1, *filter(None, shape.inner), *filter(None, shape.last)}:
        masks = shape.masks(heads)
        assert heads + sum(masks) <= 30 or heads not in {max(1, m) for m in masks}
    assert drafts.limits.fit(30, 25) and not drafts.limits.fit(31, 25) and not drafts.limits.fit(30, 26)
