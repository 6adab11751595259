"""What linear and quadratic drafts give by domain, and what they are worth on devices of several costs: replayed.

The drafts are nano's, recorded once (recording.py); the loop and auto are the product's (replay.py). So the figures
have no noise. A second part times auto with and without quadratic passes on the real engine, in pairs.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from math import exp, log
from typing import Any

import numpy as np
from trimode.auto.ahead import AheadDrafts
from trimode.decoding.quadratic_shape import QuadraticShape

from ...common.claims import Claim
from ...common.markdown import spread, table
from ...common.prompts import DROPPED
from ...common.statistics import ratios
from .. import Context, Data, Found, Part
from .recording import Recording
from .replay import Replay, Seconds, replay

SPECULATION: dict[str, Any] = {"mode": "self_speculation"}
QUADRATIC: dict[str, Any] = {**SPECULATION, "speculation": "quadratic"}
FEW_GROUPS = QuadraticShape((16, 8, *(0,) * 12, 0), (16, *(0,) * 14, 16))
"""Drafts of 16 with masks where runs end most often: at once, and at the draft's end."""
WAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "autoregressive": ({"mode": "autoregressive"}, {}),
    **{f"linear {length}": ({**SPECULATION, "block_length": length}, {}) for length in (8, 16, 32)},
    **{f"quadratic {length}": ({**QUADRATIC, "block_length": length}, {}) for length in (8, 16, 32)},
    "quadratic 16, few groups": ({"mode": "auto"}, {"shape": FEW_GROUPS}),
    **{f"two-pass {length}": ({"mode": "auto"}, {"shape": QuadraticShape.two_pass(length)}) for length in (16, 32)},
}
"""Fixed ways of decoding: fields of a request, and what else a replay is given."""
AUTO: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "auto without quadratic passes": ({"mode": "auto"}, {"quadratic": False}),
    "auto": ({"mode": "auto"}, {}),
}
FLAT_TOKENS, FLAT_SECONDS = 300, 0.006
"""Up to so many tokens a GPU's pass takes the same: it waits for its memory. 8B at batch 1, about."""
STEEP_FIXED, STEEP_EACH = 0.0005, 0.001
MIN_ROUNDS = 5
CPU, SHOWN = "this CPU", "one thread"
"""What results call the device whose costs were recorded, and what pages call it."""
RECORDED_ON = "an Intel Xeon"
GAIN, SHARE = 1.15, 0.98
"""Least gain of auto from quadratic passes on the flat device; least share of its speed without them anywhere."""


def costs_of(seconds: Mapping[int, float]) -> Seconds:
    """Return what a pass of any size takes, from the seconds of two sizes or more: linear between their logarithms."""
    known = sorted(seconds)
    sizes, logs = np.log(known), np.log([seconds[size] for size in known])
    slope = (logs[-1] - logs[-2]) / (sizes[-1] - sizes[-2])

    def cost(tokens: int) -> float:
        if tokens > known[-1]:
            return float(exp(logs[-1] + slope * (log(tokens) - sizes[-1])))
        return float(exp(np.interp(log(tokens), sizes, logs)))

    return cost


def devices(recording: Recording) -> dict[str, Seconds]:
    """Return what a pass takes by its tokens on one thread, as recorded, and on two devices that are not there."""
    return {
        CPU: costs_of(recording.seconds),
        "flat": lambda tokens: FLAT_SECONDS * max(1.0, tokens / FLAT_TOKENS),
        "steep": lambda tokens: STEEP_FIXED + STEEP_EACH * tokens,
    }


def shown(device: str) -> str:
    """Return what pages call a device."""
    return SHOWN if device == CPU else device


def curve(seconds: Mapping[str, float]) -> str:
    """Say what the recorded costs are, and what a pass takes by its tokens, in passes over one."""
    sizes = sorted(seconds, key=int)
    times = ", ".join(f"{size}: {seconds[size] / seconds['1']:.2f}" for size in sizes)
    return f"""the processor time of one thread on {RECORDED_ON}, recorded once. Most other parts of
the report were timed on another machine and with more threads. Passes by their tokens, in passes over one: {times}."""


def measure(context: Context) -> dict[str, Data]:
    """Replay every way of decoding: by domain, where only counts matter, then on every device."""
    recording = Recording.load().first(1)
    costs = devices(recording)
    domains = {domain: _only(recording, domain) for domain in sorted({one.domain for one in recording.answers})}
    steps, done = len(domains) * len(WAYS) + len(costs) * len(WAYS | AUTO), 0

    def run(answers: Recording, seconds: Seconds, way: tuple[dict[str, Any], dict[str, Any]]) -> Data:
        nonlocal done
        found, done = replay(answers, seconds, way[0], **way[1]), done + 1
        context.progress(done / steps)
        return _figures(found)

    flat = costs["flat"]
    return {
        "speculation": {
            "answers": len(recording.answers),
            "pass_seconds": {str(size): one for size, one in recording.seconds.items()},
            "domains": {
                domain: {name: run(answers, flat, way) for name, way in WAYS.items()}
                for domain, answers in domains.items()
            },
            "devices": {
                device: {name: run(recording, seconds, way) for name, way in (WAYS | AUTO).items()}
                for device, seconds in costs.items()
            },
        }
    }


def _only(recording: Recording, domain: str) -> Recording:
    return replace(recording, answers=[one for one in recording.answers if one.domain == domain])


def _figures(found: Replay) -> Data:
    return {
        "tokens": found.tokens,
        "passes": found.passes,
        "tokens_per_forward": found.tokens / found.passes,
        "tokens_per_cycle": found.tokens / found.verifications,
        "tokens_per_second": found.rate,
        "largest_pass": found.largest,
        "choices": found.choices,
    }


def section(found: Found) -> str:
    """Return tokens per forward and per cycle by domain, and tokens a second by device."""
    data = found["speculation"]
    ways = [name for name in WAYS if name != "autoregressive"]
    rows = [
        [
            domain,
            *(f"{by_way[name]['tokens_per_forward']:.1f} / {by_way[name]['tokens_per_cycle']:.1f}" for name in ways),
        ]
        for domain, by_way in {"all claimed": _claimed(data), **data["domains"]}.items()
    ]
    speeds = [
        [name, *(f"{by_way[name]['tokens_per_second']:.0f}" for by_way in data["devices"].values())]
        for name in (*WAYS, *AUTO)
    ]
    chosen = "; ".join(
        f"{shown(device)}: {', '.join(f'{name} {count}' for name, count in by_way['auto']['choices'].items())}"
        for device, by_way in data["devices"].items()
    )
    return f"""## Linear and quadratic drafts

Tokens per forward / per cycle. A cycle verifies one draft: two forwards in linear speculation, one in quadratic. From
{data["answers"]} greedy answers of nano, a prompt of each domain. Their drafts were recorded at every token and are
replayed through the product's loop. The answer's first token comes with the prompt and is not counted. Two-pass forms
verify a draft without masks and draft beside the next single token.

{table(("domain", *ways), rows)}

Tokens a second on three devices, one request at a time, prompts not counted. *{SHOWN}* has recorded costs. On *flat*
passes take the same up to {FLAT_TOKENS} tokens, as a GPU's do. On *steep* each token costs the same. `auto` runs as it
is served and has met the prompts once.

*{SHOWN}* is {curve(data["pass_seconds"])}

{table(("choice", *(shown(device) for device in data["devices"])), speeds)}

What auto chose, in cycles: {chosen}.
"""


def _claimed(data: Data) -> dict[str, Data]:
    """Return the figures of all domains that the checkpoint claims, together."""
    found: dict[str, Data] = {}
    for name in WAYS:
        some = [by_way[name] for domain, by_way in data["domains"].items() if domain not in (*DROPPED, "code")]
        tokens, passes = sum(one["tokens"] for one in some), sum(one["passes"] for one in some)
        cycles = sum(one["tokens"] / one["tokens_per_cycle"] for one in some)
        found[name] = {"tokens_per_forward": tokens / passes, "tokens_per_cycle": tokens / cycles}
    return found


def claims(found: Found) -> list[Claim]:
    """Return what quadratic passes must give, and that auto loses nothing by them."""
    by_device = found["speculation"]["devices"]
    rate: Callable[[str, str], float] = lambda device, name: by_device[device][name]["tokens_per_second"]  # noqa: E731
    without = "auto without quadratic passes"
    gain = rate("flat", "auto") / rate("flat", without)
    linear = rate("flat", "auto") / max(rate("flat", name) for name in WAYS if name.startswith("linear"))
    text = f"on the flat device auto is {gain:.2f} times as fast with quadratic passes as without"
    made = [Claim(f"{text}, and {linear:.2f} times as linear's best, {GAIN:g} at least", min(gain, linear) >= GAIN)]
    for device in by_device:
        share = rate(device, "auto") / rate(device, without)
        made.append(
            Claim(
                f"{shown(device)}: auto has {share:.2f} of its speed without them, {SHARE:g} at least", share >= SHARE
            )
        )
    return made


def measure_pairs(context: Context) -> dict[str, Data]:
    """Time auto with and without quadratic passes on the engine, prompt by prompt, in turns."""
    runtime, prompts = context.runtime, context.prompts
    drafts = runtime.auto.ahead
    taken: dict[str, list[float]] = {"with": [], "without": []}
    passes = dict.fromkeys(taken, 0)
    rng, pace, rounds = random.Random(0), context.pace(), 0
    for rounds in pace.rounds(MIN_ROUNDS, warm_up=2):
        sums = dict.fromkeys(taken, 0.0)
        for prompt in prompts:
            order = list(taken)
            rng.shuffle(order)
            for name in order:
                _set(runtime, drafts if name == "with" else None)
                began = time.perf_counter()
                chunk = runtime.generate({**prompt.fields, "mode": "auto", "max_tokens": context.options.max_tokens})
                sums[name] += time.perf_counter() - began
                passes[name] += chunk.counters.forwards if rounds > 0 else 0
            pace.show()
        if rounds > 0:
            for name, one in sums.items():
                taken[name].append(one)
    _set(runtime, drafts)
    against = asdict(ratios(taken["without"], taken["with"]))
    return {"quadratic_pairs": {"rounds": rounds, "prompts": len(prompts), "passes": passes, "speed": against}}


def _set(runtime: Any, drafts: AheadDrafts | None) -> None:
    """Let auto choose quadratic passes or not, once the last request is done with."""
    runtime.generate({"input_ids": [0], "mode": "autoregressive", "max_tokens": 1})
    runtime.auto.ahead = drafts


def pairs_section(found: Found) -> str:
    """Return auto's speed with quadratic passes against its speed without."""
    data = found["quadratic_pairs"]
    per_answer = {name: count / (data["rounds"] * data["prompts"]) for name, count in data["passes"].items()}
    return f"""## Auto with and without quadratic passes

{data["prompts"]} prompts, one at a time, {data["rounds"]} rounds after two of warm-up, in turns. With them auto's speed
is {spread(data["speed"])} of that without; an answer takes {per_answer["with"]:.1f} passes against
{per_answer["without"]:.1f}.
"""


def pairs_claims(found: Found) -> list[Claim]:
    """Return that auto is not slower with quadratic passes."""
    speed = found["quadratic_pairs"]["speed"]["median"]
    return [Claim(f"with quadratic passes allowed auto has {speed:.2f} of its speed, 0.99 at least", speed >= 0.99)]


PART = Part(
    "speculation",
    "drafts of every kind, replayed",
    ("speculation",),
    60,
    measure,
    section,
    claims,
    fixed=True,
    apart=True,
)
PAIRS = Part(
    "quadratic-pairs",
    "auto with and without quadratic passes",
    ("quadratic_pairs",),
    60,
    measure_pairs,
    pairs_section,
    pairs_claims,
    apart=True,
)
