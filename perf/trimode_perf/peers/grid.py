"""One pass of each engine by the number of tokens in it: ours and the peers that can time one, in turn.

The driver waits before each pass until the threads of the engine before it sleep. Every ratio pairs passes of one round
and size. Weights are never in the caches: another engine's pass lies between.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from trimode.bundle.manifest import Manifest
from trimode.config import ServerConfig
from trimode.engines.base import Row
from trimode.engines.onnx.engine import OnnxRuntimeEngine

from ..common.claims import Claim
from ..common.markdown import table
from ..common.progress import Pace
from ..common.statistics import Spread, ratios
from .table import OURS, OURS_INT4, OURS_INT8, equal_width
from .workers import Workers

SIZES = (1, 2, 4, 8, 16, 32)
CONTEXT = 128
MIN_ROUNDS = 5
PAUSE = 0.005
"""Seconds before each pass: threads of OpenMP and of ONNX Runtime spin for a while when their work is done."""
MOST = {1: 1.15, 8: 0.9, 32: 0.6}
"""Most that our pass of so many tokens may take against llama.cpp's of equal width."""
HELD = {"llama.cpp F32": OURS, "llama.cpp Q8_0": OURS_INT8, "llama.cpp Q4_0": OURS_INT4}
"""The peers that MOST is held to, and ours of the same width."""


def measure(
    bundles: Mapping[str, Path], workers: Workers, config: ServerConfig, pace: Pace, sizes: Sequence[int] = SIZES
) -> dict[str, Any]:
    """Return milliseconds of a pass behind CONTEXT tokens by engine and size; `bundles` are ours by name.

    Passes are bidirectional, as those over a block are; causal where the checkpoint was not trained to denoise.
    """
    causal = not Manifest.load(next(iter(bundles.values()))).denoises
    with ExitStack() as stack:
        calls = {name: _ours(stack, bundle, config, causal) for name, bundle in bundles.items()}
        taken: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
        points = [(name, size) for name in (*calls, *workers.timing) for size in sizes]
        rounds = 0
        for rounds, (name, size) in pace.shuffled(points, MIN_ROUNDS):
            time.sleep(PAUSE)
            seconds = calls[name](size) if name in calls else _theirs(workers, name, size, causal)
            if rounds > 0 and seconds is not None:
                taken[name, size].append(1000 * seconds)
    rows = [
        {"engine": name, "tokens": size, "milliseconds": asdict(Spread.of(own)), **_against(name, size, taken)}
        for (name, size), own in sorted(taken.items(), key=lambda item: points.index(item[0]))
        if name not in workers.failures
    ]
    return {"context": CONTEXT, "causal": causal, "rounds": rounds, "sizes": list(sizes), "rows": rows}


def _ours(stack: ExitStack, bundle: Path, config: ServerConfig, causal: bool) -> Callable[[int], float]:
    """Open an engine of its own; return what times a pass."""
    engine = OnnxRuntimeEngine.open(bundle.resolve(), threads=config.threads, spin=config.spin, max_slots=1)
    stack.callback(engine.close)
    slot = engine.allocate(block=not causal)
    before, none = np.zeros(CONTEXT, dtype=np.int64), np.zeros(0, dtype=np.int64)
    engine.run([Row(slot, before, 0, "causal", none, keep=True)])

    def one_pass(size: int) -> float:
        tokens = np.arange(size, dtype=np.int64)
        row = Row(slot, tokens, CONTEXT, "causal" if causal else "block", tokens, keep=False)
        began = time.perf_counter()
        engine.run([row])
        return time.perf_counter() - began

    return one_pass


def _theirs(workers: Workers, name: str, size: int, causal: bool) -> float | None:
    asked = {"tokens": size, "context": CONTEXT, "causal": causal}
    answer = workers.ask(name, asked, f"a pass of {size} tokens")
    return None if answer is None else answer["seconds"]


def _against(name: str, size: int, taken: Mapping[tuple[str, int], list[float]]) -> dict[str, Any]:
    ours = taken.get((equal_width(name), size))
    if name.startswith(OURS) or ours is None or len(ours) != len(taken[name, size]):
        return {}
    return {"ours_over_it": asdict(ratios(ours, taken[name, size]))}


def text(grid: Mapping[str, Any]) -> str:
    """Return the table: a line an engine, a column a size."""
    cells: defaultdict[str, dict[int, str]] = defaultdict(dict)
    for row in grid["rows"]:
        against = f", {row['ours_over_it']['median']:.2f}" if "ours_over_it" in row else ""
        cells[row["engine"]][row["tokens"]] = f"{row['milliseconds']['median']:.2f}{against}"
    sizes = grid.get("sizes", SIZES)
    rows = [[name, *(own.get(size, "") for size in sizes)] for name, own in cells.items()]
    direction = "causal" if grid["causal"] else "bidirectional"
    behind, rounds = grid["context"], grid["rounds"]
    return f"""Milliseconds of one {direction} pass behind {behind} tokens, with logits of each, by the number of
tokens; after the comma, how many times as long ours of equal width takes. Medians of {rounds} rounds, engines in turn,
so that no weights are in the caches.

{table(("engine", *(f"{size}" for size in sizes)), rows)}"""


def claims(grid: Mapping[str, Any]) -> list[Claim]:
    """Return how much our pass may take against llama.cpp's of equal width.

    In records from before ours had four bits, llama.cpp's Q4_0 stands against int8: of that nothing is claimed.
    """
    made, engines = [], {row["engine"] for row in grid["rows"]}
    held = {name for name, ours in HELD.items() if ours != OURS_INT4 or ours in engines}
    for row in grid["rows"]:
        most = MOST.get(row["tokens"])
        if row["engine"] in held and most is not None and "ours_over_it" in row:
            times = row["ours_over_it"]["median"]
            tokens = "one token" if row["tokens"] == 1 else f"{row['tokens']} tokens"
            said = f"a pass over {tokens} takes {HELD[row['engine']]} {times:.2f} times {row['engine']}'s"
            made.append(Claim(f"{said}, {most:g} at most", times <= most))
    return made
