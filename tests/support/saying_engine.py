"""A toy engine that says a given text."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
from trimode.engines.base import Row, RowResult

from tests.support.arrays import Array
from tests.support.toy import EOS, ToyEngine, byte_tokenizer

WAIT = 5.0
TOKENIZER = byte_tokenizer()
PROMPT = [3, 4]
SAID = "één 🙂 stop"


class SayingEngine(ToyEngine):
    """Says `text` after a prompt of two tokens, then the end token; runs only while its gate is open."""

    def __init__(self, text: str = SAID, hit: float = 0.7) -> None:
        super().__init__(hit=hit, peak=30.0)
        self.script = [*TOKENIZER.encode(text), EOS]
        self.gate = threading.Event()
        self.gate.set()

    def causal_logits(self, before: Sequence[int]) -> Array:
        logits = np.zeros(self.manifest.vocab_size, dtype=np.float32)
        at = len(before) - len(PROMPT)
        logits[self.script[at] if 0 <= at < len(self.script) else EOS] = 9
        return logits

    def run(self, rows: Sequence[Row]) -> list[RowResult]:
        assert self.gate.wait(WAIT)
        return super().run(rows)
