"""Each mode through the engine, the control loop, Triton gRPC and Triton HTTP: the same prompts, interleaved.

Every sample is one whole answer; rounds go on until the time is up, in an order shuffled with a fixed seed. Every ratio
pairs samples of the same prompt and round.
"""

from __future__ import annotations

import csv
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trimode.api.answer import Chunk
from trimode.runtime import Runtime

from ..common import prompts as asked
from ..common.claims import Claim
from ..common.markdown import spread, table
from ..common.prompts import Prompt
from ..common.statistics import Spread, ratios
from . import MODES, Context, Data, Found, Pace, Part
from .wire import GrpcWire, HttpWire

LAYERS = {
    "engine": "engine passes alone",
    "loop": "control loop",
    "grpc": "Triton gRPC",
    "http": "Triton HTTP generate",
}
PATHS = ("loop", "grpc", "http")
BASELINE = "autoregressive"
MOST_LOOP, MOST_TRITON = 1.05, 1.10
"""Most that the control loop in process, and Triton over gRPC, may take against the engine's passes alone."""
MIN_ROUNDS = 3
MIN_PROMPTS = 4
Call = tuple[int, str, str]  # prompt, mode, path
Key = tuple[int, int]  # round, prompt
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

    def run(self, pace: Pace) -> int:
        """Take whole rounds, at least MIN_ROUNDS, until the time is up; return their number.

        The first round warms up and is not kept; where it shows that time is short, fewer prompts are timed.
        """
        began = time.perf_counter()
        self._round(0, self._order(), lambda: None)
        affordable = pace.seconds / MIN_ROUNDS / (time.perf_counter() - began)
        self.prompts = asked.spread(self.prompts, max(MIN_PROMPTS, int(affordable * len(self.prompts))))
        self.samples.clear()
        order, shuffle = self._order(), random.Random(0).shuffle
        done = 0
        for done in pace.rounds(MIN_ROUNDS, warm_up=0):
            shuffle(order)
            self._round(done, order, pace.show)
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


def measure(context: Context) -> dict[str, Data]:
    """Return the samples' summary; the samples themselves go to samples.csv."""
    tokens = context.options.max_tokens
    with context.server() as at, closing(GrpcWire(at.grpc)) as grpc, closing(HttpWire(at.http)) as http:
        bench = Bench(context.runtime, grpc, http, context.prompts, tokens)
        rounds = bench.run(context.pace())
    save_samples(bench.samples, context.results / "samples.csv")
    head = {"rounds": rounds, "prompts": len(bench.prompts), "max_tokens": tokens}
    return {"bench": {**head, "summary": summarise(bench.samples)}}


def save_samples(samples: Iterable[Sample], path: Path) -> None:
    """Write the raw samples, one a line."""
    names = ("round", "prompt", "mode", "path", "seconds", "engine_seconds", "tokens")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for sample in samples:
            values = (getattr(sample, name) for name in names)
            writer.writerow(f"{value:.6f}" if isinstance(value, float) else value for value in values)


def summarise(samples: Sequence[Sample]) -> Data:
    """Return latency, speed against autoregressive, and what each path adds to the engine."""
    seconds = _by_layer(samples)
    return {
        "milliseconds": {
            mode: {layer: asdict(Spread.of([1000 * v for v in seconds[mode, layer].values()])) for layer in LAYERS}
            for mode in MODES
        },
        "speed_against_autoregressive": {
            mode: {layer: _speed(samples, seconds, mode, layer) for layer in LAYERS} for mode in MODES
        },
        "over_engine": {
            mode: {layer: asdict(_paired(seconds[mode, layer], seconds[mode, "engine"])) for layer in PATHS}
            for mode in MODES
        },
        "added_milliseconds": {
            mode: {layer: _added(seconds[mode, layer], seconds[mode, "engine"]) for layer in PATHS} for mode in MODES
        },
        "paths_agree": _agreement(samples),
    }


def _by_layer(samples: Iterable[Sample]) -> dict[tuple[str, str], dict[Key, float]]:
    found: defaultdict[tuple[str, str], dict[Key, float]] = defaultdict(dict)
    for sample in samples:
        key = (sample.round, sample.prompt)
        found[sample.mode, sample.path][key] = sample.seconds
        if sample.engine_seconds is not None:
            found[sample.mode, "engine"][key] = sample.engine_seconds
    return found


def _paired(above: dict[Key, float], below: dict[Key, float]) -> Spread:
    keys = sorted(above)
    return ratios([above[key] for key in keys], [below[key] for key in keys])


def _added(above: dict[Key, float], below: dict[Key, float]) -> dict[str, float]:
    return asdict(Spread.of([1000 * (above[key] - below[key]) for key in sorted(above)]))


def _speed(
    samples: Sequence[Sample], seconds: dict[tuple[str, str], dict[Key, float]], mode: str, layer: str
) -> dict[str, Any]:
    """Return how much faster than autoregressive `mode` is, per answer and per token."""
    path = "loop" if layer == "engine" else layer
    tokens = {(s.mode, s.round, s.prompt): max(1, s.tokens) for s in samples if s.path == path}
    keys = sorted(seconds[mode, layer])
    own, base = seconds[mode, layer], seconds[BASELINE, layer]
    answer = ratios([base[key] for key in keys], [own[key] for key in keys])
    token = ratios(
        [base[key] / tokens[BASELINE, *key] for key in keys], [own[key] / tokens[mode, *key] for key in keys]
    )
    return {"per_answer": asdict(answer), "per_token": asdict(token)}


def _agreement(samples: Sequence[Sample]) -> bool:
    """Whether every path and round gave the same text for the same prompt and mode."""
    texts: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
    for sample in samples:
        texts[sample.mode, sample.prompt].add(sample.text)
    return all(len(found) == 1 for found in texts.values())


def section(found: Found) -> str:
    """Return what each layer takes, and what it adds."""
    summary = found["bench"]["summary"]
    latency = [[mode, *(spread(summary["milliseconds"][mode][n], 1) for n in LAYERS)] for mode in MODES]
    over = [[mode, *(spread(summary["over_engine"][mode][n]) for n in PATHS)] for mode in MODES]
    added = [[mode, *(spread(summary["added_milliseconds"][mode][n], 1) for n in PATHS)] for mode in MODES]
    outer = ("mode", *(LAYERS[name] for name in PATHS))
    return f"""## What the control loop and Triton add

Milliseconds per answer:

{table(("mode", *LAYERS.values()), latency)}

As a multiple of the engine's own time:

{table(outer, over)}

Milliseconds added to the engine's own time:

{table(outer, added)}

"Engine passes alone" is the time inside the compiled ONNX session, "control loop" is in process from `Runtime.submit`
to the last chunk, both of the same requests. The server does not report engine time, so the two columns of Triton are
set against the in-process engine time of the same prompt in the same round. They include the leanest
client of Python (one gRPC stream of tritonclient that stays open, http.client on a kept connection; text only) and, for
HTTP, the guard in front of Triton.

![latency](plots/latency.png)
"""


def claims(found: Found) -> list[Claim]:
    """Return how much the control loop and Triton may take."""
    over = found["bench"]["summary"]["over_engine"]
    budgets = (("loop", "the control loop in process", MOST_LOOP), ("grpc", "Triton over gRPC", MOST_TRITON))
    return [
        Claim(
            f"{name} takes {over[mode][layer]['median']:.2f} times the engine's passes in {mode}, {most:.2f} at most",
            over[mode][layer]["median"] <= most,
        )
        for layer, name, most in budgets
        for mode in sorted(over)
    ]


def summary(found: Found) -> str:
    """Say on what the modes were timed, and what Triton adds."""
    facts, figures = found["bench"]["hardware"], found["bench"]["summary"]
    extra = [figures["added_milliseconds"][mode]["grpc"]["median"] for mode in MODES]
    added = f"{min(extra):.1f} to {max(extra):.1f} ms an answer"
    times = ", ".join(f"{figures['over_engine'][mode]['grpc']['median']:.2f} ({mode})" for mode in MODES)
    return f"""The shipped {facts["model"]} checkpoint on {facts["cores"]} CPU cores, {facts["engine"]},
{facts["precision"]}; held-out prompts, one at a time, written by `make perf`. Speed is timed on prompts of the
domains that the checkpoint claims; the other columns are over every domain, those it does not claim and plain code
included. Speed is tokens per second against autoregressive through the same path, medians with quartiles. Through
Triton over gRPC an answer takes, against the engine's passes alone: {times}; the answers are short,
and what is added is {added}."""


def speed(found: Found) -> str:
    """Return the speed of each mode through each layer."""
    speed = found["bench"]["summary"]["speed_against_autoregressive"]
    token = [[mode, *(spread(speed[mode][n]["per_token"]) for n in LAYERS)] for mode in MODES]
    answer = [[mode, *(spread(speed[mode][n]["per_answer"]) for n in LAYERS)] for mode in MODES]
    return f"""## Speed against autoregressive

Tokens per second:

{table(("mode", *LAYERS.values()), token)}

Whole answers, which in mode diffusion may differ in length:

{table(("mode", *LAYERS.values()), answer)}
"""


PART = Part("layers", "engine, control loop, gRPC, HTTP", ("bench",), 60, measure, section, claims, summary)
SPEED = Part("speed", "each mode's speed through each layer", ("bench",), section=speed)
