"""Choices that a device made up: drafts are right as often as they should be, and what it takes is counted once."""

from __future__ import annotations

import numpy as np
import pytest
from trimode_convert.tensorrt.profiles import Shapes
from trimode_perf.speed.speculation.null_choices import MASK, RIGHT, NullChoices, manifest_of


def test_the_next_token_is_chosen_as_often_as_published() -> None:
    invented, ids = NullChoices(), np.tile(np.arange(8, dtype=np.int64), (2000, 1))
    ids[:, 5] = MASK
    rows = np.tile(np.arange(8, dtype=np.int64), (2000, 1))
    top_id, top_prob = np.zeros_like(ids), np.zeros(ids.shape, dtype=np.float32)
    invented.write(ids, rows, top_id, top_prob)
    share = (top_id[:, :-1] == ids[:, 1:]).mean(axis=0)
    assert share[[0, 1, 2, 3, 5, 6]] == pytest.approx([RIGHT] * 6, abs=0.04)
    assert share[4] == 0, "a mask is never chosen"
    assert (top_prob > 0.9).mean() == pytest.approx(0.26, abs=0.03)


def test_what_stands_in_is_counted_once_however_deep_it_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([1.0, 4.0])
    monkeypatch.setattr("trimode_perf.speed.speculation.null_choices.time.thread_time", lambda: next(clock))
    invented = NullChoices()
    with invented.apart(), invented.apart():
        assert invented.seconds == 0
    assert invented.seconds == 3


@pytest.mark.parametrize(("runtime", "compiled"), [("tensorrt", True), ("torch", False)])
def test_a_manifest_is_of_its_runtime(runtime: str, compiled: bool) -> None:
    made = manifest_of(runtime, Shapes(batch=2, block=32, chunk=512, capacity=300), 1, 101_000)
    assert (made.runtime, made.compiled is not None) == (runtime, compiled)
    assert made.buckets[-1] == made.capacity == 300
