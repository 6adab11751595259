"""Each mode through the engine, the control loop, Triton gRPC and Triton HTTP: the same prompts, interleaved.

Every sample is one whole answer; rounds go on until the time is up, in an order shuffled with a fixed seed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trimode.api.answer import Chunk
from trimode.api.fields import Mode
from trimode.runtime import Runtime

from ..common.prompts import Prompt, spread
from .wire import GrpcWire, HttpWire

MODES = tuple(mode.value for mode in Mode)
PATHS = ("loop", "grpc", "http")
MIN_ROUNDS = 3
MIN_PROMPTS = 4
Call = tuple[int, str, str]  # prompt, mode, path
COUNTERS = (
    "output_tokens",
    "forwards",
    "cycles",
    "prefill_forwards",
    "total_draft_tokens",
    "total_accepted_draft_tokens",
)


@dataclass(frozen=True)
class Sample:
    """One answer: which prompt, mode, path and round; seconds as the caller saw them; in process also the engine's."""

    round: int
    prompt: int
    mode: str
    path: str
    seconds: float
    tokens: int
    text: str
    engine_seconds: float | None = None
    counters: dict[str, int] | None = None


def ask_runtime(runtime: Runtime, prompt: Prompt, fields: dict[str, Any]) -> tuple[Chunk, float, float]:
    """Answer in process; return the answer, the seconds from submit to last chunk, and those inside the engine."""
    given = {**prompt.fields, **fields}
    busy, started = runtime.engine.busy_seconds, time.perf_counter()
    chunk = runtime.generate(given)
    return chunk, time.perf_counter() - started, runtime.engine.busy_seconds - busy


def counters_of(chunk: Chunk) -> dict[str, int]:
    """Return the counters that ratios over many answers are summed from."""
    return {name: getattr(chunk.counters, name) for name in COUNTERS}


class Bench:
    """The paths to one model, and the samples taken through them."""

    def __init__(
        self, runtime: Runtime, grpc: GrpcWire, http: HttpWire, prompts: list[Prompt], max_tokens: int
    ) -> None:
        self._runtime = runtime
        self._wires: dict[str, GrpcWire | HttpWire] = {"grpc": grpc, "http": http}
        self._tokens: dict[tuple[str, str], int] = {}  # filled by the control loop, which comes first in a warm-up
        self._max_tokens = max_tokens
        self.prompts = prompts
        self.samples: list[Sample] = []

    def run(self, seconds: float, progress: Callable[[float], None]) -> int:
        """Take whole rounds, at least MIN_ROUNDS, until `seconds` have passed; return their number.

        The first round warms up and is not kept; where it shows that time is short, fewer prompts are timed.
        """
        began = time.perf_counter()
        self._round(0, self._order(), lambda: None)
        affordable = seconds / MIN_ROUNDS / (time.perf_counter() - began)
        self.prompts = spread(self.prompts, max(MIN_PROMPTS, int(affordable * len(self.prompts))))
        self.samples.clear()
        order, shuffle = self._order(), random.Random(0).shuffle
        began, done = time.perf_counter(), 0
        while done < MIN_ROUNDS or time.perf_counter() - began < seconds:
            shuffle(order)
            done += 1
            self._round(done, order, lambda: progress((time.perf_counter() - began) / seconds))
        return done

    def _order(self) -> list[Call]:
        return [(index, mode, path) for index in range(len(self.prompts)) for mode in MODES for path in PATHS]

    def _round(self, number: int, order: list[Call], progress: Callable[[], None]) -> None:
        for index, mode, path in order:
            self.samples.append(self._sample(number, index, mode, path))
            progress()

    def _sample(self, number: int, index: int, mode: str, path: str) -> Sample:
        prompt, fields = self.prompts[index], {"mode": mode, "max_tokens": self._max_tokens}
        if path == "loop":
            chunk, seconds, engine = ask_runtime(self._runtime, prompt, fields)
            counters = counters_of(chunk)
            self._tokens[str(prompt.wire), mode] = counters["output_tokens"]
            return Sample(number, index, mode, path, seconds, counters["output_tokens"], chunk.text, engine, counters)
        started = time.perf_counter()
        text = self._wires[path].ask(prompt, mode, self._max_tokens)
        seconds = time.perf_counter() - started
        # greedy: the same prompt gives the same tokens on every path, which the comparison of texts confirms
        return Sample(number, index, mode, path, seconds, self._tokens[str(prompt.wire), mode], text)
