"""The TensorRT engine over no device runs, and its choices are those that were made up."""

from __future__ import annotations

import numpy as np
from trimode.engines.base import Row
from trimode_convert.tensorrt.profiles import Shapes
from trimode_perf.speed.speculation import null_tensorrt
from trimode_perf.speed.speculation.null_choices import RIGHT, manifest_of

SHAPES = Shapes(batch=2, block=32, chunk=512, capacity=512, quadratic=0)


def test_choices_follow_the_tokens_and_their_time_is_counted() -> None:
    engine, invented = null_tensorrt.opened(manifest_of("tensorrt", SHAPES, 1, 101_000), 2)
    slot, right = engine.allocate(block=True), []
    for _ in range(20):
        (result,) = engine.run([Row(slot, np.arange(2000, 2032), 0, "causal", np.arange(32), keep=True)])
        right += (result.top_id[:-1] == np.arange(2001, 2032)).tolist()
    assert abs(np.mean(right) - RIGHT) < 0.1
    assert engine.calls == 20 and invented.seconds > 0
