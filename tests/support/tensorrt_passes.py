"""Passes of an engine of the TensorRT tests: a token, and a block."""

from __future__ import annotations

from typing import Any

import numpy as np
from trimode.engines.base import Row, RowResult
from trimode.engines.tensorrt.engine import TensorRtEngine


def step(engine: TensorRtEngine, slot: int, start: int = 0, token: int = 5, **more: Any) -> RowResult:
    ids = np.array([token])
    return engine.run([Row(slot, ids, start, "causal", np.zeros(1, np.int64), keep=True, **more)])[0]


def block(engine: TensorRtEngine, slot: int, size: int = 8, start: int = 0, want: int = 8) -> RowResult:
    ids = np.full(size, 3)
    return engine.run([Row(slot, ids, start, "block", np.arange(want), keep=False)])[0]
