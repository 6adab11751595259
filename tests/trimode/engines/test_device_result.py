"""A result whose logits stay on a device: what is known without them, and that they are fetched once."""

from __future__ import annotations

import numpy as np
import pytest
from trimode.engines.base import Floats, Ints
from trimode.engines.device_result import DeviceResult, Softmax
from trimode.engines.log_probs import log_norms, log_probs_of

MASK = 3
LOGITS = np.array([[0, 1, 2, 3], [7, 9, 8, 6]], dtype=np.float32)
TOP = np.array([2, 1])


class Told:
    """Notes what is copied from the device, whose logits are LOGITS."""

    def __init__(self) -> None:
        self.fetched, self.picked = 0, list[tuple[list[int], list[int]]]()

    def result(self, *, softmax: bool = True, probs: Floats | None = None) -> DeviceResult:
        norms = log_norms(LOGITS).astype(np.float32)
        known = np.exp(LOGITS[[0, 1], TOP] - norms) if probs is None else probs
        return DeviceResult(TOP, known, self.fetch, MASK, softmax=Softmax(norms, self.pick) if softmax else None)

    def fetch(self) -> Floats:
        self.fetched += 1
        return LOGITS

    def pick(self, rows: Ints, ids: Ints) -> Floats:
        self.picked.append((rows.tolist(), ids.tolist()))
        return np.asarray(LOGITS[rows, ids])


def made(probs: list[float]) -> tuple[DeviceResult, list[int]]:
    fetched: list[int] = []

    def fetch() -> Floats:
        fetched.append(1)
        return np.arange(8, dtype=np.float32).reshape(2, 4)

    return DeviceResult(np.array([2, 1]), np.array(probs, dtype=np.float32), fetch, MASK), fetched


def test_choices_and_finiteness_need_no_logits() -> None:
    result, fetched = made([0.5, 0.25])
    assert result.finite and result.best(1) == 1 and result.top_id.tolist() == [2, 1]
    assert result.top_prob.tolist() == [0.5, 0.25]
    assert not made([0.5, np.nan])[0].finite
    result.spoil()
    assert not result.finite and fetched == []


def test_logits_are_fetched_once() -> None:
    result, fetched = made([0.5, 0.25])
    assert result.logits is result.logits and result.raw is result.logits
    assert result.part(slice(1, 2)).logits.tolist() == [[4, 5, 6, 7]]
    assert fetched == [1]


def test_logits_that_were_set_aside_are_fetched_from_there() -> None:
    result, fetched = made([0.5, 0.25])
    result.fetch_with(lambda: np.ones((2, 4), dtype=np.float32))
    result.outlive()
    assert result.logits.sum() == 8 and fetched == []


@pytest.mark.parametrize("softmax", [True, False])
def test_the_log_probability_of_a_chosen_token_needs_no_logits(softmax: bool) -> None:
    device = Told()
    result, expected = device.result(softmax=softmax), log_probs_of(LOGITS, TOP)
    assert [result.log_prob_of(row, int(TOP[row])) for row in (0, 1)] == pytest.approx(expected)
    assert result.log_probs_of(TOP) == pytest.approx(expected)
    assert result.log_probs_of(TOP[1:], slice(1, 2)) == pytest.approx(expected[1:])
    assert result.prob_of(TOP) is result.top_prob
    assert device.fetched == 0 and device.picked == []


def test_that_of_another_token_needs_one_logit_a_row() -> None:
    device, ids = Told(), np.array([0, 3])
    result, expected = device.result(), log_probs_of(LOGITS, ids)
    assert result.log_probs_of(ids) == pytest.approx(expected)
    assert result.log_prob_of(1, 3) == pytest.approx(expected[1])
    assert result.part(slice(1, 2)).log_prob_of(0, 3) == pytest.approx(expected[1])
    assert result.log_probs_of(ids[1:], np.array([False, True])) == pytest.approx(expected[1:])
    assert device.picked == [([0, 1], [0, 3]), *[([1], [3])] * 3]
    assert device.fetched == 0


def test_without_a_softmax_on_the_device_other_tokens_take_all_logits() -> None:
    device, ids = Told(), np.array([0, 3])
    result = device.result(softmax=False)
    assert result.log_prob_of(0, 0) == pytest.approx(log_probs_of(LOGITS, ids)[0])
    assert device.fetched == 1


def test_logits_that_are_here_are_read() -> None:
    device, ids = Told(), np.array([0, 3])
    result = device.result()
    assert result.logits is LOGITS
    assert result.log_probs_of(ids) == pytest.approx(log_probs_of(LOGITS, ids))
    assert result.log_prob_of(0, 0) == pytest.approx(log_probs_of(LOGITS, ids)[0])
    assert result.prob_of(ids) == pytest.approx(np.exp(log_probs_of(LOGITS, ids)), rel=1e-6)
    assert device.picked == []


def test_a_probability_that_rounds_to_nothing_is_looked_up() -> None:
    device = Told()
    result = device.result(probs=np.array([0.0, 0.5], dtype=np.float32))
    assert result.log_prob_of(0, 2) == pytest.approx(log_probs_of(LOGITS, TOP)[0])
    assert device.picked == [([0], [2])]


def test_a_part_leaves_logits_where_they_are() -> None:
    device = Told()
    part = device.result().part(slice(1, None))
    assert part.top_id.tolist() == [1] and part.finite and part.best(0) == 1
    assert device.fetched == 0
    assert part.logits.tolist() == LOGITS[1:].tolist() and device.fetched == 1
