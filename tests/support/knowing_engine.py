"""A toy engine that knows one text, and waits at a gate."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np
from trimode.engines.base import Row, RowResult

from tests.support.arrays import Array
from tests.support.toy import EOS, ToyEngine, byte_tokenizer

WAIT = 5.0
TOKENIZER = byte_tokenizer()


class KnowingEngine(ToyEngine):
    """Knows one text by heart: what comes at a position is that text's; runs only while its gate is open."""

    def __init__(self, text: str) -> None:
        super().__init__(hit=1.0, peak=30.0)
        self.script = [*TOKENIZER.encode(text), EOS]
        self.before: Callable[[Sequence[Row]], None] = lambda rows: None
        self.gate = threading.Event()
        self.gate.set()

    def causal_logits(self, before: Sequence[int]) -> Array:
        logits = np.zeros(self.manifest.vocab_size, dtype=np.float32)
        logits[self.script[min(len(before), len(self.script) - 1)]] = 9
        return logits

    def run(self, rows: Sequence[Row]) -> list[RowResult]:
        assert self.gate.wait(WAIT)
        self.before(rows)
        return super().run(rows)
