"""Where an answer's time goes in process: request, hand-overs, the loop between passes, the passes, the way out.

Stamps are taken through the runtime's own hook, `Runtime.traced`. What a stamp costs, well under a microsecond, is in
the figures.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from trimode.api.params import GenerationParams
from trimode.engines.base import Row, RowResult
from trimode.requests.generate import read_prompt
from trimode.runtime import Runtime

from ..common.claims import Claim
from ..common.markdown import table
from ..common.prompts import Prompt
from . import MODES, Context, Data, Found, Part

ROUNDS = 9
WARM_UP = 3
STAGES = {
    "check": "the request's fields",
    "prompt": "chat template and tokenizer",
    "wake": "the loop wakes up",
    "choose": "auto looks up what is alike, and chooses",
    "plan": "between passes: what comes next",
    "around": "around a pass: buffers filled, keys and values kept",
    "pass": "the engine's passes",
    "apply": "between passes: tokens chosen, text made",
    "leave": "sender and asker wake up",
    "rest": "all else",
}
ONCE = ("check", "prompt", "wake", "leave")
"""Stages that an answer goes through once."""
SWEPT_MIB = (0, 1, 4, 11)
"""MiB that are read in place of a pass; the weights of nano in float32 are 11."""
SWEPT_TOKENS = 400
"""Of the answer whose passes only read memory."""
SERIAL = "autoregressive"
"""The mode whose mean pass is the one-token pass that budgets are set against."""
MOST_ONCE = 1.0
"""One-token passes that what an answer goes through once may take."""
MOST_AROUND = {**dict.fromkeys(MODES, 0.06), SERIAL: 0.08}
"""Share of a mode's mean pass that may be spent around each: a one-token pass is shorter than one over a block."""


class _Clock:
    """Seconds by stage, and when a request was queued, when the loop woke, and when the last chunk left."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)
        self.queued = self.woken = self.left = 0.0

    def around(self, call: Callable[..., Any], stage: str) -> Callable[..., Any]:
        """Return `call` timed as `stage`, or only stamped if it is one of those between threads."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            if stage == "update":
                self.woken = self.woken or began
            elif stage == "send":
                self.left = began
            try:
                return call(*args, **kwargs)
            finally:
                ended = time.perf_counter()
                if stage == "submit":
                    self.queued = ended
                self.spent[stage] += ended - began

        return timed


def measure(context: Context) -> dict[str, Data]:
    """Return microseconds an answer by mode and stage (medians), and passes an answer."""
    runtime, prompts, max_tokens = context.runtime, context.prompts, context.options.max_tokens
    taken: defaultdict[str, list[dict[str, float]]] = defaultdict(list)
    for number in range(WARM_UP + ROUNDS):
        for prompt in prompts:
            for mode in MODES:
                sample = _answer(runtime, {**prompt.fields, "mode": mode, "max_tokens": max_tokens})
                if number >= WARM_UP:
                    taken[mode].append(sample)
        context.progress((number + 1) / (WARM_UP + ROUNDS))
    stages = [*STAGES, "total", "passes"]
    medians = {m: {s: float(np.median([one[s] for one in taken[m]])) for s in stages} for m in MODES}
    again = _again(runtime, prompts, max_tokens)
    between = {str(size): _between(runtime, size) for size in SWEPT_MIB}  # last: auto learns what these passes take
    return {"timeline": {"again": again, "between": between, "modes": medians}}


def _again(runtime: Runtime, prompts: Sequence[Prompt], max_tokens: int) -> dict[str, float]:
    """Return microseconds (medians) of the stages before the first pass, again and again with no pass between."""
    clocks = []
    for prompt in prompts:
        for number in range(WARM_UP + ROUNDS):
            clock = _Clock()
            parse, read = clock.around(GenerationParams.parse, "check"), clock.around(read_prompt, "prompt")
            read(parse({**prompt.fields, "max_tokens": max_tokens}, runtime.defaults), runtime.services)
            if number >= WARM_UP:
                clocks.append(clock.spent)
    return {stage: 1e6 * float(np.median([spent[stage] for spent in clocks])) for stage in ("check", "prompt")}


def _between(runtime: Runtime, mebibytes: int) -> float:
    """Return microseconds of the loop between two passes over a token, where a pass only reads so many MiB."""
    memory = np.ones(mebibytes * 2**18, dtype=np.float32)
    ends, spent = list[float](), list[float]()

    def around(call: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def swept(rows: Sequence[Row]) -> list[RowResult]:
            spent.extend([time.perf_counter() - ends[-1]] if ends else [])
            memory.sum()
            logits = np.zeros((max(len(row.want) for row in rows), runtime.manifest.vocab_size), dtype=np.float32)
            found = [RowResult(logits[: len(row.want)], runtime.manifest.mask_token_id) for row in rows]
            ends.append(time.perf_counter())
            return found

        return swept if stage == "run" else call

    room = runtime.manifest.capacity - 1
    with runtime.traced(around):
        asked = {"input_ids": [0], "mode": SERIAL, "max_tokens": min(SWEPT_TOKENS, room), "end_id": -1}
        runtime.generate(asked)
    return 1e6 * float(np.median(spent))


def _answer(runtime: Runtime, given: dict[str, Any]) -> dict[str, float]:
    clock, passes, busy = _Clock(), runtime.engine.calls, runtime.engine.busy_seconds
    with runtime.traced(clock.around):
        began = time.perf_counter()
        runtime.generate(given)
        ended = time.perf_counter()
    engine, spent = runtime.engine.busy_seconds - busy, clock.spent
    found = {
        "check": spent["check"],
        "prompt": spent["start"],
        "wake": max(0.0, clock.woken - clock.queued),
        "choose": spent["choose"],
        "plan": spent["plan"],
        "around": spent["run"] - engine,
        "pass": engine,
        "apply": spent["apply"],
        "leave": ended - clock.left,
    }
    rest, total = max(0.0, ended - began - sum(found.values())), ended - began
    stages = {**found, "rest": rest, "total": total}
    return {**{name: 1e6 * seconds for name, seconds in stages.items()}, "passes": runtime.engine.calls - passes}


def section(found: Found) -> str:
    """Return where an answer's time goes."""
    modes, again = found["timeline"]["modes"], found["timeline"]["again"]
    shares = {mode: Shares.of(modes, mode) for mode in MODES}
    figures = {
        **{title: {mode: modes[mode][stage] for mode in MODES} for stage, title in STAGES.items()},
        "all of it": {mode: modes[mode]["total"] for mode in MODES},
        "passes": {mode: modes[mode]["passes"] for mode in MODES},
        "spent once an answer, whatever its length": {mode: one.once for mode, one in shares.items()},
        "a pass, the mean of all, the prompt's too": {mode: one.mean for mode, one in shares.items()},
        "spent around each pass": {mode: one.around for mode, one in shares.items()},
    }
    rows = [[title, *(f"{by_mode[mode]:.0f}" for mode in MODES)] for title, by_mode in figures.items()]
    return f"""### Where the time of an answer goes

Microseconds an answer in process, medians; stages are timed around the runtime's own functions.

{table(("stage", *MODES), rows)}

Most of the loop's share is code that starts cold, because every pass pulls the model's weights through the processor's
caches: asked again and again with no pass between, the same checks take {again["check"]:.0f} and the same prompts
{again["prompt"]:.0f} microseconds.{_swept(found["timeline"].get("between", {}))}
"""


def _swept(between: Data) -> str:
    """Return what the loop takes between passes that only read memory."""
    if not between:
        return ""
    sizes = sorted(between, key=int)
    taken = ", ".join(f"{between[size]:.0f} where it is {size} MiB" for size in sizes)
    return f""" Where a pass only reads memory, the loop takes these
microseconds between two of them, with nothing of the engine among them: {taken}."""


@dataclass(frozen=True)
class Shares:
    """Microseconds of one mode: once an answer, around each pass, and of its mean pass."""

    once: float
    around: float
    mean: float

    @classmethod
    def of(cls, modes: Data, mode: str) -> Shares:
        """Return those of a mode of the timeline."""
        taken = modes[mode]
        once = sum(taken[stage] for stage in ONCE)
        around = (taken["total"] - taken["pass"] - once) / taken["passes"]
        return cls(once, around, taken["pass"] / taken["passes"])


def claims(found: Found) -> list[Claim]:
    """Return how much may be spent beside the passes: once an answer, and around each pass."""
    modes = found["timeline"]["modes"]
    serial, made = Shares.of(modes, SERIAL).mean, []
    for mode in MODES:
        times = Shares.of(modes, mode).once / serial
        text = f"once an answer, fields, template, tokenizer and wake-ups take {times:.2f} one-token passes in {mode}"
        made.append(Claim(f"{text}, {MOST_ONCE:g} at most", times <= MOST_ONCE))
    for mode in MODES:
        shares = Shares.of(modes, mode)
        share, kind = shares.around / shares.mean, "a one-token pass" if mode == SERIAL else "a block pass"
        text = f"around each pass {share:.2f} of {kind} is spent in {mode}, {MOST_AROUND[mode]:g} at most"
        made.append(Claim(text, share <= MOST_AROUND[mode]))
    return made


PART = Part("timeline", "where an answer's time goes", ("timeline",), 20, measure, section, claims, fixed=True)
