"""Passes of a model of 1.03 G parameters against llama.cpp's at equal width; `make peers` ends with it.

The shape is 8 layers of the released 3B with a small vocabulary. The weights are random: a pass takes as long, and its
answer means nothing. They are made for the run and deleted after it.
"""

from __future__ import annotations

import argparse
import math
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trimode.config import ServerConfig
from trimode.errors import TrimodeError

from ..common import MODEL_YAML, RESULTS
from ..common.claims import Claim
from ..common.claims import text as text_of
from ..common.progress import MeasureError, Pace, progress, run
from ..common.published import CONFIGS, tensors
from ..common.random_weights import write_checkpoint
from ..common.results import about, describe_machine, save
from . import grid
from .table import OURS_INT4, OURS_INT8
from .workers import Workers, commands, cores

SHAPE: dict[str, Any] = {
    **CONFIGS["3b"],
    **{"num_hidden_layers": 8, "vocab_size": 16384, "max_position_embeddings": 16384},
}
"""1.03 G parameters; no more positions than llama.cpp's architecture llama has without scaled queries."""
OURS = {"int8": OURS_INT8, "int4": OURS_INT4}
PEERS = ("llama.cpp Q8_0", "llama.cpp Q4_0")
OUT = RESULTS / "peers_large.json"
COMMAND = "make peers"
SIZES = (1, 8, 32)
CAPACITY = 512
SECONDS = 60.0
"""What passes are timed for; making the weights takes minutes more."""
START_SECONDS = 600.0
"""What a worker may take to write its own file of weights and to load it."""
DISK_BYTES = 6
"""Bytes of disk a parameter: 2 of bfloat16, then 8 and 4 bits of ours and of llama.cpp, with room."""
MEMORY_GB = 6.0
"""What both of our engines and both workers hold together at that shape, with what writing a file takes."""


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(
        prog="python -m trimode_perf peers-large",
        description=f"{__doc__} It needs {DISK_BYTES * parameters(SHAPE) / 1e9:.0f} GB of disk and some {MEMORY_GB:g} "
        "GB of memory.",
    )
    made.add_argument("--peers-python", type=Path, required=True, metavar="FILE", help="one that has llama.cpp")
    made.add_argument("--seconds", type=float, default=SECONDS, metavar="S", help="passes are timed for [%(default)g]")
    made.add_argument("--out", type=Path, nargs="?", const=OUT, metavar="FILE", help=f"write JSON [{OUT.name}]")
    made.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()), metavar="DIR", help="[%(default)s]")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Time the passes; print the table and what must hold; return 1 where a peer failed."""
    given = parser().parse_args(arguments)

    def work() -> int:
        config = ServerConfig.load(MODEL_YAML)
        with progress(text="a model of 1.03 G parameters") as bar:
            found = measure(SHAPE, given.peers_python, given.scratch, config, Pace(given.seconds, bar.at), bar.at)
        print(text(found), text_of(claims(found)), sep="\n\n")
        if given.out is not None:
            save(given.out, {**about(COMMAND, describe_machine(config)), **found})
        return int(bool(found["failures"]))

    return run("peers-large", work, TrimodeError)


def claims(found: Mapping[str, Any]) -> list[Claim]:
    """Return how much our passes may take against llama.cpp's of equal width."""
    return [Claim(f"at {_shape(found)}, {one.text}", one.holds) for one in grid.claims(found)]


def parameters(shape: dict[str, Any]) -> int:
    """Return how many parameters a checkpoint of this shape has."""
    return sum(math.prod(one) for one in tensors(shape).values())


def measure(
    shape: dict[str, Any],
    python: Path,
    scratch: Path,
    config: ServerConfig,
    pace: Pace,
    at: Callable[[float, str], None] = lambda done, text: None,
) -> dict[str, Any]:
    """Return what `grid.measure` finds of SIZES, and `failures` and `parameters`; nothing stays in `scratch`.

    Raises:
        MeasureError: `scratch` has too little room, or the converter failed.
    """
    count = parameters(shape)
    needed, free = DISK_BYTES * count, shutil.disk_usage(scratch).free
    if needed > free:
        raise MeasureError(f"{scratch} needs {needed / 1e9:.1f} GB free, there are {free / 1e9:.1f}; try --scratch")
    with tempfile.TemporaryDirectory(prefix="trimode-peers-large-", dir=scratch) as folder:
        checkpoint = Path(folder) / "checkpoint"
        at(0.0, "writing random weights")
        write_checkpoint(checkpoint, shape)
        bundles = {}
        for precision, name in OURS.items():
            at(0.0, f"converting to {precision}")
            bundles[name] = _bundle(checkpoint, precision, Path(folder) / precision)
        at(0.0, "llama.cpp's files")
        every = commands(python, checkpoint, cores(config.threads))
        own = {name: ["env", f"TMPDIR={folder}", *every[name]] for name in PEERS}  # their files lie there too
        with Workers(own, start_seconds=START_SECONDS) as workers:
            at(0.0, "passes in turn")
            found = grid.measure(bundles, workers, config, pace, SIZES)
            return {**found, "failures": dict(workers.failures), "parameters": count}


def _bundle(checkpoint: Path, precision: str, out: Path) -> Path:
    command = [sys.executable, "-m", "trimode_convert", str(checkpoint), "--out", str(out)]
    done = subprocess.run(
        [*command, "--precision", precision, "--capacity", str(CAPACITY)], capture_output=True, text=True
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise MeasureError(f"the converter to {precision} ended with status {done.returncode}: {said[-1:]}")
    return out


def _shape(found: Mapping[str, Any]) -> str:
    return f"{found['parameters'] / 1e9:.2f} G parameters"


def text(found: Mapping[str, Any]) -> str:
    """Return the table under its shape, and why a peer has no line."""
    failed = "".join(f"\n\n{name} failed: {error}" for name, error in sorted(found["failures"].items()))
    return f"{_shape(found)}, random weights.\n\n{grid.text(found)}{failed}"
