"""What one engine pass costs against the number of tokens in it: what a block must win to be worth its passes."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from trimode.config import ServerConfig
from trimode.engines.base import Row
from trimode.engines.onnx.engine import OnnxRuntimeEngine

from ..common.statistics import Spread, ratios

SIZES = (1, 2, 4, 8, 16, 32, 64)
CONTEXT = 128
ROUNDS = 40
WARM_UP = 5


def pass_cost(bundle: Path, config: ServerConfig) -> dict[str, Any]:
    """Return milliseconds of a bidirectional pass by its length, behind CONTEXT tokens, and ratios to one token."""
    engine = OnnxRuntimeEngine.open(bundle, threads=config.threads, spin=config.spin, max_slots=1)
    slot = engine.allocate(block=True)
    prompt = np.zeros(CONTEXT, dtype=np.int64)
    engine.run([Row(slot, prompt, 0, "causal", np.zeros(0, dtype=np.int64), keep=True)])
    taken: defaultdict[int, list[float]] = defaultdict(list)
    order, shuffle = list(SIZES), random.Random(0).shuffle
    for _ in range(WARM_UP + ROUNDS):
        shuffle(order)
        for size in order:
            tokens = np.arange(size, dtype=np.int64)
            began = time.perf_counter()
            engine.run([Row(slot, tokens, CONTEXT, "block", tokens, keep=False)])
            taken[size].append(1000 * (time.perf_counter() - began))
    kept = {size: values[WARM_UP:] for size, values in taken.items()}
    rows = [
        {
            "tokens": size,
            "milliseconds": asdict(Spread.of(kept[size])),
            "times_one": asdict(ratios(kept[size], kept[1])),
        }
        for size in SIZES
    ]
    return {"context": CONTEXT, "rounds": ROUNDS, "rows": rows}
