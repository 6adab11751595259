"""Devices of given costs, and requests that auto decodes on them."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from trimode.api.answer import Chunk
from trimode.api.defaults import Defaults
from trimode.auto.cost_curve import ROWS, TOKENS, CostCurve
from trimode.runtime import Runtime

from tests.support.toy import EOS, ToyEngine, byte_tokenizer, toy_config

DEFAULTS = Defaults(ToyEngine().manifest.vocab_size, 8, EOS)


class Fixed(CostCurve):
    """A curve that does not follow what the toy engine takes."""

    def due(self) -> bool:
        return False


FLAT = Fixed(np.full((len(ROWS), len(TOKENS)), 0.001), 64)
"""A device on which every call costs the same, as a GPU's while it waits for memory."""
PER_TOKEN = Fixed(np.array([[0.001 * b * s for s in TOKENS] for b in ROWS]), 64)
"""A device on which every token costs the same: drafting never pays."""
THIRTY_TWO_AT_ONCE = Fixed(np.array([[0.001 * max(1, b * s / 32) for s in TOKENS] for b in ROWS]), 64)
"""A device that does 32 tokens at once."""


def asked(**given: Any) -> dict[str, Any]:
    return {"input_ids": [3 + at % 40 for at in range(20)], "max_tokens": 60, "end_id": -1, "seed": 1, **given}


def answers(curve: CostCurve, engine: ToyEngine, *requests: dict[str, Any], **config: int) -> list[Chunk]:
    """Return the answers of requests asked one after another."""
    runtime = Runtime(engine, byte_tokenizer(), toy_config(**config), curve=curve)
    try:
        return [runtime.generate(request) for request in requests]
    finally:
        runtime.close()


def at_once(curve: CostCurve, engine: ToyEngine, requests: list[dict[str, Any]]) -> list[Chunk]:
    runtime = Runtime(engine, byte_tokenizer(), toy_config(), curve=curve)
    found: dict[int, Chunk] = {}
    done = threading.Semaphore(0)
    try:
        for number, request in enumerate(requests):

            def sink(chunk: Chunk, number: int = number) -> None:
                found[number] = chunk
                done.release()

            runtime.submit(request, sink)
        for _ in requests:
            assert done.acquire(timeout=30)
    finally:
        runtime.close()
    return [found[number] for number in range(len(requests))]
