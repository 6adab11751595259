"""The best shape of quadratic passes: closed forms, and all shapes of short drafts tried one by one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trimode.auto.shapes import RARELY, Outlook, best_shape, most_tokens_per_second, stationary
from trimode.decoding.quadratic_shape import QuadraticShape

from tests.support.arrays import Array


def flat(tokens: int) -> float:
    """Any pass takes a second."""
    return 1.0


def per_token(tokens: int) -> float:
    return float(tokens)


def constant(length: int, chance: float) -> Array:
    return np.array([1.0, *[chance] * (length - 1)])


def rate_of(outlook: Outlook, shape: QuadraticShape, seconds: Callable[[int], float], rows: int = 1) -> float:
    return outlook.rates(np.array([[*shape.inner, *shape.last]]), seconds, None, rows)[0]


def every_shape(length: int) -> Iterator[QuadraticShape]:
    counts = [0, *range(2, length + 1)]
    for inner in itertools.product(counts, repeat=length - 1):
        for last in itertools.product(counts, repeat=length):
            yield QuadraticShape(inner, last)


def simulated(shape: QuadraticShape, chances: Array, passes: int, seed: int) -> tuple[float, float]:
    """Return the mean tokens of a pass, and its mean size, by drawing whether each token is right."""
    rng, width, tokens, sizes = np.random.default_rng(seed), 1, 0, 0
    for _ in range(passes):
        masks = shape.masks(width)
        right = rng.random(width - 1) < chances[1:width]
        run = width if right.all() else int(right.argmin()) + 1
        tokens, sizes = tokens + run, sizes + width + sum(masks)
        width = max(1, masks[run - 1])
    return tokens / passes, sizes / passes


@pytest.mark.parametrize(
    "shape",
    [QuadraticShape.official(4), QuadraticShape.two_pass(4), QuadraticShape((2, 0, 3), (4, 2, 0, 4))],
)
def test_the_rate_is_that_of_drawing_whether_each_token_is_right(shape: QuadraticShape) -> None:
    chances = np.array([1.0, 0.9, 0.6, 0.8])
    tokens, size = simulated(shape, chances, 40_000, 1)
    assert rate_of(Outlook(chances), shape, flat) == pytest.approx(tokens, rel=0.02)
    assert rate_of(Outlook(chances), shape, per_token) == pytest.approx(tokens / size, rel=0.02)


@pytest.mark.parametrize("chance", [0.3, 0.8, 0.97])
@pytest.mark.parametrize("length", [2, 8, 16])
def test_the_released_shape_gives_the_expected_run_in_every_pass(length: int, chance: float) -> None:
    run = (1 - chance**length) / (1 - chance)
    shape = QuadraticShape.official(length)
    assert rate_of(Outlook(constant(length, chance)), shape, flat) == pytest.approx(run)
    assert rate_of(Outlook(constant(length, chance)), shape, per_token) == pytest.approx(run / (length * (length + 1)))


def test_rows_of_a_call_are_padded_to_the_longest_of_them() -> None:
    """Drafts of two are right in half of the cases, so a pass has one head or two, beside two masks."""
    shape, chances = QuadraticShape((0,), (2, 2)), np.array([1.0, 0.5])
    # one head of 3 tokens after each wrong draft, else two, of 4 or 2
    alone = rate_of(Outlook(chances), shape, per_token)
    rng, rows = np.random.default_rng(0), 4
    widths, tokens, taken = np.ones(rows, dtype=int), 0, 0
    for _ in range(20_000):
        right = rng.random(rows) < 0.5
        sizes = widths + 2
        runs = np.where((widths == 2) & right, 2, 1)
        tokens, taken = tokens + int(runs.sum()), taken + int(sizes.max())
        widths = np.where((widths == 2) & ~right, 1, 2)
    assert rate_of(Outlook(chances), shape, per_token, rows=rows) == pytest.approx(tokens / rows / taken, rel=0.02)
    assert rate_of(Outlook(chances), shape, per_token, rows=rows) < alone


@pytest.mark.parametrize("chance", [0.3, 0.8, 0.97])
def test_two_passes_give_the_expected_run_and_one_token_more(chance: float) -> None:
    run = (1 - chance**8) / (1 - chance)
    assert rate_of(Outlook(constant(8, chance)), QuadraticShape.two_pass(8), flat) == pytest.approx((run + 1) / 2)


def test_where_drafts_are_always_right_only_the_last_group_is_needed() -> None:
    rate, shape = best_shape(constant(16, 1.0), lambda tokens: 100.0 + tokens)
    assert shape is not None and shape.masks(16) == (*[0] * 15, 16)
    assert rate == pytest.approx(16 / 132, rel=1e-3)


def test_where_drafts_are_always_wrong_no_mask_is_worth_its_price() -> None:
    rate, shape = best_shape(constant(16, 0.0), per_token)
    assert rate <= 1.0
    assert not Outlook(constant(16, 0.0))._priced(np.array([0.001])).any()
    assert shape is None or sum(shape.masks(1)) <= 4  # any mask costs, and gives nothing


@pytest.mark.parametrize("chance", [0.5, 0.9, 0.97])
def test_where_a_pass_costs_the_same_however_large_the_released_shape_is_best(chance: float) -> None:
    rate, shape = best_shape(constant(16, chance), flat)
    assert shape is not None
    assert rate == pytest.approx(rate_of(Outlook(constant(16, chance)), QuadraticShape.official(16), flat), rel=0.01)


def test_with_room_for_fewer_tokens_the_masks_go_where_runs_end() -> None:
    """Where 200 tokens cost no more than one: the released form of 13 has 182, the priced one of 32 longer drafts."""
    chances = constant(32, 0.95)
    rate, shape = best_shape(chances, lambda tokens: max(1.0, tokens / 200))
    official = max(
        rate_of(Outlook(chances[:length]), QuadraticShape.official(length), lambda tokens: max(1.0, tokens / 200))
        for length in range(2, 33)
    )
    assert shape is not None and shape.length == 32
    assert rate > 1.03 * official


def test_rows_that_share_a_call_draft_no_longer_than_the_shape_goes_on_to() -> None:
    """A lone request's first draft is longer than those that follow, up to where more gives a hundredth."""
    chances = constant(16, 0.5)
    alone, together = (Outlook(chances).best_priced(lambda tokens: 20.0 + tokens, rows=rows) for rows in (1, 8))
    assert together[1].length == together[1].reached < alone[1].length == 7  # 1 - 0.5 ** 7 is 0.99
    assert rate_of(Outlook(chances[: together[1].length]), together[1], lambda tokens: 20.0 + tokens, 8) == (
        pytest.approx(together[0], rel=1e-3)
    )


def test_shapes_whose_passes_do_not_fit_are_left_out() -> None:
    assert best_shape(constant(16, 0.9), flat, lambda tokens, logits: False) == (0.0, None)
    _, shape = best_shape(constant(16, 0.9), flat, lambda tokens, logits: tokens <= 72 and logits <= 64)
    assert shape is not None
    for heads in range(1, shape.length + 1):
        masks = shape.masks(heads)
        if heads in (1, *shape.inner, *shape.last):
            assert heads + sum(masks) <= 72
            assert heads + sum(max(0, count - 1) for count in masks) <= 64


COSTS: dict[str, tuple[Callable[[int], float], float]] = {
    "flat": (flat, 0.99),
    "per token": (lambda tokens: 4.0 + tokens, 0.95),
    "steep": (lambda tokens: 1.0 + 0.05 * tokens**1.5, 0.95),
    "steps": (lambda tokens: 1.0 + 0.4 * (tokens // 8), 0.8),
}
"""Costs, and the least share of the best shape's rate that the shape chosen has."""


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("seed", range(6))
def test_the_shape_chosen_is_nearly_the_best_of_all(cost: str, seed: int) -> None:
    """All 243 shapes of drafts of three; a price for masks says little of costs that rise in steps."""
    rng = np.random.default_rng(seed)
    chances = np.array([1.0, *rng.uniform(0.3, 0.99, 2)])
    outlook, (seconds, least) = Outlook(chances), COSTS[cost]
    best = max(rate_of(outlook, shape, seconds) for shape in every_shape(3))
    chosen, _ = best_shape(chances, seconds)
    assert least * best <= chosen <= best * (1 + 10 * RARELY) or best <= 1 / seconds(1)


@given(
    chances=st.lists(st.floats(0.05, 0.99), min_size=1, max_size=7),
    fixed=st.floats(0.1, 300.0),
    inner=st.lists(st.sampled_from([0, 2, 3, 5, 8]), min_size=7, max_size=7),
    last=st.lists(st.sampled_from([0, 2, 3, 5, 8]), min_size=8, max_size=8),
)
def test_no_shape_exceeds_the_bound(chances: list[float], fixed: float, inner: list[int], last: list[int]) -> None:
    every = [1.0, *chances]
    size = len(every)
    shape = QuadraticShape(tuple(min(m, size) for m in inner[: size - 1]), tuple(min(m, size) for m in last[:size]))

    def seconds(tokens: int) -> float:
        return fixed + tokens

    outlook = Outlook(every)
    assert rate_of(outlook, shape, seconds) <= most_tokens_per_second(every, seconds) * (1 + 1e-9)
    assert outlook.ends.sum(axis=1) == pytest.approx(np.ones(size))


@pytest.mark.parametrize("size", [1, 2, 5, 32])
def test_the_long_run_of_a_chain_is_what_its_steps_do_not_change(size: int) -> None:
    chains = np.random.default_rng(size).random((7, size, size)) ** 6
    chains /= chains.sum(axis=2, keepdims=True)
    shares = stationary(chains.copy())
    assert shares.shape == (7, size) and (shares >= 0.0).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    np.testing.assert_allclose(np.einsum("ns,nst->nt", shares, chains), shares, atol=1e-12)


def test_states_that_are_never_met_have_no_share() -> None:
    chain = np.array([[[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]])
    chain[0, 2] = [1.0, 0.0, 0.0]
    np.testing.assert_allclose(stationary(chain), [[2 / 3, 1 / 3, 0.0]])
