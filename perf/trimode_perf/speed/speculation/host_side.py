"""`python -m trimode_perf host-side`: processor time of scheduler and engine a pass, at 8B's shapes.

The device is none: passes cost nothing and give next to the ids that they were asked about, so that drafts are right as
often as the released model's. What the stand-in itself takes is subtracted. Figures count on a quiet machine alone.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from trimode.api.answer import Chunk
from trimode.config import ServerConfig
from trimode.runtime import Runtime
from trimode_convert.tensorrt.profiles import Shapes

from ...common import RESULTS
from ...common.markdown import table
from ...common.results import about, machine, save
from .host_side_part import ENGINES
from .null_choices import FIRST_TOKEN, NullChoices, manifest_of
from .replay import Fixed

PASS_SECONDS, TOKEN_SECONDS = 7.4e-3, 2.4e-5
"""Of the device that auto believes in: an H100's pass over 8B's weights, and a token of it, by arithmetic."""
MODES: dict[str, dict[str, Any]] = {
    "autoregressive": {"mode": "autoregressive"},
    "self_speculation": {"mode": "self_speculation"},
    "diffusion": {"mode": "diffusion", "block_length": 8},
    "auto": {"mode": "auto"},
}
ROWS = (1, 8, 32)
PROMPT = 64
"""Tokens of a prompt."""
OUT = RESULTS / "host_side.json"
WAIT_SECONDS = 600.0


def measure(
    engine: str,
    rows: Sequence[int] = ROWS,
    tokens: int = 256,
    *,
    capacity: int = 2048,
    layers: int = 34,
    vocab: int = 131_072,
) -> Iterator[dict[str, Any]]:
    """Yield a row of figures for each mode and number of sequences at once.

    Raises:
        ModuleNotFoundError: what the engine is written in is not installed.
    """
    slots = max(rows)
    shapes = Shapes(batch=slots, block=32, chunk=512, capacity=capacity, quadratic=16)
    null = importlib.import_module(f"{__package__}.null_{engine}")
    opened, invented = null.opened(manifest_of(engine, shapes, layers, vocab), slots)
    curve = Fixed.of(lambda tokens: PASS_SECONDS + TOKEN_SECONDS * tokens)
    with closing(Runtime(opened, None, ServerConfig(max_slots=slots), curve=curve)) as runtime:
        for mode in MODES:
            for count in rows:
                _ask(runtime, invented, mode, count, tokens)  # shapes are captured, pages of memory taken
                yield {"engine": engine, "mode": mode, "rows": count, **_ask(runtime, invented, mode, count, tokens)}


def _ask(runtime: Runtime, invented: NullChoices, mode: str, rows: int, tokens: int) -> dict[str, Any]:
    """Run `rows` requests at once and return what the processor took."""
    done, answers = threading.Semaphore(0), list[Chunk]()

    def sink(chunk: Chunk) -> None:
        if chunk.finish_reason is not None or chunk.error is not None:
            answers.append(chunk)
            done.release()

    before = runtime.engine.calls, invented.seconds, time.process_time(), invented.launches
    for number in range(rows):
        prompt = [FIRST_TOKEN + (number + at) % 500 for at in range(PROMPT)]
        runtime.submit({"input_ids": prompt, "max_tokens": tokens, "end_id": -1, "seed": number, **MODES[mode]}, sink)
    for _ in range(rows):
        if not done.acquire(timeout=WAIT_SECONDS):
            raise TimeoutError(f"{rows} requests of mode {mode}: expected answers within {WAIT_SECONDS:.0f} s")
    if failed := [chunk.error for chunk in answers if chunk.error is not None]:
        raise RuntimeError(f"{len(failed)} of {rows} requests of mode {mode} failed, first: {failed[0]}")
    passes, made_up = runtime.engine.calls - before[0], invented.seconds - before[1]
    given = sum(chunk.counters.output_tokens for chunk in answers)
    spent = time.process_time() - before[2] - made_up
    return {
        "tokens": given,
        "passes": passes,
        "tokens_a_pass": round(given / passes, 2),
        "graphs": round((invented.launches - before[3]) / passes, 2),
        "milliseconds_a_pass": round(1000 * spent / passes, 4),
    }


def _hardware(engines: Sequence[str]) -> dict[str, Any]:
    """Return what the report says of the machine."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    names = " and ".join(ENGINES[engine] for engine in engines)
    facts = {"engine": f"{names} without a device", "model": "8b", "precision": "bfloat16"}
    return {"processor": next(named, "unknown"), **machine(), **facts}


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the table, and write the figures where they are asked for; return the exit status."""
    made = argparse.ArgumentParser(
        prog="python -m trimode_perf host-side",
        description="Time scheduler and engine over a device that computes nothing, at 8B's shapes.",
    )
    made.add_argument(
        "--engine", nargs="+", choices=ENGINES, default=["tensorrt"], metavar="NAME",
        help="tensorrt, torch, which needs PyTorch, or both [tensorrt]",
    )  # fmt: skip
    made.add_argument("--rows", nargs="+", type=int, default=list(ROWS), metavar="N", help="sequences at once [1 8 32]")
    made.add_argument("--tokens", type=int, default=256, metavar="N", help="of an answer [%(default)s]")
    made.add_argument("--out", type=Path, nargs="?", const=OUT, metavar="FILE", help=f"write JSON [{OUT.name}]")
    given = made.parse_args(arguments)
    engines = list(dict.fromkeys(given.engine))
    try:
        found = [row for engine in engines for row in measure(engine, tuple(given.rows), given.tokens)]
    except ModuleNotFoundError as exc:
        print(f"host-side: needs {exc.name}, which {sys.executable} cannot import", file=sys.stderr)
        return 1
    titles = {
        "engine": "engine", "mode": "mode", "rows": "rows", "passes": "passes", "tokens_a_pass": "tokens a pass",
        "graphs": "graphs", "milliseconds_a_pass": "ms of processor a pass",
    }  # fmt: skip
    print(table(list(titles.values()), ([row[name] for name in titles] for row in found)))
    if given.out is not None:
        command = f"python -m trimode_perf host-side --engine {' '.join(engines)} --out perf/results/host_side.json"
        save(given.out, {**about(command, _hardware(engines)), "rows": found})
    return 0
