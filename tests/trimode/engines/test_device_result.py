"""A result whose logits stay on a device: what is known without them, and that they are fetched once."""

from __future__ import annotations

import numpy as np
from trimode.engines.base import Floats
from trimode.engines.device_result import DeviceResult

MASK = 3


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
