"""When mode auto verifies free drafts: figures worked out by hand, and requests on devices of given costs."""

from __future__ import annotations

import numpy as np
import pytest
from trimode.api.params import GenerationParams
from trimode.auto import free_drafts
from trimode.auto.chooser import Auto
from trimode.auto.cost_curve import ROWS, TOKENS
from trimode.auto.free_drafts import Candidate, best_length
from trimode.auto.throughput import Load
from trimode.decoding.committed import Committed
from trimode.decoding.free_drafts.drafts import FreeDrafts
from trimode.decoding.quadratic_shape import QuadraticShape
from trimode.decoding.sequence import Phase, SequenceState

from tests.support.devices import (
    DEFAULTS,
    FLAT,
    PER_TOKEN,
    THIRTY_TWO_AT_ONCE,
    Fixed,
    answers,
    asked,
    at_once,
)
from tests.support.saying_engine import SayingEngine
from tests.support.toy import MASK

TEXT = "The quick brown fox jumps over the lazy dog, and then it does so again until the day ends."


class Costs:
    """A call takes `fixed` seconds, and `each` for each token of each row."""

    def __init__(self, fixed: float, each: float) -> None:
        self.fixed, self.each = fixed, each

    def seconds(self, rows: int, tokens: int, capacity: int) -> float:
        return self.fixed + self.each * rows * tokens


class Asked(Costs):
    """The same; it records for which rows and tokens of each it was asked."""

    def __init__(self, fixed: float, each: float) -> None:
        super().__init__(fixed, each)
        self.asked: list[tuple[int, int]] = []

    def seconds(self, rows: int, tokens: int, capacity: int) -> float:
        self.asked.append((rows, tokens))
        return super().seconds(rows, tokens, capacity)


def test_a_verification_gives_the_tokens_that_are_right_and_one_more() -> None:
    assert Candidate(1.0, 8).expected_tokens(16) == 8
    assert Candidate(0.5, 8).expected_tokens(3) == 1 + 0.5 + 0.25
    assert Candidate(0.0, 8).expected_tokens(8) == 1
    assert Candidate(0.5, 8, otherwise=1.6).gains(3) and not Candidate(0.5, 8, otherwise=1.8).gains(3)


@pytest.mark.parametrize(
    ("costs", "chance", "length"),
    [
        (Costs(1.0, 0.0), 0.9, 32),
        (Costs(1.0, 0.0), 0.0, 0),
        (Costs(0.0, 1.0), 0.9, 0),
        (Costs(1.0, 0.1), 0.95, 16),
        (Costs(1.0, 0.1), 0.6, 4),
        (Costs(1.0, 1.0), 0.3, 0),
    ],
)
def test_drafts_are_as_long_as_pays(costs: Costs, chance: float, length: int) -> None:
    assert best_length(costs, Load(), 64, 0.0, [Candidate(chance, 32)]) == length


def test_what_others_lose_by_a_longer_call_counts() -> None:
    costs, one = Costs(1.0, 0.1), [Candidate(0.9, 16)]
    assert best_length(costs, Load(), 64, 0.0, one) == 12
    assert best_length(costs, Load(blocks=30, width=1), 64, 30.0, one) == 0
    assert best_length(costs, Load(blocks=30, width=16), 64, 60.0, one) == 16
    assert best_length(costs, Load(singles=9), 64, 9.0, one) > 0


def test_a_draft_of_a_pass_is_not_given_up_for_a_worse_free_one() -> None:
    costs = Costs(1.0, 0.0)
    assert best_length(costs, Load(), 64, 0.0, [Candidate(0.5, 16, otherwise=4.0, width=8)]) == 0
    assert best_length(costs, Load(), 64, 0.0, [Candidate(0.95, 16, otherwise=4.0, width=8)]) == 16


def test_a_quadratic_pass_has_a_call_of_its_own_and_makes_no_draft_longer() -> None:
    costs, one, ahead = Asked(1.0, 0.1), Candidate(0.9, 16), Candidate(0.0, 16, 6.0, 272, quadratic=True)
    best_length(costs, Load(quadratic=1, quadratic_tokens=90), 64, 6.0, [one, ahead])
    assert {(rows, tokens) for rows, tokens in costs.asked if rows == 2} == {(2, 272)}
    assert {tokens for rows, tokens in costs.asked if rows == 1} <= {1, 2, 4, 8, 12, 16}


def test_requests_beside_a_quadratic_pass_choose_as_without_a_longer_block() -> None:
    auto, costs = Auto(FLAT, 16), Asked(1.0, 0.1)
    params = GenerationParams.parse({**asked(), "mode": "auto"}, DEFAULTS)
    seq, ahead = SequenceState(params, [3, 4], MASK), SequenceState(params, [3, 4], MASK)
    seq.free_drafts = FreeDrafts([3, 4], max_tokens=60, longest=8, prediction=[5, 6, 7, 8])
    for one in (seq, ahead):
        auto.admit(one, [], 64)
        one.phase, one.tokens, one.cached = Phase.DECODE, [5], 2
    states = {one: state for one in (seq, ahead) if (state := auto.state_of(one)) is not None}
    shape = QuadraticShape.official(16)
    ahead.shape = states[ahead].shape = shape
    states[ahead].shape_tokens = [1.0] * 17
    ahead.open_draft([5] * 16)
    free_drafts.choose(costs, [seq, ahead], states, Load(quadratic=1, quadratic_tokens=90), 64)
    assert (2, 272) in costs.asked and all(tokens <= 8 for rows, tokens in costs.asked if rows == 1)


def saying(**given: object) -> dict[str, object]:
    return asked(**{"input_ids": [3, 4], "max_tokens": 200, "end_id": 0, **given})


def test_a_right_prediction_is_taken_where_calls_cost_the_same() -> None:
    for curve in (FLAT, THIRTY_TWO_AT_ONCE):
        (chunk,) = answers(curve, SayingEngine(TEXT, hit=0.0), saying(prediction=TEXT))
        assert chunk.text == TEXT and chunk.counters.forwards < len(TEXT) / 4
        assert chunk.auto is not None and chunk.auto.cycles["prediction"] == chunk.counters.verify_forwards
        assert chunk.auto.expected_tokens == pytest.approx(len(TEXT), rel=0.5)


def test_where_every_token_costs_the_same_no_free_draft_is_verified() -> None:
    (chunk,) = answers(PER_TOKEN, SayingEngine(TEXT), saying(prediction=TEXT, prompt_lookup=True))
    assert chunk.text == TEXT
    assert chunk.counters.verify_forwards == 0


STEEP = Fixed(np.array([[0.0005 * b * (1 + s) for s in TOKENS] for b in ROWS]), 64)
"""A device on which a verification must give more than half of its tokens."""


def test_drafts_that_are_wrong_are_given_up_and_taken_again_once_they_would_be_right() -> None:
    said = "".join(f"{at:03} " for at in range(60))
    wrong = "".join(f"{at:03} " for at in range(900, 930))
    bad, late = (
        answers(STEEP, SayingEngine(said, hit=0.0), saying(prediction=predicted, max_tokens=240))[0]
        for predicted in (wrong, wrong + said[120:])
    )
    assert bad.text == late.text == said
    assert bad.counters.rejected_prediction_tokens < 40
    assert late.counters.accepted_prediction_tokens > 60


def test_own_drafts_are_made_where_there_is_no_free_one() -> None:
    (chunk,) = answers(FLAT, SayingEngine(TEXT, hit=1.0), saying(prediction=TEXT[:40]))
    counts = chunk.counters
    assert chunk.text == TEXT
    assert chunk.auto is not None
    own = sum(count for name, count in chunk.auto.cycles.items() if "/" in name)
    assert counts.accepted_prediction_tokens > 30 and own > 2


def test_requests_together_each_follow_their_own_prediction() -> None:
    requests = [saying(prediction=TEXT[at:]) for at in (0, 3, 9)] + [saying()]
    found = at_once(FLAT, SayingEngine(TEXT, hit=0.3), requests)
    assert [chunk.text for chunk in found] == [TEXT] * 4
    assert all(chunk.counters.accepted_prediction_tokens > 30 for chunk in found[:3])


def test_what_is_known_of_own_drafts_does_not_change() -> None:
    auto = Auto(FLAT, 8)
    params = GenerationParams.parse({**asked(), "mode": "auto"}, DEFAULTS)
    seq = SequenceState(params, [3, 4], MASK)
    seq.free_drafts = FreeDrafts([3, 4], max_tokens=60, longest=8, prediction=[5, 6, 7, 8])
    auto.admit(seq, [], 64)
    seq.phase, seq.tokens, seq.cached = Phase.DECODE, [5], 2
    auto.choose([seq], 64)
    assert seq.free_drafts.limit > 1
    auto.verified(seq, Committed([6, 7, 8, 9], drafted=3, verified=3, free="prediction"))
    state = auto.state_of(seq)
    assert state is not None and state.stats.empty and state.cycles["prediction"] == 1
    assert auto.cycles["prediction", 4] == 1
    auto.verified(seq, Committed([6], drafted=3, verified=0))
    assert state.stats.verifications == 1


def test_a_draft_that_was_not_chosen_is_not_verified() -> None:
    auto = Auto(PER_TOKEN, 8)
    params = GenerationParams.parse({**asked(), "mode": "auto"}, DEFAULTS)
    seq = SequenceState(params, [3, 4], MASK)
    seq.free_drafts = FreeDrafts([3, 4], max_tokens=60, longest=8, prediction=[5, 6, 7, 8])
    auto.admit(seq, [], 64)
    seq.phase, seq.tokens, seq.cached = Phase.DECODE, [5], 2
    auto.choose([seq], 64)
    assert seq.free_drafts.limit == 0
    assert len(seq.free_drafts.draft(seq.tokens, 9)) == 0
