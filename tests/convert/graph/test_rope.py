"""Rotary tables against closed forms and the published frequencies of the official sizes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from trimode_convert.checkpoint.config import Rope
from trimode_convert.graph.rope import attention_factor, cosines, inverse_frequencies, query_scale, sines
from trimode_convert.verify.numpy_model import turn

PLAIN = Rope("default", 1e4)


def official(theta: float) -> Rope:
    """The rotary settings all three official sizes share, but for theta."""
    return Rope("yarn", theta, 16.0, 16384, 32.0, 1.0, 1.0, 1.0, query_scale_beta=0.1)


def test_plain_frequencies_are_powers_of_theta() -> None:
    np.testing.assert_allclose(inverse_frequencies(PLAIN, 8), [1, 0.1, 0.01, 0.001], rtol=1e-12)


@pytest.mark.parametrize(("theta", "kept", "stretched"), [(1e6, 20, 37), (1e9, 13, 25)])
def test_yarn_keeps_fast_pairs_and_stretches_slow_ones(theta: float, kept: int, stretched: int) -> None:
    ratio = inverse_frequencies(official(theta), 128) / inverse_frequencies(Rope("default", theta), 128)
    assert np.flatnonzero(ratio == 1.0).max() == kept
    assert np.flatnonzero(np.isclose(ratio, 1 / 16, rtol=1e-12)).min() == stretched


def test_yarn_blends_linearly_between() -> None:
    ratio = inverse_frequencies(official(1e6), 128) / inverse_frequencies(Rope("default", 1e6), 128)
    share = (28 - 20) / (37 - 20)
    assert ratio[28] == pytest.approx(1 - share + share / 16, rel=1e-12)


def test_attention_factor_is_one_where_both_mscales_agree() -> None:
    assert attention_factor(official(1e6)) == 1.0


def test_attention_factor_without_mscales_is_yarns_own() -> None:
    assert attention_factor(Rope("yarn", 1e6, 16.0, 16384)) == pytest.approx(0.1 * math.log(16) + 1)


def test_attention_factor_of_the_file_wins() -> None:
    assert attention_factor(Rope("yarn", 1e6, 16.0, 16384, attention_factor=1.25)) == 1.25


def test_tables_duplicate_halves_and_negate_the_first_sine() -> None:
    cos, sin = cosines(PLAIN, 4, 3), sines(PLAIN, 4, 3)
    np.testing.assert_allclose(cos[2], [math.cos(2), math.cos(0.02)] * 2, rtol=1e-6)
    np.testing.assert_allclose(sin[2], [-math.sin(2), -math.sin(0.02), math.sin(2), math.sin(0.02)], rtol=1e-6)


def test_tables_are_accurate_at_far_positions() -> None:
    cos = cosines(PLAIN, 4, 9000)  # float32 angles would be off by 1e-4 here
    assert cos[8999, 0] == pytest.approx(math.cos(8999), abs=6e-8)


def test_query_scale_steps_at_multiples_of_the_original_length() -> None:
    scale = query_scale(Rope("yarn", 1e6, original_length=16, query_scale_beta=0.1), 33)
    assert scale is not None
    expected = [1.0] * 16 + [1 + 0.1 * math.log(2)] * 16 + [1 + 0.1 * math.log(3)]
    np.testing.assert_allclose(scale, expected, rtol=1e-7)


@pytest.mark.parametrize(("beta", "length"), [(0.0, 100), (0.1, 16)])
def test_query_scale_is_left_out_where_it_is_one(beta: float, length: int) -> None:
    assert query_scale(Rope("yarn", 1e6, original_length=16, query_scale_beta=beta), length) is None


def test_divisors_divide_the_plain_frequencies() -> None:
    divided = Rope("default", 1e4, divisors=(1.0, 2.0, 4.0, 8.0))
    np.testing.assert_allclose(inverse_frequencies(divided, 8), [1, 0.05, 0.0025, 0.000125], rtol=1e-12)
    positions = np.arange(5)
    x = np.random.default_rng(0).standard_normal((5, 1, 8)).astype(np.float32)
    cos, sin = cosines(divided, 8, 5), sines(divided, 8, 5)
    ours = x[:, 0] * cos + np.roll(x[:, 0], 4, axis=-1) * sin
    np.testing.assert_allclose(turn(x, positions, divided)[:, 0], ours, atol=1e-6)
