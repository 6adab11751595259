"""The first pass of an engine, before it serves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from trimode.engines.registry import warm_up
from trimode.errors import EngineError

from tests.support.arrays import Array
from tests.support.toy import ToyEngine


def test_warm_up_runs_once_and_gives_its_slot_back() -> None:
    engine = ToyEngine()
    warm_up(engine)
    assert (engine.calls, engine._slots) == (1, {})


def test_warm_up_notices_logits_that_are_not_finite() -> None:
    class Broken(ToyEngine):
        def causal_logits(self, before: Sequence[int]) -> Array:
            return np.full(self.manifest.vocab_size, np.nan, dtype=np.float32)

    engine = Broken()
    with pytest.raises(EngineError, match="not finite"):
        warm_up(engine)
    assert engine._slots == {}
