"""`make conversion`: the converter's memory and time on a checkpoint of a released size. Takes some minutes.

Writes random bfloat16 weights of the real shapes as one file, converts them in a process of its own, deletes both. What
a build would need beyond the export is the planner's estimate. Nothing here says how well a model answers.
"""

from __future__ import annotations

import argparse
import math
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from trimode_convert.checkpoint.config import ModelConfig
from trimode_convert.tensorrt.footprint import build_cost

from .common import RESULTS
from .common.progress import MeasureError, progress, run
from .common.published import CONFIGS, tensors
from .common.random_weights import write_checkpoint
from .common.results import about, machine, save

KEPT = RESULTS / "conversion.json"
LIMIT = 4 << 30  # bytes of memory: what a conversion on a 24 GiB machine may take at most
SPARE = 2 << 30  # bytes of disk that are left alone
# VmHWM is the process's own; getrusage would count what its parent held before it.
CHILD = """
import sys
from trimode_convert.cli import main
from trimode_convert.progress import peak_memory
code = main(sys.argv[1:])
print("peak", peak_memory())
sys.exit(code)
"""
RUNS = {
    "tensorrt bfloat16": ["--target", "tensorrt", "--precision", "bfloat16", "--graph-only"],
    "onnxruntime int8": ["--target", "onnxruntime", "--precision", "int8"],
}


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="python -m trimode_perf conversion", description=__doc__)
    made.add_argument("--size", choices=sorted(CONFIGS), default="3b", help="[%(default)s]")
    made.add_argument("--layers", type=int, metavar="N", help="fewer than the model's, where the disk is small")
    made.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()), metavar="DIR", help="[%(default)s]")
    made.add_argument("--out", type=Path, default=KEPT, metavar="FILE", help="[perf/results/conversion.json]")
    return made


def convert(checkpoint: Path, out: Path, options: list[str]) -> dict[str, Any]:
    """Convert in a child process; return its largest resident size, its seconds and the bytes of the bundle."""
    command = [sys.executable, "-c", CHILD, str(checkpoint), "--out", str(out), *options]
    began = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise MeasureError(f"the converter ended with status {done.returncode}")
    return {
        "command": " ".join(["python -m trimode_convert CHECKPOINT --out BUNDLE", *options]),
        "peak_memory_bytes": int(done.stdout.rpartition("peak")[2]),
        "seconds": round(time.monotonic() - began, 1),
        "bundle_bytes": sum(file.stat().st_size for file in out.iterdir()),
    }


def main(arguments: list[str] | None = None) -> int:
    """Measure; return 0, 1 where a peak is over LIMIT or a run failed, or 130 when interrupted."""
    options = parser().parse_args(arguments)
    return run("conversion", lambda: measure(options))


def measure(options: argparse.Namespace) -> int:
    """Write a checkpoint, convert it every way and write what that took; return the status."""
    config = dict(CONFIGS[options.size])
    if options.layers is not None:
        config["num_hidden_layers"] = options.layers
    values = sum(math.prod(shape) for shape in tensors(config).values())
    needed, free = 4 * values + SPARE, shutil.disk_usage(options.scratch).free
    if needed > free:
        raise MeasureError(
            f"{options.scratch} needs {needed / 1e9:.1f} GB free, there are {free / 1e9:.1f}; try --layers"
        )
    runs = {}
    with tempfile.TemporaryDirectory(prefix="trimode-conversion-", dir=options.scratch) as scratch:
        checkpoint, bundle = Path(scratch) / "checkpoint", Path(scratch) / "bundle"
        size = write_checkpoint(checkpoint, config)
        with progress(len(RUNS), "converting") as bar:
            for name, wanted in RUNS.items():
                runs[name] = convert(checkpoint, bundle, wanted)
                shutil.rmtree(bundle)
                bar.step(name)
        cost, model = build_cost(size, 2 * values, "bfloat16"), ModelConfig.load(checkpoint)
    found = {
        **about(f"python -m trimode_perf conversion --size {options.size}"),
        **machine(),
        "size": options.size,
        "weights": "random",
        "layers": model.num_layers,
        "parameters": values,
        "checkpoint_bytes": size,
        "limit_bytes": LIMIT,
        "runs": runs,
        "estimated_not_run": {
            "what": "compiling the bfloat16 graph with TensorRT, by trimode_convert.tensorrt.footprint",
            "memory_bytes": cost.memory,
            "disk_bytes": cost.disk,
            "seconds": round(cost.seconds),
        },
    }
    save(options.out, found, indent=2)
    for name, one in runs.items():
        print(f"{name}: peak {one['peak_memory_bytes'] / 2**20:.0f} MiB, {one['seconds']} s, wrote {options.out}")
    return int(any(one["peak_memory_bytes"] > LIMIT for one in runs.values()))
