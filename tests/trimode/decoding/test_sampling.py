"""Samplers on vectors of three tokens, computed by hand; draws depend only on seed, position and stream."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trimode.api.params import SamplingParams
from trimode.decoding.sampling import (
    draw,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    likeliest,
    penalise,
    sample,
    softmax,
    sure,
    uniforms,
)
from trimode.engines.log_probs import log_probs_of

from tests.support.arrays import Array

OUT = -np.inf
SEEDS = st.integers(0, 2**63 - 1)
POSITIONS = st.lists(st.integers(0, 2**20), min_size=1, max_size=8)


def params(**given: Any) -> SamplingParams:
    return SamplingParams(**{"seed": 1, **given})


def row(*values: float) -> Array:
    return np.array([values], dtype=np.float32)


def logs(*values: float) -> Array:
    return np.asarray(np.log(row(*values)))


def test_softmax_of_logarithms_is_the_distribution() -> None:
    np.testing.assert_allclose(softmax(logs(0.5, 0.3, 0.2)), row(0.5, 0.3, 0.2), rtol=1e-6)


def test_softmax_does_not_overflow() -> None:
    np.testing.assert_allclose(softmax(row(1e38, 1e38, -1e38)), row(0.5, 0.5, 0))


def test_softmax_leaves_its_input_alone() -> None:
    scores = row(1, 2, 3)
    softmax(scores)
    assert scores.tolist() == [[1, 2, 3]]


@pytest.mark.parametrize(
    ("k", "expected"),
    [
        (0, [1, 3, 2]),
        (1, [OUT, 3, OUT]),
        (2, [OUT, 3, 2]),
        (3, [1, 3, 2]),
        (99, [1, 3, 2]),
    ],
)
def test_top_k(k: int, expected: list[float]) -> None:
    assert keep_top_k(row(1, 3, 2), k).tolist() == [expected]


def test_top_k_keeps_ties_with_the_last() -> None:
    assert keep_top_k(row(1, 2, 2), 1).tolist() == [[OUT, 2, 2]]


@pytest.mark.parametrize(
    ("p", "kept"),
    [
        (0.0, [1]),
        (0.4, [1]),
        (0.49, [1]),
        (0.51, [1, 2]),
        (0.79, [1, 2]),
        (0.81, [0, 1, 2]),
        (1.0, [0, 1, 2]),
    ],
)
def test_top_p_keeps_the_fewest_that_reach_p(p: float, kept: list[int]) -> None:
    assert np.flatnonzero(np.isfinite(keep_top_p(logs(0.2, 0.5, 0.3), p))).tolist() == kept


@pytest.mark.parametrize(("p", "kept"), [(0.0, [0, 1, 2]), (0.39, [0, 1, 2]), (0.41, [1, 2]), (0.61, [1]), (1.0, [1])])
def test_min_p_is_a_share_of_the_most_likely(p: float, kept: list[int]) -> None:
    assert np.flatnonzero(np.isfinite(keep_min_p(logs(0.2, 0.5, 0.3), p))).tolist() == kept


@pytest.mark.parametrize("filtered", [keep_top_k(row(1, 3, OUT), 2), keep_top_p(row(1, 3, OUT), 0.99)])
def test_filters_never_bring_back_what_is_out(filtered: Array) -> None:
    assert filtered[0, 2] == OUT


def test_filters_work_row_by_row() -> None:
    two = np.array([[1, 3, 2], [9, 7, 8]], dtype=np.float32)
    assert keep_top_k(two, 1).tolist() == [[OUT, 3, OUT], [9, OUT, OUT]]
    assert keep_top_p(two, 0.1).tolist() == [[OUT, 3, OUT], [9, OUT, OUT]]
    assert keep_min_p(two, 1.0).tolist() == [[OUT, 3, OUT], [9, OUT, OUT]]


# Draws


@pytest.mark.parametrize(("u", "token"), [(0.0, 0), (0.19, 0), (0.21, 1), (0.69, 1), (0.71, 2), (1 - 2**-53, 2)])
def test_draw_inverts_the_cumulative_distribution(u: float, token: int) -> None:
    assert draw(logs(0.2, 0.5, 0.3), np.array([u])).tolist() == [token]


@pytest.mark.parametrize("u", [0.0, 0.5, 1 - 2**-53])
def test_draw_never_takes_what_is_out(u: float) -> None:
    assert draw(row(OUT, 1, OUT), np.array([u])).tolist() == [1]


def test_draws_come_as_often_as_likely() -> None:
    count = 20_000
    scores = np.repeat(logs(0.2, 0.5, 0.3), count, axis=0)
    tokens = draw(scores, uniforms(3, np.arange(count), 0))
    shares = np.bincount(tokens, minlength=3) / count
    np.testing.assert_allclose(shares, [0.2, 0.5, 0.3], atol=0.015)  # four standard deviations


@given(SEEDS, POSITIONS, st.integers(0, 64))
def test_a_uniform_depends_only_on_seed_position_and_stream(seed: int, positions: list[int], stream: int) -> None:
    together = uniforms(seed, np.array(positions, dtype=np.int64), stream)
    alone = [uniforms(seed, np.array([position], dtype=np.int64), stream)[0] for position in positions]
    assert together.tolist() == alone
    assert ((together >= 0) & (together < 1)).all()


@given(SEEDS, POSITIONS)
def test_seed_position_and_stream_each_change_the_uniform(seed: int, positions: list[int]) -> None:
    at = np.array(positions, dtype=np.int64)
    here = uniforms(seed, at, 0)
    assert (here != uniforms(seed ^ 1, at, 0)).all()
    assert (here != uniforms(seed, at + 1, 0)).all()
    assert (here != uniforms(seed, at, 1)).all()


@pytest.mark.parametrize("axis", ["seed", "position", "stream"])
def test_uniforms_fill_the_unit_interval_along_every_axis(axis: str) -> None:
    count = 4000
    if axis == "position":
        values = uniforms(7, np.arange(count), 0)
    else:
        zero = np.zeros(1, dtype=np.int64)
        values = np.concatenate([uniforms(*((n, zero, 0) if axis == "seed" else (7, zero, n))) for n in range(count)])
    shares = np.histogram(values, bins=8, range=(0, 1))[0] / count
    np.testing.assert_allclose(shares, 1 / 8, atol=0.025)
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.07


# Sample and penalties

AT = np.array([5], dtype=np.int64)


def test_temperature_zero_takes_the_first_most_likely() -> None:
    assert sample(row(1, 3, 3), params(), AT, 0).tolist() == [1]


def test_temperature_sharpens_and_flattens() -> None:
    count = 4000
    scores, at = np.repeat(logs(0.2, 0.8), count, axis=0), np.arange(count)
    share = {t: sample(scores, params(temperature=t), at, 0).mean() for t in (0.5, 1, 100)}
    assert share[0.5] == pytest.approx(0.64 / 0.68, abs=0.02)
    assert share[1] == pytest.approx(0.8, abs=0.03)
    assert share[100] == pytest.approx(0.5, abs=0.035)


@pytest.mark.parametrize("temperature", [1e-3, 1e-20, 1e-37, 1e-40, 1e-60])
def test_a_tiny_temperature_is_as_good_as_greedy(temperature: float) -> None:
    assert sample(row(10, 30, 20), params(temperature=temperature), AT, 0).tolist() == [1]


@pytest.mark.parametrize("filters", [{"top_k": 1}, {"top_p": 0.0}, {"min_p": 1.0}])
def test_the_tightest_filter_is_greedy(filters: dict[str, object]) -> None:
    scores, at = np.repeat(row(1, 3, 2), 50, axis=0), np.arange(50)
    assert (sample(scores, params(temperature=5, **filters), at, 0) == 1).all()


def test_repetition_divides_positive_and_multiplies_negative_scores() -> None:
    scores = penalise(row(2, -2, 3, 0), params(repetition_penalty=2), prompt=[0], output=[1, 3])
    assert scores.tolist() == [[1, -4, 3, 0]]


def test_presence_and_frequency_count_only_the_output() -> None:
    scores = penalise(row(1, 1, 1), params(presence_penalty=0.5, frequency_penalty=0.25), prompt=[0], output=[1, 2, 2])
    assert scores.tolist() == [[1, 0.25, 0]]


def test_a_negative_penalty_favours_what_was_said() -> None:
    assert penalise(row(1, 1), params(presence_penalty=-1), [0], [1]).tolist() == [[1, 2]]


def test_penalties_leave_what_is_out_out() -> None:
    given = params(repetition_penalty=0.5, presence_penalty=-1)
    assert penalise(row(OUT, 1), given, [0], [0]).tolist() == [[OUT, 1]]


def test_penalties_leave_the_logits_alone() -> None:
    logits = row(1, 2)
    penalise(logits, params(repetition_penalty=3, presence_penalty=1), [0], [1])
    assert logits.tolist() == [[1, 2]]


def test_penalties_apply_to_every_row() -> None:
    two = np.array([[1, 1], [2, 2]], dtype=np.float32)
    assert penalise(two, params(presence_penalty=1), [], [0]).tolist() == [[0, 1], [1, 2]]


@pytest.mark.parametrize("size", [5, 255, 256, 257, 3000])
@pytest.mark.parametrize("count", [1, 4, 20])
def test_the_likeliest_are_those_of_a_full_sort(size: int, count: int) -> None:
    logits = np.random.default_rng(size + count).normal(size=(3, size)).astype(np.float32)
    expected = logits.copy()
    expected[:, 2] = -np.inf
    order = np.argsort(-expected, axis=-1)[:, : min(count, size - 1)]
    for row, (ids, values) in enumerate(likeliest(logits, count, 2)):
        assert ids == order[row].tolist()
        assert values == pytest.approx(log_probs_of(np.tile(logits[row], (len(ids), 1)), np.array(ids)).tolist())


def drawn_from_all(scores: Array, given: SamplingParams, at: Array, stream: int) -> Array:
    """What `sample` draws if every filter looks at the whole vocabulary."""
    scaled = (scores - scores.max(axis=-1, keepdims=True)) / np.float32(given.temperature)
    kept = keep_min_p(keep_top_p(keep_top_k(scaled, given.top_k), given.top_p), given.min_p)
    return draw(kept, uniforms(given.seed, at, stream))


@pytest.mark.parametrize("temperature", [0.2, 1.0, 5.0])
@pytest.mark.parametrize(
    "filters",
    [{"top_p": 0.9}, {"top_p": 0.999999}, {"top_k": 1}, {"top_k": 50}, {"top_k": 2900, "top_p": 0.5}, {"min_p": 0.05},
     {"min_p": 1e-9}, {"top_k": 40, "top_p": 0.8, "min_p": 0.1}],
)  # fmt: skip
def test_few_tokens_give_what_the_whole_vocabulary_gives(filters: dict[str, Any], temperature: float) -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 4, (64, 3000)).astype(np.float32)
    scores[:, 7] = OUT
    given = params(temperature=temperature, **filters)
    at = np.arange(64)
    assert sample(scores, given, at, 3).tolist() == drawn_from_all(scores, given, at, 3).tolist()


def test_a_row_is_drawn_the_same_alone_and_among_others() -> None:
    scores = np.random.default_rng(1).normal(0, 3, (9, 700)).astype(np.float32)
    for filters in ({}, {"top_p": 0.8}):
        given = params(temperature=0.9, **filters)
        alone = [sample(scores[at : at + 1], given, np.array([at]), 0)[0] for at in range(9)]
        assert sample(scores, given, np.arange(9), 0).tolist() == alone


def test_no_rows_give_no_tokens() -> None:
    for filters in ({}, {"top_p": 0.8}):
        assert sample(np.zeros((0, 5), np.float32), params(temperature=1.0, **filters), np.arange(0), 0).tolist() == []


@given(st.integers(1, 700), st.floats(0, 1, exclude_max=True))
def test_a_draw_falls_where_the_sum_of_all_weights_says(size: int, u: float) -> None:
    """Group by group, it is what one sum over all gives."""
    scores = np.random.default_rng(size).normal(0, 2, (1, size)).astype(np.float32)
    ends = np.cumsum(np.exp(scores[0] - scores.max()), dtype=np.float64)
    token = int(draw(scores, np.array([u]))[0])
    before = ends[token - 1] if token else 0.0
    assert before <= u * ends[-1] * (1 + 1e-12) and u * ends[-1] <= ends[token] * (1 + 1e-12)


@given(
    st.lists(st.floats(-8, 8, width=16), min_size=2, max_size=6),
    SEEDS,
    st.integers(0, 2**20),
    st.sets(st.integers(0, 5)),
    st.sampled_from([{}, {"top_k": 2}, {"top_p": 0.7}, {"min_p": 0.2}, {"top_k": 3, "top_p": 0.9, "min_p": 0.05}]),
    st.sampled_from([0.0, 0.5, 1.0, 2.0]),
)
def test_a_sure_token_is_drawn_whatever_else_may_not_be_chosen(
    values: list[float], seed: int, position: int, left_out: set[int], few: dict[str, float], temperature: float
) -> None:
    scores = np.array(values, dtype=np.float32)
    settings = params(seed=seed, temperature=temperature, **few)
    token = sure(scores, settings, position, 0)
    left = scores.copy()
    left[[one for one in left_out if one < len(values) and one != token]] = OUT
    if token is not None:
        assert sample(left[None], settings, np.array([position]), 0)[0] == token == scores.argmax()


def test_a_token_is_sure_as_often_as_it_is_likely() -> None:
    scores = logs(0.01, 0.97, 0.02)[0]
    found = [sure(scores, params(temperature=1.0), position, 0) for position in range(1_000)]
    assert set(found) == {1, None}
    assert found.count(1) > 930
