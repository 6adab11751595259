"""Each mode through the engine, the control loop, Triton gRPC and Triton HTTP: the same prompts, interleaved.

Every sample is one whole answer; rounds go on until the time is up, in an order shuffled with a fixed seed. Every ratio
pairs samples of the same prompt and round.
"""

from __future__ import annotations

import csv
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trimode.api.answer import Chunk
from trimode.runtime import Runtime

from ..common import prompts as asked
from ..common.claims import Claim
from ..common.markdown import spread, table
from ..common.plots import figure
from ..common.progress import Pace
from ..common.prompts import Prompt
from ..common.statistics import Spread, paired
from . import COLOURS, MODES, Context, Data, Found, Part
from .wire import GrpcWire, HttpWire

LAYERS = {
    "engine": "engine passes alone",
    "loop": "control loop",
    "grpc": "Triton gRPC",
    "http": "Triton HTTP generate",
}
SHORT = {"engine": "engine", "loop": "control loop", "grpc": "Triton gRPC", "http": "Triton HTTP"}
PATHS = ("loop", "grpc", "http")
BASELINE = "autoregressive"
MOST_TRITON = 1.0
"""Milliseconds that an answer over gRPC may take more than one in process: half of the two that it was. What the loop
itself may take is timeline.py's."""
MIN_ROUNDS = 3
MIN_PROMPTS = 4
Key = tuple[int, int]  # round, prompt
Taken = Mapping[tuple[str, str], dict[Key, float]]  # seconds by mode and layer
COUNTERS = ("output_tokens", "forwards", "cycles", "total_draft_tokens", "total_accepted_draft_tokens")


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
        self, runtime: Runtime, wires: Mapping[str, GrpcWire | HttpWire], prompts: list[Prompt], max_tokens: int
    ) -> None:
        self._runtime, self._wires, self._max_tokens = runtime, wires, max_tokens
        self._tokens: dict[tuple[str, str], int] = {}  # filled by the control loop, which comes first in a warm-up
        self.prompts = prompts
        self.samples: list[Sample] = []

    def run(self, pace: Pace) -> int:
        """Take whole rounds, at least MIN_ROUNDS, until the time is up; return their number.

        The first round warms up and is not kept; where it shows that time is short, fewer prompts are timed.
        """
        began = time.perf_counter()
        for call in self._calls():
            self._sample(0, *call)
        affordable = pace.seconds / MIN_ROUNDS / (time.perf_counter() - began)
        self.prompts = asked.spread(self.prompts, max(MIN_PROMPTS, int(affordable * len(self.prompts))))
        self.samples = [self._sample(number, *call) for number, call in pace.shuffled(self._calls(), MIN_ROUNDS, 0)]
        return self.samples[-1].round

    def _calls(self) -> list[tuple[int, str, str]]:
        """Return every prompt, mode and path."""
        return [(index, mode, path) for index in range(len(self.prompts)) for mode in MODES for path in PATHS]

    def _sample(self, number: int, index: int, mode: str, path: str) -> Sample:
        prompt, key = self.prompts[index], (str(self.prompts[index].wire), mode)
        if path == "loop":
            given = {"mode": mode, "max_tokens": self._max_tokens}
            chunk, seconds, engine = ask_runtime(self._runtime, prompt, given)
            self._tokens[key] = chunk.counters.output_tokens
            return Sample(number, index, mode, path, seconds, self._tokens[key], chunk.text, engine)
        started = time.perf_counter()
        text = self._wires[path].ask(prompt, mode, self._max_tokens)
        seconds = time.perf_counter() - started
        # greedy: the same prompt gives the same tokens on every path, which the comparison of texts confirms
        return Sample(number, index, mode, path, seconds, self._tokens[key], text)


def measure(context: Context) -> dict[str, Data]:
    """Return the samples' summary; the samples themselves go to samples.csv."""
    tokens = context.options.max_tokens
    with context.server() as at, closing(GrpcWire(at.grpc)) as grpc, closing(HttpWire(at.http)) as http:
        bench = Bench(context.runtime, {"grpc": grpc, "http": http}, context.prompts, tokens)
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
    taken: defaultdict[tuple[str, str], dict[Key, float]] = defaultdict(dict)
    texts: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
    for sample in samples:
        key = (sample.round, sample.prompt)
        taken[sample.mode, sample.path][key] = sample.seconds
        if sample.engine_seconds is not None:
            taken[sample.mode, "engine"][key] = sample.engine_seconds
        texts[sample.mode, sample.prompt].add(sample.text)

    def each(layers: Iterable[str], make: Callable[[str, str], Any]) -> dict[str, dict[str, Any]]:
        return {mode: {layer: make(mode, layer) for layer in layers} for mode in MODES}

    def added(mode: str, layer: str) -> Data:
        engine = taken[mode, "engine"]
        return asdict(Spread.of([1000 * (spent - engine[key]) for key, spent in taken[mode, layer].items()]))

    return {
        "milliseconds": each(LAYERS, lambda m, n: asdict(Spread.of([1000 * v for v in taken[m, n].values()]))),
        "speed_against_autoregressive": each(LAYERS, lambda mode, layer: _speed(samples, taken, mode, layer)),
        "over_engine": each(PATHS, lambda m, n: asdict(paired(taken[m, n], taken[m, "engine"]))),
        "added_milliseconds": each(PATHS, added),
        "paths_agree": all(len(found) == 1 for found in texts.values()),
    }


def _speed(samples: Sequence[Sample], taken: Taken, mode: str, layer: str) -> Data:
    """Return how much faster than autoregressive `mode` is, per answer and per token."""
    path = "loop" if layer == "engine" else layer
    tokens = {(s.mode, (s.round, s.prompt)): max(1, s.tokens) for s in samples if s.path == path}
    whole = [taken[one, layer] for one in (BASELINE, mode)]
    each = [{key: spent / tokens[one, key] for key, spent in taken[one, layer].items()} for one in (BASELINE, mode)]
    return {"per_answer": asdict(paired(*whole)), "per_token": asdict(paired(*each))}


def section(found: Found) -> str:
    """Return what each layer takes, and what it adds."""
    summary = found["bench"]["summary"]

    def rows(name: str, layers: Iterable[str], digits: int) -> list[list[str]]:
        return [[mode, *(spread(summary[name][mode][layer], digits) for layer in layers)] for mode in MODES]

    outer = ("mode", *(LAYERS[name] for name in PATHS))
    return f"""## What the control loop and Triton add

Milliseconds per answer:

{table(("mode", *LAYERS.values()), rows("milliseconds", LAYERS, 1))}

As a multiple of the engine's own time:

{table(outer, rows("over_engine", PATHS, 2))}

Milliseconds added to the engine's own time:

{table(outer, rows("added_milliseconds", PATHS, 1))}

"Engine passes alone" is the time inside the compiled ONNX session, "control loop" is in process from `Runtime.submit`
to the last chunk, both of the same requests. The server does not report engine time, so the two columns of Triton are
set against the in-process engine time of the same prompt in the same round. They include the leanest
client of Python (one gRPC stream of tritonclient that stays open, http.client on a kept connection; text only) and, for
HTTP, the guard in front of Triton.

![latency](plots/latency.png)
"""


def plot(found: Found, path: Path) -> None:
    """Draw milliseconds per answer."""
    bench = found["bench"]
    with figure(path, 7, 3.6) as axes:
        for place, mode in enumerate(MODES):
            spreads = [bench["summary"]["milliseconds"][mode][layer] for layer in LAYERS]
            medians = [one["median"] for one in spreads]
            errors = [[s["median"] - s["low"] for s in spreads], [s["high"] - s["median"] for s in spreads]]
            where = [index + (place - 1.5) * 0.21 for index in range(len(LAYERS))]
            axes.bar(where, medians, 0.19, yerr=errors, capsize=2, label=mode, color=COLOURS[mode])
        axes.set_xticks(range(len(LAYERS)), list(SHORT.values()))
        axes.set_ylabel("milliseconds per answer")
        engine = bench["hardware"]["engine"]
        axes.set_title(f"One answer at a time, median and quartiles\n{engine}", fontsize=9)
        axes.legend(frameon=False)


def claims(found: Found) -> list[Claim]:
    """Return how much Triton may add to what the same answers take in process, by their medians."""
    added, made = found["bench"]["summary"]["added_milliseconds"], []
    for mode in sorted(added):
        more = added[mode]["grpc"]["median"] - added[mode]["loop"]["median"]
        text = f"Triton over gRPC adds {more:.1f} ms to an answer in process in {mode}, {MOST_TRITON:g} at most"
        made.append(Claim(text, more <= MOST_TRITON))
    return made


def summary(found: Found) -> str:
    """Say on what the modes were timed, and what loop and Triton add."""
    facts, figures = found["bench"]["hardware"], found["bench"]["summary"]
    added = figures["added_milliseconds"]
    both, triton = (
        f"{min(extra):.1f} to {max(extra):.1f} ms"
        for extra in (
            [added[mode]["grpc"]["median"] for mode in MODES],
            [added[mode]["grpc"]["median"] - added[mode]["loop"]["median"] for mode in MODES],
        )
    )
    times = ", ".join(f"{figures['over_engine'][mode]['grpc']['median']:.2f} ({mode})" for mode in MODES)
    return f"""The shipped {facts["model"]} checkpoint on {facts["cores"]} CPU cores, {facts["engine"]},
{facts["precision"]}; held-out prompts, one at a time. Speed is tokens per second against autoregressive through the
same path: medians, with quartiles in brackets. It is timed on the domains that the checkpoint claims. The other columns
are over every domain, plain code included.

Loop and Triton together add {both} to the engine's passes of an answer; of this Triton over gRPC adds {triton}. The
answers are short, so an answer over gRPC takes this many times the engine's
passes alone: {times}."""


def speed(found: Found) -> str:
    """Return the speed of each mode through each layer."""
    speed = found["bench"]["summary"]["speed_against_autoregressive"]
    token, answer = (
        table(("mode", *LAYERS.values()), [[mode, *(spread(speed[mode][n][per]) for n in LAYERS)] for mode in MODES])
        for per in ("per_token", "per_answer")
    )
    return f"""## Speed against autoregressive

Tokens per second:

{token}

Whole answers, which in mode diffusion may differ in length:

{answer}
"""


PLOT = ("latency.png", plot)
PART = Part("layers", "engine, control loop, gRPC, HTTP", ("bench",), 60, measure, section, claims, summary, PLOT)
SPEED = Part("speed", "each mode's speed through each layer", ("bench",), section=speed)
