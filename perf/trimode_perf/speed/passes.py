"""What one engine pass costs against the number of tokens in it: what a block must win to be worth its passes."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from dataclasses import asdict

import numpy as np
from trimode.engines.base import Row
from trimode.engines.onnx.engine import OnnxRuntimeEngine

from ..common.markdown import spread, table
from ..common.statistics import Spread, ratios
from . import Context, Data, Found, Part

SIZES = (1, 2, 4, 8, 16, 32, 64)
CONTEXT = 128
ROUNDS = 40
WARM_UP = 5
BLOCKS, ENGINE_GAIN = (8, 16, 32), 1.5
"""Where a second CPU engine has to be so many times as fast."""


def measure(context: Context) -> dict[str, Data]:
    """Return milliseconds of a bidirectional pass by its length, after CONTEXT tokens, and ratios to one token."""
    config, bundle = context.config, context.options.bundle.resolve()
    engine = OnnxRuntimeEngine.open(bundle, threads=config.threads, spin=config.spin, max_slots=1)
    slot = engine.allocate(block=True)
    prompt = np.zeros(CONTEXT, dtype=np.int64)
    engine.run([Row(slot, prompt, 0, "causal", np.zeros(0, dtype=np.int64), keep=True)])
    taken: defaultdict[int, list[float]] = defaultdict(list)
    order, shuffle = list(SIZES), random.Random(0).shuffle
    for number in range(1 - WARM_UP, ROUNDS + 1):
        shuffle(order)
        for size in order:
            tokens = np.arange(size, dtype=np.int64)
            began = time.perf_counter()
            engine.run([Row(slot, tokens, CONTEXT, "block", tokens, keep=False)])
            if number > 0:
                taken[size].append(1000 * (time.perf_counter() - began))
        context.progress((WARM_UP + number) / (WARM_UP + ROUNDS))
    spreads = {size: (asdict(Spread.of(taken[size])), asdict(ratios(taken[size], taken[1]))) for size in SIZES}
    rows = [{"tokens": size, "milliseconds": own, "times_one": against} for size, (own, against) in spreads.items()]
    return {"cost": {"context": CONTEXT, "rounds": ROUNDS, "rows": rows}}


def section(found: Found) -> str:
    """Return the cost of a pass by its length."""
    cost = found["cost"]
    rows = [[str(row["tokens"]), spread(row["milliseconds"]), spread(row["times_one"])] for row in cost["rows"]]
    return f"""## What a pass costs

One bidirectional pass of the engine behind {cost["context"]} tokens, {cost["rounds"]} rounds in shuffled order. A block
pays when the tokens it gives per forward exceed what its forwards cost in passes over one token.

{table(("tokens in the pass", "milliseconds", "times a pass over one token"), rows)}
"""


def openvino_section(found: Found) -> str:
    """Return what another CPU engine took for the same passes; it is no longer measured."""
    openvino, names = found["openvino"], ("milliseconds", "times_as_fast")
    rows = [[row["engine"], row["tokens"], *(spread(row[name]) for name in names)] for row in openvino["rows"]]
    block = [row for row in openvino["rows"] if row["tokens"] in BLOCKS and row["engine"].startswith("openvino")]
    best = max(block, key=lambda row: row["times_as_fast"]["median"])
    gain = best["times_as_fast"]["median"]
    same = ", ".join(f"{name} {share:.0%}" for name, share in openvino["same_best_token"].items())
    verdict = "would be worth" if gain >= ENGINE_GAIN else "is not worth"
    return f"""## OpenVINO as a second CPU engine

The bundle's own graph in OpenVINO {openvino["openvino"]}, behind {openvino["context"]} tokens, {openvino["rounds"]} rounds in shuffled order, against the
engine that serves. A second engine has to take a pass over a block of 8 to 32 at least {ENGINE_GAIN:g} times as fast: the best is {gain:.2f}
({best["engine"]}, {best["tokens"]} tokens), so for this checkpoint on this machine it {verdict} its upkeep. Same best token at every
place of one pass: {same}.

{table(("engine", "tokens in the pass", "milliseconds", "times as fast as ours"), rows)}
"""  # noqa: E501


PART = Part("passes", "cost of a pass", ("cost",), 10, measure, section, fixed=True)
OPENVINO = Part("openvino", "cost of a pass in OpenVINO", ("openvino",), section=openvino_section)
