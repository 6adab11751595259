"""`python -m trimode_perf host-side`: processor time of scheduler and TensorRT engine a pass, at 8B's shapes.

The device is none: passes cost nothing and give next to the ids that they were asked about, so that drafts are right as
often as the released model's. What the stand-in itself takes is subtracted. Figures count on a quiet machine alone.
"""

from __future__ import annotations

import argparse
import ctypes
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from trimode.api.answer import Chunk
from trimode.bundle.compilation import Compilation
from trimode.bundle.manifest import Manifest
from trimode.config import ServerConfig
from trimode.engines.tensorrt.cuda import Cuda, Pitched
from trimode.engines.tensorrt.engine import TensorRtEngine
from trimode.engines.tensorrt.layout import Shape, choices, inputs
from trimode.engines.tensorrt.memory import Need
from trimode.engines.tensorrt.plan import Context, Plan
from trimode.runtime import Runtime
from trimode_convert.tensorrt.profiles import Shapes

from ...common import RESULTS
from ...common.markdown import table
from ...common.results import about, machine, save
from .replay import Fixed

RIGHT = 0.855
"""How often a draft's token is right: 6.8 tokens a cycle with drafts of 32, as published (arXiv 2607.05722)."""
SURE = 0.35
"""The power of a uniform number that is a probability: a quarter is above 0.9, for some 2.6 tokens a denoising pass."""
PASS_SECONDS, TOKEN_SECONDS = 7.4e-3, 2.4e-5
"""Of the device that auto believes in: an H100's pass over 8B's weights, and a token of it, by arithmetic."""
TYPES: dict[str, npt.DTypeLike] = {
    "input_ids": np.int64, "position_ids": np.int64, "logit_rows": np.int64, "write_indices": np.int64,
    "lora_scale": np.float32, "attn_mask": np.bool_, "logits": np.float32, "top_id": np.int64, "top_prob": np.float32,
}  # fmt: skip
MODES: dict[str, dict[str, Any]] = {
    "autoregressive": {"mode": "autoregressive"},
    "self_speculation": {"mode": "self_speculation"},
    "diffusion": {"mode": "diffusion", "block_length": 8},
    "auto": {"mode": "auto"},
}
ROWS = (1, 8, 32)
PROMPT = 64
"""Tokens of a prompt."""
MASK, END, FIRST_TOKEN = 100, 11, 1000
OUT = RESULTS / "host_side.json"
WAIT_SECONDS = 600.0


class NoCuda(Cuda):
    """Addresses without memory, and copies that copy nothing; a pass is made up when its choices are fetched.

    Attributes:
        seconds: processor time that making up passes took.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.stream: Any = 1
        self._next = 1 << 40
        self._pinned: list[npt.NDArray[np.uint8]] = []
        self._draw = np.random.default_rng(0)
        self._running: NoContext | None = None
        self._recording = False

    def use(self) -> None:
        """Nothing is current."""

    def allocate(self, size: int) -> int:
        """Return the next address."""
        self._next += -(-size // 256) * 256
        return self._next

    def pin(self, size: int) -> npt.NDArray[np.uint8]:
        """Return memory that is taken when it is written."""
        self._pinned.append(np.ctypeslib.as_array((ctypes.c_uint8 * size)()))
        return self._pinned[-1]

    def clear(self, address: int, size: int) -> None:
        """Nothing is there."""

    def upload(self, target: int, source: int, size: int) -> None:
        """Nothing is copied: passes read the host's memory."""

    def download(self, target: int, source: int, size: int) -> None:
        """Make up the choices of the context that was enqueued."""
        if self._running is not None and target == self._pinned[1].ctypes.data and not self._recording:
            self.choose(self._running)

    def move_box(self, target: Pitched, source: Pitched, extent: tuple[int, int, int]) -> None:
        """Nothing is there."""

    def wait(self) -> None:
        """Everything is done."""

    def enqueue(self, context: NoContext) -> None:
        """Note whose pass comes next."""
        self._running = context

    def capture(self, enqueue: Callable[[], None]) -> Any:
        """Return the context whose pass was enqueued."""
        self._recording = True
        enqueue()
        self._recording = False
        return self._running

    def launch(self, graph: Any) -> None:
        """Make up the pass of a captured context."""
        self.choose(graph)

    def forget(self, graph: Any) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Nothing is held."""
        self.stream = None

    def choose(self, context: NoContext) -> None:
        """Write ids and probabilities: of each token the one that follows it, as often as RIGHT."""
        began = time.thread_time()
        shape = context.shape
        taken = inputs(shape, TYPES).views(self._pinned[0], TYPES)
        made = choices(shape, TYPES).views(self._pinned[1], TYPES)
        ids, rows = taken["input_ids"], taken["logit_rows"]
        following = np.take_along_axis(ids, np.minimum(rows + 1, shape.seq - 1), axis=1)
        right = (self._draw.random(rows.shape) < RIGHT) & (following != MASK) & (rows + 1 < shape.seq)
        made["top_id"][:] = np.where(right, following, self._draw.integers(FIRST_TOKEN, 100_000, rows.shape))
        made["top_prob"][:] = self._draw.random(rows.shape, dtype=np.float32) ** SURE
        self.seconds += time.thread_time() - began


class NoContext(Context):
    """Knows the shape that it was bound to."""

    def __init__(self, cuda: NoCuda, profile: int) -> None:
        self._cuda, self._profile = cuda, profile
        self.bound: object = None
        self.shape = Shape(profile, 0, 0, 0, 0, 0)

    def bind(self, shapes: Mapping[str, tuple[int, ...]], addresses: Mapping[str, int]) -> None:
        """Note the shape, as long as a pass of another one takes."""
        (batch, seq), (_, rows) = shapes["input_ids"], shapes["logit_rows"]
        self.shape = Shape(self._profile, 0, batch, seq, rows, shapes["attn_mask"][3])

    def enqueue(self, stream: Any) -> None:
        """Let the next choices be of this shape."""
        self._cuda.enqueue(self)


class NoPlan(Plan):
    """A plan without an engine."""

    def __init__(self, cuda: NoCuda) -> None:
        self.host_types, self.cache_bytes, self.workspace = TYPES, 2, 256
        self._cuda, self._jit = cuda, None

    def context(self, profile: int, stream: Any, workspace: int, *, captured: bool = False) -> NoContext:
        """Return a context."""
        return NoContext(self._cuda, profile)

    def close(self) -> None:
        """Nothing is held."""


def manifest_of(shapes: Shapes, layers: int, vocab_size: int) -> Manifest:
    """Return what a plan of 8B's would say."""
    buckets = tuple(size for size in (64 << at for at in range(20)) if size < shapes.capacity)
    return Manifest(
        model="8b", runtime="tensorrt", runtime_version="none", kv_form="scatter", precision="bfloat16",
        capacity=shapes.capacity, buckets=(*buckets, shapes.capacity), num_layers=layers, num_kv_heads=8, head_dim=128,
        hidden_size=4096, vocab_size=vocab_size, block_size=shapes.block, mask_token_id=MASK, eos_token_id=END,
        bos_token_id=None, adapter=True, checkpoint_hash="", files={},
        compiled=Compilation("tensorrt", "none", ("9.0",), shapes.profiles()),
    )  # fmt: skip


def measure(
    rows: tuple[int, ...] = ROWS, tokens: int = 256, *, capacity: int = 2048, layers: int = 34, vocab: int = 131_072
) -> Iterator[dict[str, Any]]:
    """Yield a row of figures for each mode and number of sequences at once."""
    slots = max(rows)
    manifest = manifest_of(Shapes(batch=slots, block=32, chunk=512, capacity=capacity, quadratic=16), layers, vocab)
    cuda = NoCuda()
    plan = NoPlan(cuda)
    need = Need.of(manifest, TYPES, cache_bytes=plan.cache_bytes, workspace=plan.workspace)
    engine = TensorRtEngine(cuda, plan, need, manifest, slots)
    curve = Fixed.of(lambda tokens: PASS_SECONDS + TOKEN_SECONDS * tokens)
    with closing(Runtime(engine, None, ServerConfig(max_slots=slots), curve=curve)) as runtime:
        for mode in MODES:
            for count in rows:
                _ask(runtime, cuda, mode, count, tokens)  # shapes are captured, pages of memory taken
                yield {"mode": mode, "rows": count, **_ask(runtime, cuda, mode, count, tokens)}


def _ask(runtime: Runtime, cuda: NoCuda, mode: str, rows: int, tokens: int) -> dict[str, Any]:
    """Run `rows` requests at once and return what the processor took."""
    done, answers = threading.Semaphore(0), list[Chunk]()

    def sink(chunk: Chunk) -> None:
        if chunk.finish_reason is not None or chunk.error is not None:
            answers.append(chunk)
            done.release()

    before = runtime.engine.calls, cuda.seconds, time.process_time()
    for number in range(rows):
        prompt = [FIRST_TOKEN + (number + at) % 500 for at in range(PROMPT)]
        runtime.submit({"input_ids": prompt, "max_tokens": tokens, "end_id": -1, "seed": number, **MODES[mode]}, sink)
    for _ in range(rows):
        if not done.acquire(timeout=WAIT_SECONDS):
            raise TimeoutError(f"{rows} requests of mode {mode}: expected answers within {WAIT_SECONDS:.0f} s")
    if failed := [chunk.error for chunk in answers if chunk.error is not None]:
        raise RuntimeError(f"{len(failed)} of {rows} requests of mode {mode} failed, first: {failed[0]}")
    passes, made_up = runtime.engine.calls - before[0], cuda.seconds - before[1]
    given = sum(chunk.counters.output_tokens for chunk in answers)
    spent = time.process_time() - before[2] - made_up
    return {
        "tokens": given,
        "passes": passes,
        "tokens_a_pass": round(given / passes, 2),
        "milliseconds_a_pass": round(1000 * spent / passes, 4),
    }


def _hardware() -> dict[str, Any]:
    """Return what the report says of the machine."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    facts = {"engine": "TensorRT's engine over no device", "model": "8b", "precision": "bfloat16"}
    return {"processor": next(named, "unknown"), **machine(), **facts}


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the table, and write the figures where they are asked for; return the exit status."""
    made = argparse.ArgumentParser(
        prog="python -m trimode_perf host-side",
        description="Time scheduler and TensorRT engine over a device that computes nothing, at 8B's shapes.",
    )
    made.add_argument("--rows", nargs="+", type=int, default=list(ROWS), metavar="N", help="sequences at once [1 8 32]")
    made.add_argument("--tokens", type=int, default=256, metavar="N", help="of an answer [%(default)s]")
    made.add_argument("--out", type=Path, nargs="?", const=OUT, metavar="FILE", help=f"write JSON [{OUT.name}]")
    given = made.parse_args(arguments)
    found = list(measure(tuple(given.rows), given.tokens))
    titles = {"mode": "mode", "rows": "rows", "passes": "passes", "tokens_a_pass": "tokens a pass",
              "milliseconds_a_pass": "ms of processor a pass"}  # fmt: skip
    print(table(list(titles.values()), ([row[name] for name in titles] for row in found), ("mode",)))
    if given.out is not None:
        save(given.out, {**about("python -m trimode_perf host-side --out", _hardware()), "rows": found})
    return 0
