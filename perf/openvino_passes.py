"""Whether OpenVINO would be worth a second CPU engine: the bundle's own graph through both, passes interleaved.

Needs an interpreter with openvino (`make perf` takes the peers'); prints JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from cost import CONTEXT, ROUNDS, SIZES, WARM_UP
from stats import Spread, ratios
from trimode.bundle.manifest import GRAPH, Manifest
from trimode.config import ServerConfig
from trimode.engines.base import Row
from trimode.engines.onnx.engine import OnnxRuntimeEngine

PROJECT = Path(__file__).resolve().parents[1]
OURS = "onnxruntime float32"
HINTS = {"openvino float32": "f32", "openvino bfloat16": "bf16"}
Pass = Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]


def measure(bundle: Path, threads: int, spin: bool) -> dict[str, Any]:
    """Return milliseconds of a bidirectional pass behind CONTEXT tokens by engine and length, and OpenVINO's gain."""
    engines = {OURS: ours(bundle, threads, spin), **{name: theirs(bundle, threads, h) for name, h in HINTS.items()}}
    taken: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    shuffle, order = random.Random(0).shuffle, [(name, size) for name in engines for size in SIZES]
    for _ in range(WARM_UP + ROUNDS):
        shuffle(order)
        for name, size in order:
            tokens = np.arange(size, dtype=np.int64)
            began = time.perf_counter()
            engines[name](tokens)
            taken[name, size].append(1000 * (time.perf_counter() - began))
    probe = np.arange(SIZES[-1], dtype=np.int64)
    logits = {name: run(probe) for name, run in engines.items()}
    rows = []
    for name, size in sorted(taken):
        kept, base = taken[name, size][WARM_UP:], taken[OURS, size][WARM_UP:]
        rows.append({"engine": name, "tokens": size, "milliseconds": asdict(Spread.of(kept)),
                     "times_as_fast": asdict(ratios(base, kept))})  # fmt: skip
    same = {n: float((found.argmax(-1) == logits[OURS].argmax(-1)).mean()) for n, found in logits.items()}
    return {
        "openvino": openvino.__version__,
        "context": CONTEXT,
        "rounds": ROUNDS,
        "rows": rows,
        "same_best_token": same,
    }


def ours(bundle: Path, threads: int, spin: bool) -> Pass:
    """Return a function that runs a pass over (S,) tokens and gives (S, vocab) logits."""
    engine = OnnxRuntimeEngine.open(bundle, threads=threads, spin=spin, max_slots=1)
    slot = engine.allocate(block=True)
    prompt = np.zeros(CONTEXT, dtype=np.int64)
    engine.run([Row(slot, prompt, 0, "causal", np.zeros(0, dtype=np.int64), keep=True)])
    return lambda ids: engine.run([Row(slot, ids, CONTEXT, "block", np.arange(len(ids)), keep=False)])[0].logits


def theirs(bundle: Path, threads: int, precision: str) -> Pass:
    """Return the same of OpenVINO, over keys and values that its own causal pass made."""
    manifest, core = Manifest.load(bundle), openvino.Core()
    hints = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    compiled = core.compile_model(str(bundle / GRAPH), "CPU", hints)
    request = compiled.create_infer_request()
    length = min(size for size in manifest.buckets if size >= CONTEXT + SIZES[-1])
    shape = (1, manifest.num_kv_heads, length, manifest.head_dim)
    names = [f"{kind}.{layer}" for layer in range(manifest.num_layers) for kind in ("key", "value")]
    past = {name: np.zeros(shape, np.float32) for name in names}

    def run(ids: np.ndarray[Any, Any], start: int, sees: np.ndarray[Any, Any]) -> Any:
        feeds = {
            "input_ids": ids[None],
            "position_ids": np.arange(start, start + len(ids))[None],
            "logit_rows": np.arange(len(ids))[None],
            "past_len": np.array([start]),
            "block_mask": sees[None],
            **({"lora_scale": np.zeros(1, np.float32)} if manifest.adapter else {}),
            **{f"past_{name}": array for name, array in past.items()},
        }
        request.infer(feeds, share_inputs=True)
        return request

    made = run(np.zeros(CONTEXT, dtype=np.int64), 0, np.tri(CONTEXT, dtype=bool))
    kept = {name: np.array(made.get_tensor(f"new_{name}").data) for name in names}
    for name, array in kept.items():
        past[name][:, :, :CONTEXT] = array
    return lambda ids: np.array(
        run(ids, CONTEXT, np.ones((len(ids), len(ids)), dtype=bool)).get_tensor("logits").data[0]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was measured as JSON."""
    made = argparse.ArgumentParser(prog="openvino_passes.py", description=__doc__)
    made.add_argument("--bundle", type=Path, required=True, metavar="DIR")
    options = made.parse_args(arguments)
    config = ServerConfig.load(PROJECT / "model_repository/nemotron_diffusion/model.yaml")
    print(json.dumps(measure(options.bundle, config.threads, config.spin)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
