"""Where an answer's time goes in process: request, hand-overs, the loop between passes, the passes, the way out.

Stamps are taken through the runtime's own hook, `Runtime.traced`. What a stamp costs, well under a microsecond, is in
the figures.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from trimode.api.params import GenerationParams
from trimode.requests.generate import read_prompt
from trimode.runtime import Runtime

from ..common.prompts import Prompt

ROUNDS = 12
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


class _Clock:
    """Seconds by stage; nested stages are taken off the one around them."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)

    def around(self, call: Callable[..., Any], stage: str) -> Callable[..., Any]:
        """Return `call` timed as `stage`."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                self.spent[stage] += time.perf_counter() - began

        return timed


def measure(runtime: Runtime, prompts: Sequence[Prompt], modes: Sequence[str], max_tokens: int) -> dict[str, Any]:
    """Return microseconds an answer by mode and stage (medians), and passes an answer."""
    taken: defaultdict[str, list[dict[str, float]]] = defaultdict(list)
    for number in range(WARM_UP + ROUNDS):
        for prompt in prompts:
            for mode in modes:
                sample = _answer(runtime, {**prompt.fields, "mode": mode, "max_tokens": max_tokens})
                if number >= WARM_UP:
                    taken[mode].append(sample)
    stages = [*STAGES, "total", "passes"]
    return {
        "again": _again(runtime, prompts, max_tokens),
        "modes": {m: {s: float(np.median([one[s] for one in taken[m]])) for s in stages} for m in modes},
    }


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


def _answer(runtime: Runtime, given: dict[str, Any]) -> dict[str, float]:
    clock, stamps = _Clock(), dict[str, float]()
    passes, busy = runtime.engine.calls, runtime.engine.busy_seconds

    def around(call: Callable[..., Any], stage: str) -> Callable[..., Any]:
        """Note when a request was queued, when the loop woke and when the last chunk left; time everything else."""

        def stamped(*args: Any, **kwargs: Any) -> Any:
            if stage == "update":
                stamps.setdefault("woken", time.perf_counter())
            elif stage == "send":
                stamps["left"] = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                if stage == "submit":
                    stamps["queued"] = time.perf_counter()

        return stamped if stage in ("submit", "update", "send") else clock.around(call, stage)

    with runtime.traced(around):
        began = time.perf_counter()
        runtime.generate(given)
        total = time.perf_counter() - began
    engine = runtime.engine.busy_seconds - busy
    found = {
        "check": clock.spent["check"],
        "prompt": clock.spent["start"],
        "wake": max(0.0, stamps.get("woken", 0.0) - stamps.get("queued", 0.0)),
        "choose": clock.spent["choose"],
        "plan": clock.spent["plan"],
        "around": clock.spent["run"] - engine,
        "pass": engine,
        "apply": clock.spent["apply"],
        "leave": began + total - stamps["left"],
    }
    return {
        **{name: 1e6 * value for name, value in found.items()},
        "rest": 1e6 * max(0.0, total - sum(found.values())),
        "total": 1e6 * total,
        "passes": runtime.engine.calls - passes,
    }
